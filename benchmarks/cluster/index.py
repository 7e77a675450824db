"""The index of a store of many videos: what opening it, and finding some, takes in time and memory.

The blocks are real ones of the motion store's size, whose videos have one row of one byte each.
"""

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import psutil

from moclip.base.files import fingerprint
from moclip.motion.store import BLOCK_VIDEOS
from moclip.store.blocks import BlockStore, block_name, join, parts, write_block
from tests.support.imports import ROOT

MIB = 1 << 20
_LOOKED_UP = 1000
_OPEN = "import sys; from benchmarks.cluster.index import opened; opened(*sys.argv[1:])"


def video(number: int) -> str:
    """The id of a video, as long as those of Kinetics with their times."""
    return f"{number:011x}_{number % 600:06d}_{number % 600 + 10:06d}"


def make(folder: Path, videos: int) -> Path:
    """A store of so many videos."""
    row = np.zeros((1, 1), np.uint8)
    files = []
    for number, own in enumerate(parts(videos, BLOCK_VIDEOS)):
        files.append(folder / "work" / block_name(number))
        write_block(files[-1], [video(one) for one in own], {"state": [row] * len(own)}, flush=False)
    join(folder / "store", files, {}, digests=[fingerprint(file.name) for file in files])
    return folder / "store"


def opened(path: str, videos: str) -> None:
    """In a process of its own: opens the store, looks videos up, and prints seconds and memory."""
    start = _now()
    store = BlockStore(Path(path))
    was_open = _now()
    wanted = np.random.default_rng(0).integers(0, int(videos), _LOOKED_UP).tolist()
    assert all(video(one) in store for one in wanted)
    looked = _now()
    told = {
        **{f"open_{name}": was_open[name] - start[name] for name in start},
        **{f"look_up_{name}": looked[name] - was_open[name] for name in start},
    }
    print(json.dumps(told))


def _now() -> dict[str, float]:
    """Seconds of the wall and of the processor, and memory: own, and what nobody else has mapped of files."""
    memory = psutil.Process().memory_full_info().uss / MIB
    return {"s": time.perf_counter(), "cpu_s": time.process_time(), "mib": memory}


def index(folder: Path, videos: int) -> Mapping[str, float]:
    """Makes a store, and opens it in a process of its own; `look_up` is of 1,000 videos, after opening."""
    began = time.process_time()
    store = make(folder, videos)
    making = time.process_time() - began
    words = [sys.executable, "-c", _OPEN, str(store), str(videos)]
    told = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return {"videos": videos, "blocks": len(parts(videos, BLOCK_VIDEOS)), "make_cpu_s": making, **json.loads(told)}
