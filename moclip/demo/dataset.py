"""The demo data set on disk, in UCF101's own form: videos by class, class index, three train and test lists."""

import hashlib
from functools import partial
from pathlib import Path

import numpy as np

from moclip.base.files import atomic_path, write_text
from moclip.base.work import Work, gather
from moclip.demo.render import Picture, draw_clip, draw_style, render
from moclip.demo.spec import APPEARANCES, PAIRS, SPLITS, DemoSpec, classes
from moclip.video.write import encode

VIDEOS = "UCF-101"
LISTS = "ucfTrainTestlist"
VIDEO_STREAM = 1  # first word of every seed of a video; stills use another


def generator_digest() -> str:
    """SHA-256 over this package's own files: a changed generator is a different data set."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def video_name(class_name: str, group: int, clip: int) -> str:
    """File name as in UCF101; groups and clips count from 1."""
    return f"v_{class_name}_g{group:02d}_c{clip:02d}.avi"


def write_demo(out: Path, spec: DemoSpec, *, jobs: int | None = None) -> None:
    """Write the data set under `out`; videos that are there already are kept as they are, lists come last.

    Args:
        out: Folder of one data set; another spec or generator needs another folder.
        spec: Size and seed.
        jobs: Processes, None for one a core; the bytes do not depend on it.
    """
    shares = [(name, group) for name in classes() for group in range(1, spec.groups + 1)]
    work = Work("demo videos", "video", size=lambda _: spec.clips_per_group)
    gather(shares, partial(_write_group, out, spec), work, jobs=jobs)
    _write_lists(out / LISTS, spec)


def _write_group(out: Path, spec: DemoSpec, share: tuple[str, int]) -> None:
    """Write the missing clips of one group of a class."""
    class_name, group = share
    folder = out / VIDEOS / class_name
    paths = {clip: folder / video_name(class_name, group, clip) for clip in range(1, spec.clips_per_group + 1)}
    missing = {clip: path for clip, path in paths.items() if not path.exists()}
    if missing:
        _write_clips(missing, spec, class_name, group)


def _write_clips(paths: dict[int, Path], spec: DemoSpec, class_name: str, group: int) -> None:
    appearance, movement = PAIRS[class_name]
    picture = Picture(spec.width, spec.height)
    seed = [VIDEO_STREAM, spec.seed, classes().index(class_name), group]
    style = draw_style(APPEARANCES[appearance], np.random.default_rng(seed), picture)
    for number, path in paths.items():
        rng = np.random.default_rng([*seed, number])
        clip = draw_clip(style, movement, rng, spec.frames, spec.fps)
        with atomic_path(path) as temporary:
            encode(
                temporary,
                render(clip, picture),
                fps=spec.fps,
                width=spec.width,
                height=spec.height,
            )


def _write_lists(folder: Path, spec: DemoSpec) -> None:
    """Class index and the three pairs of lists, in UCF101's form: only train lists carry the class number."""
    names = classes()
    write_text(folder / "classInd.txt", "".join(f"{i} {n}\n" for i, n in enumerate(names, 1)))
    for split in range(1, SPLITS + 1):
        tested = spec.test_groups(split)
        train, test = [], []
        for label, name in enumerate(names, 1):
            for group in range(1, spec.groups + 1):
                for clip in range(1, spec.clips_per_group + 1):
                    path = f"{name}/{video_name(name, group, clip)}"
                    if group in tested:
                        test.append(f"{path}\n")
                    else:
                        train.append(f"{path} {label}\n")
        write_text(folder / f"trainlist{split:02d}.txt", "".join(train))
        write_text(folder / f"testlist{split:02d}.txt", "".join(test))
