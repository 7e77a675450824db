"""A store of generated motion for tests of the motion network: upward and downward clips."""

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from moclip.data.splits import Member, Split
from moclip.motion.grid import MotionGrid
from moclip.motion.store import MotionStore, join_motion, write_motion
from moclip.params.motion import MotionParams
from moclip.params.motion_net import MotionNetParams
from moclip.store.blocks import block_name, parts
from moclip.video.vectors import FrameState
from tests.support.imports import ROOT

MOTION = MotionParams(
    source="original", cell_px=16, reference="backward", distance="nearest", accumulate="none", window_frames=None
)
MOTION_NET: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")["motion_net"]
SEED = (0, "motion", 1)
FRAMES = 9
CLASSES = ("down", "up")


def params(**changes: Any) -> MotionNetParams:
    values = {**MOTION_NET, "segments": 2, "eval_segments": 3, "epochs": 4, "batch_videos": 8, "lr": 0.01}
    return MotionNetParams(**{**values, **changes})


def grid(half_pels: int, seed: int, width: int = 96) -> MotionGrid:
    """Vertical motion of `half_pels` with noise; upright, so that mirroring keeps the class."""
    rng = np.random.default_rng(seed)
    mv = rng.integers(-4, 5, (FRAMES, 4, width // 16, 2)).astype(np.int8)
    mv[..., 1] += half_pels
    state = np.full(FRAMES, FrameState.VECTORS, dtype=np.uint8)
    return MotionGrid(mv, state, 0, 16, width, 64, 25.0)


def write_store(
    path: Path, clips: Iterable[tuple[str, MotionGrid]], made_by: Mapping[str, Any], videos: int = 512
) -> None:
    """A store of grids that lie in memory, in blocks of so many videos."""
    given = list(clips)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="blocks") as folder:
        places = parts(len(given), videos)
        blocks = [Path(folder) / block_name(number) for number in range(len(places))]
        for block, own in zip(blocks, places, strict=True):
            write_motion(block, given[own.start : own.stop], "generated")
        join_motion(path, blocks, made_by)


def write_clips(path: Path) -> MotionStore:
    """Videos down0, up0, down1, ... and one of another size."""
    clips = [(f"{name}{i}", grid(sign * 12, i)) for i in range(12) for name, sign in (("down", 1), ("up", -1))]
    write_store(path, [*clips, ("wide", grid(0, 0, width=128))], {"source": "original"})
    return MotionStore.open(path)


def part(name: str, start: int, end: int) -> Split:
    members = [
        Member(f"{way}{i}", label, name, f"g{way}{i}") for i in range(start, end) for label, way in enumerate(CLASSES)
    ]
    return Split(members, CLASSES)


TRAIN, VAL, TEST = part("train", 0, 8), part("val", 8, 10), part("test", 10, 12)
