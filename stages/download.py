"""Find or generate the videos, measure each one, and draw up manifest, class order and splits."""

from pathlib import Path

from moclip.dataset import SPLITS, Dataset, assign_parts, find_folder, find_ucf101, measure
from moclip.demo.dataset import generator_digest, write_demo
from moclip.demo.spec import DemoSpec
from moclip.files import fingerprint, write_json
from moclip.manifest import write_classes, write_manifest, write_split
from moclip.schema.data import DataParams, DemoParams
from moclip.schema.run import Seed
from stages._entry import arguments, data_root, run, section


def main() -> None:
    args = arguments("manifest", "classes", "splits", "dataset")
    data, demo = section("data", DataParams), section("demo", DemoParams)
    seed: int = section("seed", Seed)
    root = data_root(data.root)
    dataset = find(root, data, demo, seed)
    members = assign_parts(dataset, data.val_groups, seed)
    write_manifest(args.manifest, measure(dataset.clips.values(), root))
    write_classes(args.classes, dataset.classes)
    for split in SPLITS:
        write_split(args.splits / f"split{split}.csv", members[split])
    write_json(args.dataset, describe(dataset))


def find(root: Path, data: DataParams, demo: DemoParams, seed: int) -> Dataset:
    present = data.subset == "present"
    match data.source:
        case "demo":
            base = root / demo_folder(demo, seed)
            write_demo(base, demo_spec(demo, seed))
            return find_ucf101(base, "demo", classes=data.classes)
        case "ucf101":
            return find_ucf101(root, "ucf101", classes=data.classes, present=present)
        case "folder":
            return find_folder(root, classes=data.classes, group_pattern=data.group_pattern, seed=seed)


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


def describe(dataset: Dataset) -> dict[str, object]:
    return {
        "name": dataset.name,
        "complete": dataset.complete,
        "classes": len(dataset.classes),
        "videos": len(dataset.clips),
        "groups": len({clip.group for clip in dataset.clips.values()}),
    }


if __name__ == "__main__":
    run(main)
