"""Motion whose class is the way of a small block, up or down, under a camera that pans anew in every frame.

How fast the block goes, and how far sideways, is each video's own: what tells a video from others in any of its frames.
"""

from pathlib import Path

import numpy as np

from moclip.data.splits import Member, Split
from moclip.motion.grid import MotionGrid
from moclip.motion.store import MotionStore, write_store
from moclip.video.vectors import FrameState

FRAMES, ROWS, COLUMNS, SIDE = 16, 12, 16, 3
PAN, OWN = 20, (8, 20)  # half pixels: most of the camera's, least and most of the block's
CLASSES = ("down", "up")


def clip(way: int, seed: int) -> MotionGrid:
    """A block at a place of its own; mirroring keeps its way."""
    rng = np.random.default_rng(seed)
    mv = np.broadcast_to(rng.integers(-PAN, PAN + 1, (FRAMES, 1, 1, 2)), (FRAMES, ROWS, COLUMNS, 2)).copy()
    row, column = rng.integers(1, ROWS - SIDE), rng.integers(1, COLUMNS - SIDE)
    sideways, along = rng.integers(-OWN[1], OWN[1] + 1), way * rng.integers(OWN[0], OWN[1] + 1)
    mv[:, row : row + SIDE, column : column + SIDE] += (sideways, along)
    mv += rng.integers(-1, 2, mv.shape)
    state = np.full(FRAMES, FrameState.VECTORS, dtype=np.uint8)
    return MotionGrid(mv.astype(np.int8), state, 0, 16, 16 * COLUMNS, 16 * ROWS, 25.0)


def write_blocks(path: Path, videos: int) -> tuple[MotionStore, Split]:
    """So many videos, one in two a test video."""
    members, clips = [], []
    for number in range(videos):
        label = number % 2
        name = f"{CLASSES[label]}{number:03d}"
        members.append(Member(name, label, "train" if number % 4 < 2 else "test", f"g{number}"))
        clips.append((name, clip(1 - 2 * label, number)))
    write_store(path, clips, {"source": "original"})
    return MotionStore.open(path), Split(members, CLASSES)
