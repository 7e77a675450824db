"""`moclip data`: hold the videos on this disk against their manifest, or another one, and say what they look like."""

import argparse
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moclip.base.errors import DataError, ParamsError
from moclip.base.outside.terminal import name, say
from moclip.cli.options import limit
from moclip.cli.places import PLACES

if TYPE_CHECKING:
    from moclip.data.manifest import Video

log = logging.getLogger(__name__)

_SHOWN = 20
# What two copies of one video must share; the decoder's version may move `frames`, a mirror the path.
_COMPARED = ("class_name", "group", "bytes", "sha256")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands and their arguments."""
    actions = parser.add_subparsers(required=True, metavar="ACTION", dest="action")
    verify = actions.add_parser("verify", help="check every video against the manifest, or compare two manifests")
    verify.add_argument("--against", type=Path, help="another person's manifest, to compare this one with")
    look = actions.add_parser("audit", help="counts, lengths and encoders; warns where they give the class away")
    look.add_argument("--csv", type=Path, help="write the table of splits, parts and classes to this new file")
    look.add_argument("--splits", type=Path, default=PLACES.splits, help="folder of splits")
    look.add_argument("--motion", type=Path, default=PLACES.motion, help="store of motion, by which copies are found")
    limit.add_arguments(look)
    for action in (verify, look):
        action.add_argument("--manifest", type=Path, default=PLACES.manifest)
        action.add_argument("--root", type=Path, help="folder of the videos; default: data.root of the parameters")
        action.add_argument("--params", type=Path, default=PLACES.params)


def run(args: argparse.Namespace) -> int:
    """Do one action; 0, or a DataError that lists what differs."""
    from moclip.data.manifest import read_manifest

    if args.manifest == PLACES.manifest and not args.manifest.exists():
        raise DataError(f"{args.manifest}: there is none yet; `dvc repro download` writes it, --manifest names another")
    videos = read_manifest(args.manifest)
    root = args.root or data_root(args.params)
    if args.action == "audit":
        _audit(videos, root, args)
        return 0
    verify(videos, root)
    _refuse_added(videos, root, args)
    say(f"{len(videos)} videos in {root} are those of {args.manifest}")
    if args.against is not None:
        compare(videos, read_manifest(args.against))
        say(f"{args.against} describes the same videos")
    return 0


def verify(videos: Mapping[str, "Video"], root: Path) -> None:
    """Check that every video is there with the bytes that the manifest states.

    Raises:
        DataError: lists the videos that are missing or differ.
    """
    from moclip.base.progress import Progress

    tasks = [videos[stem] for stem in sorted(videos)]
    with ThreadPoolExecutor() as pool:  # hashing cannot crash, and threads start at once
        found = Progress(pool.map(partial(_fault, root), tasks), total=len(tasks), desc="verify", unit="video")
        faults = [fault for fault in found if fault]
    _refuse(faults, f"{root}: {len(faults)} of {len(tasks)} videos are not those of the manifest")


def _refuse_added(videos: Mapping[str, "Video"], root: Path, args: argparse.Namespace) -> None:
    """Refuse a folder that holds more than the manifest says.

    Raises:
        DataError: lists the videos that came later.
    """
    from moclip.data.added import REMEDY, added_videos

    data = {} if args.root else _section(args.params)
    new = added_videos(root, ((video.path, video.class_name) for video in videos.values()), data)
    _refuse(new, f"{root}: {len(new)} videos are not in {args.manifest}; remove them, or take them in by `{REMEDY}`")


def compare(ours: Mapping[str, "Video"], theirs: Mapping[str, "Video"]) -> None:
    """Hold two manifests against each other; paths and measurements of the decoder may differ.

    Raises:
        DataError: lists the videos that one of them lacks, or that differ.
    """
    faults = [f"{stem}: only in the other manifest" for stem in sorted(theirs.keys() - ours.keys())]
    faults += [f"{stem}: only in this manifest" for stem in sorted(ours.keys() - theirs.keys())]
    for stem in sorted(ours.keys() & theirs.keys()):
        pairs = {name: (getattr(ours[stem], name), getattr(theirs[stem], name)) for name in _COMPARED}
        faults += [
            f"{stem}: {name} is {one} here, {other} there" for name, (one, other) in pairs.items() if one != other
        ]
    _refuse(faults, f"the manifests differ in {len(faults)} places")


def _fault(root: Path, video: "Video") -> str | None:
    from moclip.video.file.shard import find

    path = root / video.path
    try:
        place = find(path)
    except DataError as error:
        return f"{video.id}: {error}"
    if place is None:
        return f"{video.id}: {path} is missing"
    if place.size != video.bytes:
        return f"{video.id}: {path} has {place.size} bytes, not {video.bytes}"
    return None if place.sha256() == video.sha256 else f"{video.id}: {path} has other contents (sha256)"


def _refuse(faults: list[str], summary: str) -> None:
    if faults:
        rest = f"\n... and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise DataError("\n".join([f"{summary}:", *faults[:_SHOWN]]) + rest)


def _audit(videos: Mapping[str, "Video"], root: Path, args: argparse.Namespace) -> None:
    from moclip.base.outputs import claim_file, writing_file
    from moclip.data.audit import audit
    from moclip.data.splits import read_members
    from moclip.video.container import read_containers

    if args.csv:
        claim_file(args.csv, None)
    limit.apply(args)
    splits = {int(path.stem[-1]): read_members(path) for path in sorted(args.splits.glob("split[0-9].csv"))}
    if not splits:
        raise DataError(f"{args.splits}: holds no split<k>.csv; run `dvc repro download`")
    containers = read_containers({stem: root / video.path for stem, video in videos.items()})
    found = audit(videos, containers, splits)
    say(found.parts.to_string(index=False))
    for one in found.associations:
        say(f"{one.trait:9} Cramer's V {one.cramers_v:.2f} (shuffled: 95 % below {one.shuffled_v:.2f})")
    for warning in found.warnings:
        say(f"warning: {warning}")
    _print_copies(videos, args.motion)
    if args.csv:
        with writing_file(args.csv, None) as temporary:
            temporary.write_text(found.as_csv(), encoding="utf-8", newline="\n")


def _print_copies(videos: Mapping[str, "Video"], motion: Path) -> None:
    """Name videos that are copies of each other: the same bytes, or the same motion in another container."""
    from moclip.data.duplicates import twins
    from moclip.motion.store import MotionStore, same_motion

    _print_groups("the same file byte by byte", [[video.id for video in copies] for copies in twins(videos.values())])
    if not motion.is_dir():
        say(f"no {motion} yet, so copies in other containers are not looked for; `dvc repro extract_motion` makes it")
        return
    content = {video.id: video.sha256 for video in videos.values()}
    near = [ids for ids in same_motion(MotionStore.open(motion)) if len({content.get(one) for one in ids}) > 1]
    _print_groups("the same motion in other files, so copies in all likelihood", near)


def _print_groups(what: str, groups: Sequence[Sequence[str]]) -> None:
    for ids in groups[:_SHOWN]:
        say(f"warning: {what}: {', '.join(map(name, ids))}")
    if len(groups) > _SHOWN:
        say(f"warning: {what}: {len(groups) - _SHOWN} groups more")


def data_root(params: Path) -> Path:
    """Folder of the videos, as a parameters file names it.

    Raises:
        ParamsError: the file is unreadable, or names none.
    """
    root: Path = params.parent / _section(params)["root"]
    return root


def _section(params: Path) -> Mapping[str, Any]:
    """The section `data` of the parameters, which has a root."""
    from ruamel.yaml import YAMLError

    from moclip.base.outside import yaml

    try:
        data: Mapping[str, Any] = yaml.load(params)["data"]
        if not isinstance(data["root"], str):
            raise TypeError(f"data.root is {data['root']!r}")
        return data
    except (OSError, YAMLError, KeyError, TypeError) as error:
        raise ParamsError(f"{params}: data.root cannot be read ({error}); name the folder by --root") from error
