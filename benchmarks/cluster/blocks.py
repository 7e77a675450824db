"""Blocks that sleep as long as real ones take and write 100 bytes, handed out by the driver's own code.

Scheduler, nodes and driver are processes on this machine. The seconds of a block are sums of measured seconds of
videos, scaled to a mean.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from moclip.base.files import atomic_path
from moclip.base.work import Work
from moclip.cluster.driver import connected
from moclip.motion.store import BLOCK_VIDEOS
from moclip.store.blocks import block_name
from tests.support.imports import ROOT
from tests.support.nodes import Nodes

BYTES = 100
MIB = 1 << 20
_POLL_S, _SETTLE_S = 0.05, 3.0
_DRIVE = "import sys; from benchmarks.cluster.blocks import drive; drive(*sys.argv[1:])"


@dataclass(frozen=True)
class Nap:
    """A block without videos: its number, and the seconds that it takes."""

    number: int
    seconds: float


def naps(videos_s: Sequence[float], count: int, mean_s: float) -> list[Nap]:
    """Blocks of this mean, spread as the sums of `BLOCK_VIDEOS` of the measured seconds are."""
    generator = np.random.default_rng(0)
    sums = np.array([generator.choice(videos_s, BLOCK_VIDEOS).sum() for _ in range(count)])
    return [Nap(number, seconds) for number, seconds in enumerate((sums * mean_s / sums.mean()).tolist())]


def name_of(nap: Nap) -> str:
    """The block's file."""
    return block_name(nap.number)


def take(nap: Nap, file: Path) -> None:
    """What a node does of a block; beside the file stands how often."""
    with (file.parent / f"begun.{os.getpid()}").open("a", encoding="ascii") as log:
        log.write(f"{nap.number}\n")
    time.sleep(nap.seconds)
    with atomic_path(file, flush=False) as block:
        block.write_bytes(b"%0*d" % (BYTES, nap.number))


def drive(address: str, place: str, plan: str) -> None:
    """A driver that is a process of its own: prints what it made and what that cost it."""
    planned = [Nap(*row) for row in json.loads(Path(plan).read_text(encoding="ascii"))]
    with connected(address) as nodes:
        before = time.process_time()
        finished = nodes.finish(planned, name_of, take, Path(place), Work("blocks", "block"), facts_of=dict)
        spent = time.process_time() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"made": finished.made, "cpu_s": spent, "peak_mib": peak}))


class Bench:
    """A scheduler and its nodes, and drivers that one after the other hand out blocks to them."""

    def __init__(self, folder: Path, nodes: int) -> None:
        self.folder = folder
        self.nodes = Nodes(folder, env={"DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "false"})
        self.nodes.add(nodes)
        self.scheduler = psutil.Process(self.nodes.scheduler.pid)

    def close(self) -> None:
        """End all processes."""
        self.nodes.close()

    def driver(self, place: Path, planned: Sequence[Nap]) -> "subprocess.Popen[str]":
        """A driver that has begun."""
        place.mkdir(exist_ok=True)
        plan = place.with_suffix(".json")
        plan.write_text(json.dumps([(nap.number, nap.seconds) for nap in planned]), encoding="ascii")
        words = [sys.executable, "-c", _DRIVE, self.nodes.address, str(place), str(plan)]
        return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def run(self, place: Path, planned: Sequence[Nap]) -> dict[str, float]:
        """All blocks: milliseconds of CPU a block by process, and memory."""
        workers = [psutil.Process(node.pid) for node in self.nodes.nodes]
        before, of_nodes, began = cpu_s(self.scheduler), sum(map(cpu_s, workers)), time.perf_counter()
        told = _ended(self.driver(place, planned))
        wall, count = time.perf_counter() - began, len(planned)
        return {
            "blocks": count,
            "wall_s": wall,
            "scheduler_ms_a_block": 1000 * (cpu_s(self.scheduler) - before) / count,
            "driver_ms_a_block": 1000 * told["cpu_s"] / count,
            "node_ms_a_block": 1000 * (sum(map(cpu_s, workers)) - of_nodes) / count,
            "scheduler_mib": self.scheduler.memory_info().rss / MIB,
            "driver_peak_mib": told["peak_mib"],
        }

    def resume(self, place: Path, planned: Sequence[Nap]) -> dict[str, float]:
        """All blocks by two drivers, of which the first is killed at half: seconds until the second makes a block."""
        first = self.driver(place, planned)
        while (killed_at := _count(place)) < len(planned) / 2:
            time.sleep(_POLL_S)
        first.send_signal(signal.SIGKILL)
        first.wait()
        time.sleep(_SETTLE_S)  # what nodes had begun ends
        kept, began = _count(place), time.perf_counter()
        second = self.driver(place, planned)
        while _count(place) == kept:
            if second.poll() is not None:
                raise SystemExit("the second driver made no block")
            time.sleep(_POLL_S)
        resumed = time.perf_counter() - began
        made = _ended(second)["made"]
        return {
            "blocks": len(planned),
            "killed_at": killed_at,
            "resume_s": resumed,
            "made_by_second": made,
            "lost": len(planned) - _count(place),
            "finished_made_again": made - (len(planned) - kept),
            "begun_twice": len(_begun(place)) - len(planned),
        }


def cpu_s(process: psutil.Process) -> float:
    """Seconds of a process's own threads."""
    times = process.cpu_times()
    return float(times.user + times.system)


def _ended(driver: "subprocess.Popen[str]") -> dict[str, Any]:
    told, _ = driver.communicate()
    if driver.returncode:
        raise SystemExit("a driver failed")
    return dict(json.loads(told))


def _count(place: Path) -> int:
    return sum(entry.name.endswith(".block") and not entry.name.startswith(".") for entry in os.scandir(place))


def _begun(place: Path) -> list[str]:
    return [line for log in place.glob("begun.*") for line in log.read_text(encoding="ascii").splitlines()]


def flatness(folder: Path, videos_s: Sequence[float], counts: Sequence[int], nodes: int, mean_s: float) -> list[Any]:
    """The costs of a block, for each of some counts of blocks, each with a scheduler of its own."""
    rows = []
    for count in counts:
        place = folder / str(count)
        place.mkdir()
        with closing(Bench(place, nodes)) as bench:
            rows.append(bench.run(place / "blocks", naps(videos_s, count, mean_s)))
    return rows


def resumption(folder: Path, videos_s: Sequence[float], count: int, nodes: int, mean_s: float) -> dict[str, float]:
    """What becomes of blocks whose driver is killed at half."""
    with closing(Bench(folder, nodes)) as bench:
        return bench.resume(folder / "blocks", naps(videos_s, count, mean_s))
