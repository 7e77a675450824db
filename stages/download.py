"""Find or generate the videos, measure each one, and draw up manifest, class order and splits."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from moclip.base.errors import DataError
from moclip.base.files import fingerprint, write_json
from moclip.data.dataset import Dataset, assign_parts, drop_short
from moclip.data.duplicates import conflicts, described, twins
from moclip.data.fetch.sources import KNOWN, Ucf101Source, fetch_ucf101, fetched_digests
from moclip.data.folder import find_folder
from moclip.data.hmdb51 import find_hmdb51
from moclip.data.manifest import Video, write_classes, write_manifest
from moclip.data.measure import measure
from moclip.data.splits import Member, write_split
from moclip.data.ucf101 import check_official, find_ucf101
from moclip.demo.dataset import generator_digest, write_demo
from moclip.demo.spec import DemoSpec
from moclip.params.data import DataParams
from moclip.params.demo import DemoParams
from moclip.params.run import Seed
from stages._entry import arguments, data_root, log, repository, run, section
from stages._foresight import check_given, check_grids, check_parts

_LINES = 10  # of each kind, however many videos there are

GENERATED = re.compile(r"demo-[0-9a-f]{16}")


class Part(TypedDict):
    classes: list[str] | None
    clips_per_class: int | None


def main() -> None:
    args = arguments("manifest", "classes", "splits", "dataset")
    data, demo = section("data", DataParams), section("demo", DemoParams)
    seed: int = section("seed", Seed)
    root = data_root(data.root)
    dataset = find(root, data, demo)
    check_given(dataset)
    videos = measure(dataset.clips.values(), root, damaged=data.damaged == "keep")
    tell(videos)
    dropped: dict[str, object] = {}
    if data.short_videos == "drop":
        dataset, ids = drop_short(dataset, videos, data.short_frames)
        dropped = {"dropped": {"fewer_frames_than": data.short_frames, "videos": len(ids), "ids": ids}}
        log.info("%d videos have fewer than %d frames and leave all lists: %s", len(ids), data.short_frames, ids)
    members = assign_parts(dataset, data.val_groups, seed)
    check_parts(members, data)
    videos = [video for video in videos if video.id in dataset.clips]
    check_grids(videos)
    repeated = hold_apart(videos, members, data)
    write_manifest(args.manifest, videos)
    write_classes(args.classes, dataset.classes)
    for split, of_split in members.items():
        write_split(args.splits / f"split{split}.csv", of_split)
    write_json(args.dataset, describe(dataset, data) | dropped | repeated | damage(videos) | came_from(root, data))


def tell(videos: Sequence[Video]) -> None:
    """Say which videos are read in a way that is worth knowing."""
    for what in ("damage", "note"):
        named = {video.id: text for video in videos if (text := getattr(video, what))}
        for text, count in Counter(named.values()).most_common(_LINES):
            first = next(stem for stem, said in named.items() if said == text)
            log.warning("%d videos, first %s: %s", count, first, text)


def damage(videos: Sequence[Video]) -> dict[str, object]:
    """What of a data set is damaged, for the report; empty where nothing is."""
    ids = [video.id for video in videos if video.is_damaged]
    return {"damaged": {"videos": len(ids), "ids": ids}} if ids else {}


def came_from(root: Path, data: DataParams) -> dict[str, object]:
    """The digests of the archives that were unpacked here, for the record; empty where none was."""
    found = fetched_digests(root) if data.source == "ucf101" else {}
    return {"sha256": found} if found else {}


def hold_apart(videos: Sequence[Video], members: Mapping[int, Sequence[Member]], data: DataParams) -> dict[str, object]:
    """Refuse, or say, that the same bytes stand in two classes or in two parts."""
    same = twins(videos)
    if found := conflicts(same, members):
        text = f"{len(found)} contents stand in two classes or in two parts of a split, first: {found[0]}"
        if data.duplicates == "refuse":
            raise DataError(f"{text}; remove one of the two, or set data.duplicates: warn")
        log.warning("%s (data.duplicates: warn)", text)
    return described(same, found)


def find(root: Path, data: DataParams, demo: DemoParams) -> Dataset:
    part: Part = {"classes": data.classes, "clips_per_class": data.clips_per_class}
    present = data.subset == "present"
    match data.source:
        case "demo":
            refuse_foreign(root)
            base = root / demo_folder(demo, data.seed)
            write_demo(base, demo_spec(demo, data.seed))
            return find_ucf101(base, "demo", **part)
        case "ucf101":
            if data.archive is not None:
                fetch_ucf101(root, archive_source(data))
            dataset = find_ucf101(root, "ucf101", **part, present=present)
            check_official(dataset)
            return dataset
        case "hmdb51":
            return find_hmdb51(root, **part, present=present)
        case "folder":
            refuse_generated(root)
            return find_folder(root, **part, group_pattern=data.group_pattern, seed=data.seed, present=present)


def refuse_foreign(root: Path) -> None:
    """Refuse to generate videos beside what moclip did not make: such a folder is somebody's data set.

    Raises:
        DataError: names the first thing.
    """
    names = sorted(path.name for path in root.iterdir()) if root.is_dir() else []
    others = [name for name in names if not GENERATED.fullmatch(name) and not name.startswith(".")]
    if others:
        raise DataError(
            f"{root}: holds {others[0]}, which moclip did not make, and generated videos go into a folder of their "
            "own; set data.root: data/videos, or choose a preset for your videos"
        )


def refuse_generated(root: Path) -> None:
    """Refuse a folder of classes with generated videos in it, which would be a class.

    Raises:
        DataError: names the folder of them.
    """
    if root.is_dir() and (made := sorted(path.name for path in root.iterdir() if GENERATED.fullmatch(path.name))):
        raise DataError(
            f"{root}: holds {made[0]}, videos that moclip generated, which are no class; remove that folder, "
            "or set data.root to the folder of your classes"
        )


def archive_source(data: DataParams) -> Ucf101Source:
    archive = str(data.archive)
    return Ucf101Source(
        archive=archive if archive in KNOWN else str(repository() / archive),
        url=data.url,
        lists_url=data.lists_url,
        ca_bundle=repository() / data.ca_bundle if data.ca_bundle else None,
        classes=data.classes,
        clips_per_class=data.clips_per_class,
        sha256=data.sha256,
        lists_sha256=data.lists_sha256,
    )


def demo_spec(demo: DemoParams, seed: int) -> DemoSpec:
    return DemoSpec(
        seed=seed,
        groups=demo.groups,
        clips_per_group=demo.clips_per_group,
        frames=demo.frames,
        width=demo.width_px,
        height=demo.height_px,
    )


def demo_folder(demo: DemoParams, seed: int) -> str:
    """A folder per generated content: experiments with other sizes never overwrite these videos."""
    return f"demo-{fingerprint(demo.model_dump(), seed, generator_digest())}"


def describe(dataset: Dataset, data: DataParams) -> dict[str, object]:
    """What there is, and what was chosen: a part of a data set says which part it is."""
    return {
        "name": dataset.name,
        "source": data.source,
        "chosen": {"classes": data.classes, "clips_per_class": data.clips_per_class, "subset": data.subset},
        "complete": dataset.complete,
        "classes": len(dataset.classes),
        "videos": len(dataset.clips),
        "groups": len({clip.group for clip in dataset.clips.values()}),
    }


if __name__ == "__main__":
    run(main)
