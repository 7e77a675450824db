"""What it saves that the motion pass keeps CLIP's frames (clip.keep_frames), in processor time of both stages.

    python -m benchmarks.keep_frames VIDEOS

VIDEOS is a folder of videos in AVI, such as UCF101's, which are MPEG-4; some are coded anew as H.264 with B-frames.
Motion and features are made with and without, in turn, and must have the same bytes. Writes benchmarks/keep_frames.md.
"""

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
import torch

from moclip.base.files import write_text
from moclip.clip.cache import image_features
from moclip.clip.encoder import Encoder
from moclip.data.dataset import Clip
from moclip.data.manifest import Video
from moclip.data.measure import measure
from moclip.motion.extract import MotionOptions, VideoFile, extract
from moclip.motion.store import MotionStore
from moclip.store.pictures import PictureStore, pictures_in
from moclip.video.decode import pictures
from moclip.video.frames import evaluation_frames
from moclip.video.write import write_mp4
from tests.support.towers import resnet_encoder

ROUNDS = 3
H264_VIDEOS = 16
OPTIONS = MotionOptions(cell_px=8, reference="both")  # those of params.yaml
RULES = ("middle", "uniform:8")
PAGE = Path(__file__).with_suffix(".md")


class Cost(NamedTuple):
    """Seconds of the processor, and what was kept."""

    motion_s: float
    clip_s: float
    kept_bytes: int = 0

    @property
    def both_s(self) -> float:
        """Of both stages."""
        return self.motion_s + self.clip_s


class Made(NamedTuple):
    """Digest of the motion, bytes of the features, and what they cost."""

    motion: str
    features: bytes
    cost: Cost


def make(encoder: Encoder, root: Path, videos: Sequence[Video], rule: str, *, keeps: bool) -> Made:
    """Motion and features, from the videos alone."""
    files = [
        VideoFile(
            video.id,
            root / video.path,
            video.sha256,
            keep=tuple(np.unique(evaluation_frames(rule, video.frames)).tolist()),
        )
        for video in videos
    ]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        kept = place / "kept" if keeps else None
        start = _spent_s()
        extract(files, place / "motion", place / "work", OPTIONS, jobs=1, pictures=kept)
        between = _spent_s()
        store = PictureStore(pictures_in(kept)) if kept else None
        _, features = image_features(encoder, videos, root, place / "clip", frame=rule, batch_images=32, kept=store)
        end = _spent_s()
        size = sum(block.stat().st_size for block in kept.glob("*.block")) if kept else 0
        cost = Cost(between - start, end - between, size)
        return Made(MotionStore.open(place / "motion").digest, features.tobytes(), cost)


def _spent_s() -> float:
    """Of the processor, by this process and those that decode for it, which stay."""
    own = psutil.Process()
    return sum(sum(process.cpu_times()[:2]) for process in (own, *own.children(recursive=True)))


def compare(encoder: Encoder, root: Path, videos: Sequence[Video], rule: str) -> list[tuple[Cost, Cost]]:
    """Without and with, so many rounds in turn.

    Raises:
        SystemExit: bytes differ.
    """
    make(encoder, root, videos[:2], rule, keeps=False)  # starts the processes
    rounds = []
    for _ in range(ROUNDS):
        without, kept = (make(encoder, root, videos, rule, keeps=keeps) for keeps in (False, True))
        if without[:2] != kept[:2]:
            raise SystemExit(f"{rule}: kept frames give other motion or other features")
        rounds.append((without.cost, kept.cost))
    return rounds


def _row(kind: str, rule: str, count: int, rounds: Sequence[tuple[Cost, Cost]]) -> str:
    def ms(of: Sequence[float]) -> str:
        return f"{1000 * statistics.median(of) / count:.1f}"

    without, kept = zip(*rounds, strict=True)
    ratios = sorted(one.both_s / other.both_s for other, one in rounds)
    return " | ".join(
        [
            f"| {kind}",
            rule,
            str(count),
            *(ms([cost.motion_s for cost in costs]) for costs in (without, kept)),
            *(ms([cost.clip_s for cost in costs]) for costs in (without, kept)),
            f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})",
            f"{kept[0].kept_bytes / count / 1e6:.2f} |",
        ]
    )


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("videos", type=Path)
    root = parser.parse_args().videos.resolve()
    torch.set_num_threads(1)  # as stages have it; threads that wait for each other take time too
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        encoder = resnet_encoder(place)
        paths = sorted(root.rglob("*.avi"))
        for path in paths[:: max(1, len(paths) // H264_VIDEOS)][:H264_VIDEOS]:
            write_mp4(place / f"{path.stem}.mp4", pictures(path), 25.0)
        rows = []
        for kind, at, found in (("MPEG-4", root, paths), ("H.264, B-frames", place, sorted(place.glob("*.mp4")))):
            clips = [Clip(path.stem, "", "", path) for path in found]
            videos = measure(clips, at, jobs=1)
            for rule in RULES:
                rows.append(_row(kind, rule, len(videos), compare(encoder, at, videos, rule)))
                print(rows[-1], flush=True)
    write_text(PAGE, TEXT.format(rows="\n".join(rows), rounds=ROUNDS))


TEXT = """# What kept frames save

Written by `python -m benchmarks.keep_frames`. Processor time of one machine, ms a video, medians of {rounds} rounds in
turn: motion (8 px, both directions) and CLIP's features by the demo's small network, whose own time is in them, without
(-) and with (+) `clip.keep_frames`; starts of processes are not in it. The ratio is of both stages together, with to
without, and its range. Motion and features had the same bytes.

| videos | frames | count | motion - | motion + | CLIP - | CLIP + | ratio | MB kept a video |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
{rows}
"""


if __name__ == "__main__":
    main()
