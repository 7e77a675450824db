"""What data sets of many sizes cost: a table from constants that say whether they were measured."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from benchmarks.cluster.costs import HEIGHT, WIDTH
from moclip.base.files import read_json
from moclip.motion.grid import grid_shape
from moclip.motion.store import BLOCK_VIDEOS
from tests.support.imports import ROOT

MINUTE_S, HOUR_S, DAY_S = 60.0, 3600.0, 86400.0
KB, MB, GB, TB = 1e3, 1e6, 1e9, 1e12
CORES = (2, 64, 1600)
MOST = CORES[-1]
CELL_PX, FEATURE_BYTES = 16, 512 * 4
_ENGINE = read_json(ROOT / "benchmarks/motion.json")
_FRAMES: Mapping[str, float] = _ENGINE["methods"]["moclip"]
WHOLE_UCF101_H = _ENGINE["figures"]["full_size_cpu_seconds"] / HOUR_S


class Constant(NamedTuple):
    """A value with its unit; `source` says where it was measured, or why it is assumed."""

    name: str
    value: float
    unit: str
    measured: bool
    source: str
    again: str = ""
    """Name of what `benchmarks.cluster.costs` measures of the same kind."""


MPEG4_US = 1e6 * _FRAMES["cpu_s"] / _FRAMES["frames"]
MPEG4 = Constant("a frame of MPEG-4, 320 x 240", MPEG4_US, "us", True, "benchmarks/motion.md", "mpeg4_us")
H264 = Constant("a frame of H.264, 340 x 256", 295, "us", True, "clips of UCF101, coded anew", "h264_us")
REENCODED = Constant("a frame that is re-encoded", 1200, "us", True, "clips of UCF101", "reencoded_us")
MIDDLE = Constant("the middle frame, of the motion pass", 0.63, "", True, "clips of UCF101", "middle_share")
CLIP_2 = Constant("ViT-B/32 in bfloat16 on 2 cores", 38, "images/s", True, "this project's machine")
CLIP_GPU = Constant("ViT-B/32 on an H100 that is fed", 3000, "images/s", False, "its arithmetic allows ten times that")
MANIFEST = Constant("a row of the manifest in memory", 145, "bytes", True, "read_manifest")
CORE = Constant("a core-hour", 0.04, "$", False, "spot prices of clouds")
GPU = Constant("an hour of an H100", 3, "$", False, "prices of clouds")
STORAGE = Constant("a TB kept for a month", 23, "$", False, "object stores")
CONSTANTS = (MPEG4, H264, REENCODED, MIDDLE, CLIP_2, CLIP_GPU, MANIFEST, CORE, GPU, STORAGE)


@dataclass(frozen=True)
class DataSet:
    """Videos as they are assumed: count, frames and bytes of each, what a frame costs, and the pictures' size."""

    name: str
    videos: int
    frames: float
    file_kb: float
    frame: Constant
    width: int = WIDTH
    height: int = HEIGHT
    middle: Constant | None = None
    """What a frame costs to the middle one, where motion needs another pass than decoding."""

    @property
    def motion_s(self) -> float:
        """Seconds of one core."""
        return self.videos * self.frames * self.frame.value / 1e6

    @property
    def middle_s(self) -> float:
        """Seconds of one core."""
        return MIDDLE.value * self.videos * self.frames * (self.middle or self.frame).value / 1e6

    @property
    def read_bytes(self) -> float:
        """Of the videos."""
        return self.videos * self.file_kb * KB

    @property
    def store_bytes(self) -> float:
        """Of motion: two bytes a cell, and a byte a frame."""
        return self.videos * self.frames * (2 * math.prod(grid_shape(self.width, self.height, CELL_PX)) + 1)

    @property
    def blocks(self) -> int:
        """Files of the motion store."""
        return math.ceil(self.videos / BLOCK_VIDEOS)

    @property
    def compute_dollars(self) -> float:
        """Of motion and CLIP, with a GPU."""
        gpu_h = self.videos / CLIP_GPU.value / HOUR_S
        return (self.motion_s + self.middle_s) / HOUR_S * CORE.value + gpu_h * GPU.value


SETS = (
    DataSet("UCF101", 13_320, 186, 520, MPEG4, 320, 240),
    DataSet("Something-Something v2 (VP9)", 220_847, 45, 90, REENCODED, middle=H264),
    DataSet("Kinetics-700", 650_000, 300, 780, H264),
    DataSet("10 M of the web", 10_000_000, 300, 780, H264),
    DataSet("100 M of the web", 100_000_000, 300, 780, H264),
)


def table(block_ms: float | None) -> list[Sequence[str]]:
    """Rows of text, the first with the names of the data sets.

    Args:
        block_ms: What scheduler and driver together were measured to take of a block; None where nobody has measured.
    """
    values: dict[str, Callable[[DataSet], str]] = {
        "motion, core-hours": lambda data: number(data.motion_s / HOUR_S),
        "middle frame for CLIP, core-hours": lambda data: number(data.middle_s / HOUR_S),
        "CLIP on one H100": lambda data: duration(data.videos / CLIP_GPU.value),
        "CLIP on 2 cores": lambda data: duration(data.videos / CLIP_2.value),
        **{f"motion on {count:,} cores": partial(_motion_on, count) for count in CORES},
        "videos, read": lambda data: size(data.read_bytes),
        f"motion at {CELL_PX} px, kept": lambda data: size(data.store_bytes),
        "files of motion": lambda data: f"{data.blocks:,}",
        "CLIP's features": lambda data: size(data.videos * FEATURE_BYTES),
        "manifest in memory": lambda data: size(data.videos * MANIFEST.value),
        "compute, $": lambda data: number(data.compute_dollars),
        "motion kept for a month, $": lambda data: number(data.store_bytes / TB * STORAGE.value),
        f"read by {MOST:,} cores, GB/s": lambda data: number(data.read_bytes / GB * MOST / data.motion_s),
        f"opened by {MOST:,} cores, videos/s": lambda data: number(data.videos * MOST / data.motion_s),
    }
    if block_ms is not None:
        values[f"scheduler and driver for {MOST:,} cores, cores"] = lambda data: number(
            data.blocks * MOST / data.motion_s * block_ms / 1000
        )
    return [("", *(data.name for data in SETS)), *((name, *map(of, SETS)) for name, of in values.items())]


def _motion_on(cores: int, data: DataSet) -> str:
    return duration(data.motion_s / cores)


def number(value: float) -> str:
    """A value of two digits, as text."""
    digits = max(0, 1 - math.floor(math.log10(value))) if value else 0
    return f"{round(value, 1 - math.floor(math.log10(value))):,.{digits}f}" if value else "0"


def duration(seconds: float) -> str:
    """Seconds in the unit that suits them."""
    for unit, length in (("days", DAY_S), ("h", HOUR_S), ("min", MINUTE_S)):
        if seconds >= 2 * length:
            return f"{number(seconds / length)} {unit}"
    return f"{number(seconds)} s"


def size(count: float) -> str:
    """Bytes in the unit that suits them."""
    for unit, length in (("TB", TB), ("GB", GB)):
        if count >= length:
            return f"{number(count / length)} {unit}"
    return f"{number(count / MB)} MB"
