"""How fast motion is read, as ratios inside one run: against a plain loop, another package, and the limit.

    python -m benchmarks.motion VIDEOS --extractor-python PY --full-size FOLDER

VIDEOS is a folder of videos. PY is an interpreter of an environment that has `motion-vector-extractor` 2.0.
FOLDER holds one file or link for each of UCF101's 13,320 names.
Writes benchmarks/motion.json and benchmarks/motion.md.
"""

import argparse
import json
import logging
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.motion_worker import METHODS
from moclip.base.files import read_json, write_json, write_text
from moclip.motion.extract import MotionOptions, VideoFile, extract
from moclip.motion.fields import field_at
from moclip.motion.store import MotionStore
from moclip.video import decode as video

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "motion"
POINTS_PER_VIDEO = 3  # segments of a training step


class Cost(NamedTuple):
    """Seconds and CPU seconds for all videos, each video's best of all rounds."""

    frames: int
    wall_s: float
    cpu_s: float


class Server:
    """A running `motion_worker`."""

    def __init__(self, method: str, python: str) -> None:
        self.process = subprocess.Popen(
            [python, str(ROOT / "benchmarks" / "motion_worker.py"), method],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # the other package logs every oddity of old files
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.input, self.output = self.process.stdin, self.process.stdout
        json.loads(self.output.readline())

    def read(self, path: Path) -> tuple[int, float, float]:
        """Frames, seconds and CPU seconds of one reading."""
        self.input.write(f"{path}\n")
        self.input.flush()
        frames, wall_s, cpu_s = json.loads(self.output.readline())
        return frames, wall_s, cpu_s

    def stop(self) -> None:
        """End the worker."""
        self.input.close()
        self.process.wait()


def compare(paths: Sequence[Path], extractor_python: str | None, rounds: int) -> dict[str, Cost]:
    """Time each method on each video, the methods in turn so that load from elsewhere meets all alike."""
    pythons: dict[str, str | None] = dict.fromkeys(METHODS, sys.executable)
    pythons["extractor"] = extractor_python
    servers = {name: Server(name, python) for name, python in pythons.items() if python}
    best: dict[str, list[tuple[int, float, float]]] = {name: [] for name in servers}
    for path in paths:
        for name, server in servers.items():
            reads = [server.read(path) for _ in range(rounds)]
            walls, cpus = [read[1] for read in reads], [read[2] for read in reads]
            best[name].append((reads[0][0], min(walls), min(cpus)))
    for server in servers.values():
        server.stop()
    return {name: Cost(*map(sum, zip(*rows, strict=True))) for name, rows in best.items()}


def ratios(costs: dict[str, Cost]) -> dict[str, float]:
    """The ratios of the methods."""
    seconds = {name: cost.wall_s / cost.frames for name, cost in costs.items()}
    cpu = {name: cost.cpu_s / cost.frames for name, cost in costs.items()}
    found = {
        "pipeline_vs_plain_frames_per_s": seconds["plain"] / seconds["moclip"],
        "limit_vs_vectors_frames_per_s": seconds["moclip_vectors"] / seconds["unread"],
        "limit_vs_pipeline_frames_per_s": seconds["moclip"] / seconds["unread"],
    }
    if "extractor" in costs:
        found |= {
            "vectors_vs_extractor_frames_per_s": seconds["extractor"] / seconds["moclip_vectors"],
            "vectors_vs_extractor_cpu_per_frame": cpu["moclip_vectors"] / cpu["extractor"],
        }
    return found


def scaling(videos: Sequence[VideoFile], rounds: int) -> float:
    """Speed-up of extraction from one process to two, start of the processes included; best of rounds each."""
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(rounds):
        for jobs, found in seconds.items():
            with tempfile.TemporaryDirectory() as folder:
                start = time.perf_counter()
                place = Path(folder)
                extract(videos, place / "store", place / "work", MotionOptions(), jobs=jobs)
                found.append(time.perf_counter() - start)
    return min(seconds[1]) / min(seconds[2])


def full_size(folder: Path) -> dict[str, float]:
    """Extract a data set of full size on two processes, then again with a kill -9 in the middle."""
    paths = sorted(folder.rglob("*.avi"))
    with tempfile.TemporaryDirectory() as place:
        whole, killed = Path(place) / "whole", Path(place) / "killed"
        start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        _extract_apart(folder, whole)
        seconds = time.perf_counter() - start
        peaks = read_json(whole / "peak_mb.json")
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
        _extract_apart(folder, killed, kill_after=len(paths) // 2)
        _extract_apart(folder, killed)
        store, other = whole / "store", killed / "store"
        names = [file.relative_to(store) for file in sorted(store.rglob("*")) if file.is_file()]
        same = all((store / name).read_bytes() == (other / name).read_bytes() for name in names)
        size = sum((store / name).stat().st_size for name in names)
        reads = training_reads(MotionStore.open(store))
    return {
        "full_size_videos": len(paths),
        "full_size_seconds": seconds,
        "full_size_store_gb": size / 1e9,
        "full_size_cpu_seconds": _cpu(spent) - _cpu(before),
        "full_size_worker_peak_mb": peaks["worker"],
        "full_size_main_process_peak_mb": peaks["own"],
        "full_size_same_bytes_after_kill": float(same),
        **reads,
    }


def _cpu(usage: resource.struct_rusage) -> float:
    return usage.ru_utime + usage.ru_stime


def _peak_mb(whose: int) -> float:
    return resource.getrusage(whose).ru_maxrss / 1024


def _extract_apart(folder: Path, place: Path, kill_after: int | None = None) -> None:
    """Run the extraction in a process of its own, which may be killed when so many videos are done."""
    command = [sys.executable, "-m", "benchmarks.motion", str(folder), "--extract", str(place)]
    process = subprocess.Popen(command, cwd=ROOT)
    while process.poll() is None:
        time.sleep(0.2)
        if kill_after is not None and len(list(place.glob("work/*/*.grid"))) >= kill_after:
            process.send_signal(signal.SIGKILL)
    if kill_after is None and process.returncode:
        raise SystemExit("extraction failed")


def training_reads(store: MotionStore, seconds: float = 2.0) -> dict[str, float]:
    """Random windows a second, and training samples (3 accumulated fields of a video) a second."""
    rng = np.random.default_rng(0)
    ids = store.ids

    def rate(read: Any) -> float:
        count, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            read(ids[int(rng.integers(len(ids)))])
            count += 1
        return count / (time.perf_counter() - start)

    def window(video_id: str) -> None:
        frames = store.info(video_id).frames
        np.array(store.window(video_id, int(rng.integers(frames - 12)), 12).mv)

    def sample(video_id: str) -> None:
        grid = store.clip(video_id)
        field_at(grid, rng.integers(0, len(grid.mv), POINTS_PER_VIDEO), "window", 12)

    return {"windows_per_s": rate(window), "training_samples_per_s": rate(sample)}


def table(costs: dict[str, Cost], figures: dict[str, float]) -> str:
    """The results in Markdown."""
    lines = [
        "# Speed of the motion engine",
        "",
        f"Written by `python -m benchmarks.motion`, {costs['moclip'].frames} frames of real clips, one process and"
        " one thread unless said otherwise. Ratios are of one run; times are the best of several rounds.",
        "",
        "| method | frames/s | CPU us per frame |",
        "| --- | ---: | ---: |",
    ]
    for name, cost in costs.items():
        fps, cpu = cost.frames / cost.wall_s, cost.cpu_s / cost.frames * 1e6
        lines.append(f"| {name} | {fps:.0f} | {cpu:.0f} |")
    lines += ["", "| figure | measured |", "| --- | ---: |"]
    lines += [f"| {name} | {value:.2f} |" for name, value in figures.items()]
    return "\n".join(lines) + "\n"


def write(costs: dict[str, Cost], figures: dict[str, float]) -> None:
    """Write the JSON file and the table."""
    result = {
        "decoder": video.versions(),
        "methods": {name: cost._asdict() for name, cost in costs.items()},
        "figures": {name: round(value, 4) for name, value in figures.items()},
    }
    write_json(RESULTS.with_suffix(".json"), result)
    write_text(RESULTS.with_suffix(".md"), table(costs, figures))


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("videos", type=Path)
    parser.add_argument("--extractor-python")
    parser.add_argument("--full-size", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--extract", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    paths = sorted(path.absolute() for path in args.videos.rglob("*.avi"))
    videos = [VideoFile(path.stem, path) for path in paths]
    if args.extract:
        extract(videos, args.extract / "store", args.extract / "work", MotionOptions(), jobs=2)
        own, workers = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
        peaks = {"own": _peak_mb(own), "worker": _peak_mb(workers)}
        write_json(args.extract / "peak_mb.json", peaks)
        return
    costs = compare(paths, args.extractor_python, args.rounds)
    figures = ratios(costs)
    write(costs, figures)
    if args.full_size:
        more = [VideoFile(path.stem, path) for path in sorted(args.full_size.rglob("*.avi"))]
        figures |= {"scaling_1_to_2_processes": scaling(more[:600], 5)}
        figures |= full_size(args.full_size)
        write(costs, figures)


if __name__ == "__main__":
    main()
