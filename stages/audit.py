"""Stage `audit`: what the videos look like by split and class, and what gives a class away."""

from moclip.base.files import write_json, write_text
from moclip.base.progress import Progress
from moclip.data.audit import audit
from moclip.data.manifest import checked_path, read_manifest
from moclip.data.splits import read_members
from moclip.params.data import DataParams
from moclip.video.container import read_containers, write_container_table
from stages._entry import arguments, data_root, run, section


def main() -> None:
    args = arguments("manifest", "splits", "containers", "by_class", "out")
    data = section("data", DataParams)
    root = data_root(data.root)
    videos = read_manifest(args.manifest)
    checked = Progress(videos.items(), desc="check", unit="video")
    containers = read_containers({stem: checked_path(root, video) for stem, video in checked})
    splits = {int(path.stem[-1]): read_members(path) for path in sorted(args.splits.glob("split[0-9].csv"))}
    found = audit(videos, containers, splits, seed=data.seed)
    write_container_table(args.containers, containers)
    write_text(args.by_class, found.as_csv())
    write_json(args.out, found.summary())


if __name__ == "__main__":
    run(main)
