"""Folders of empty files in the layout of UCF101."""

from collections.abc import Mapping
from pathlib import Path

from moclip.data.dataset import SPLITS


def make_ucf101(base: Path, groups: Mapping[str, int], end: str = "\r\n") -> Path:
    """UCF101's layout with empty files: one clip per group; split k tests on groups k, k + 3, ..."""
    lists = base / "ucfTrainTestlist"
    lists.mkdir(parents=True)
    (lists / "classInd.txt").write_bytes("".join(f"{i} {name}{end}" for i, name in enumerate(groups, 1)).encode())
    for split in SPLITS:
        train, test = "", ""
        for number, (name, count) in enumerate(groups.items(), 1):
            for group in range(1, count + 1):
                path = f"{name}/v_{name}_g{group:02d}_c01.avi"
                if (group - split) % 3 == 0:
                    test += path + end
                else:
                    train += f"{path} {number}{end}"
                (base / "UCF-101" / name).mkdir(parents=True, exist_ok=True)
                (base / "UCF-101" / path).touch()
        (lists / f"trainlist{split:02d}.txt").write_bytes(train.encode())
        (lists / f"testlist{split:02d}.txt").write_bytes(test.encode())
    return base


def video(base: Path, class_name: str, group: int) -> Path:
    return base / "UCF-101" / class_name / f"v_{class_name}_g{group:02d}_c01.avi"


def add_line(base: Path, name: str, line: str) -> None:
    with (base / "ucfTrainTestlist" / name).open("a") as handle:
        handle.write(line + "\n")
