"""What nodes cost beside their work: processor time of the same extraction by one machine and by a node, in turn."""

import pickle
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from statistics import median

import psutil

from moclip.base.files import sha256_file
from moclip.base.parallel import cores, keep_pools
from moclip.cluster.driver import Cluster, connected
from moclip.cluster.node import Job, all_facts
from moclip.motion import extract as module
from moclip.motion.extract import BlockTask, MotionOptions, VideoFile, extract, made_by, make_block
from moclip.motion.store import BLOCK_VIDEOS
from moclip.video.bounded.limits import current
from tests.support.imports import ROOT
from tests.support.nodes import Nodes

BLOCK = 64
IDLE_S = 20.0
OPTIONS = MotionOptions()
_SERVE = "import sys; from benchmarks.cluster.overhead import serve; serve(*sys.argv[1:])"


def videos_of(folder: Path, count: int) -> list[VideoFile]:
    """So many videos: the files of a folder again and again, each with an id of its own."""
    files = [(path, sha256_file(path)) for path in sorted(folder.rglob("*.avi"))]
    return [VideoFile(f"{number:06d}", *files[number % len(files)]) for number in range(count)]


def extraction(videos: Sequence[VideoFile], place: Path, cluster: Cluster | None = None) -> None:
    """A whole extraction in small blocks."""
    module.BLOCK_VIDEOS = BLOCK  # type: ignore[attr-defined]  # where it is read, as tests set it
    extract(videos, place / "store", place / "work", OPTIONS, jobs=cores(), cluster=cluster)


def serve(folder: str, count: str) -> None:
    """One machine, in a process of its own that keeps its pool as a node does: extracts into each place on stdin."""
    keep_pools()
    videos = videos_of(Path(folder), int(count))
    for line in sys.stdin:
        extraction(videos, Path(line.strip()))
        print("done", flush=True)


def tree_s(process: psutil.Process) -> float:
    """Processor seconds of a process and of all that it started."""
    every = [process, *process.children(recursive=True)]
    return float(sum(sum(one.cpu_times()[:4]) for one in every))


def overhead(place: Path, folder: Path, count: int, rounds: int) -> dict[str, float]:
    """Processor seconds of both, medians of some rounds in turn; one more comes first, for their starts."""
    videos = videos_of(folder, count)
    words = [sys.executable, "-c", _SERVE, str(folder), str(count)]
    spent: dict[str, list[float]] = {"alone": [], "node": [], "wall": []}
    with (
        subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as alone,
        closing(Nodes(place)) as nodes,
    ):
        nodes.add()
        node = psutil.Process(nodes.nodes[0].pid)
        for number in range(rounds + 1):
            before = tree_s(machine := psutil.Process(alone.pid))
            _ask(alone, place / f"alone{number}")
            spent["alone"].append(tree_s(machine) - before)
            before, began = tree_s(node), time.perf_counter()
            with connected(nodes.address) as cluster:
                extraction(videos, place / f"node{number}", cluster)
            spent["node"].append(tree_s(node) - before)
            spent["wall"].append(time.perf_counter() - began)
        before = tree_s(node)
        time.sleep(IDLE_S)
        idle = (tree_s(node) - before) / IDLE_S
        alone.communicate("")
    middle = {name: median(found[1:]) for name, found in spent.items()}
    return {
        "videos": count,
        "rounds": rounds,
        "alone_cpu_s": middle["alone"],
        "node_cpu_s": middle["node"],
        "node_idle_cpu_s": idle * middle["wall"],
        "node_vs_alone_cpu": (middle["node"] - idle * middle["wall"]) / middle["alone"],
        "idle_node_cores": idle,
        "message_kb": message_bytes(folder) / 1000,
    }


def _ask(alone: "subprocess.Popen[str]", place: Path) -> None:
    assert alone.stdin is not None
    assert alone.stdout is not None
    alone.stdin.write(f"{place}\n")
    alone.stdin.flush()
    if alone.stdout.readline() != "done\n":
        raise SystemExit("the extraction of one machine failed")


def message_bytes(folder: Path) -> int:
    """Of the task of a whole block of these videos."""
    rows = tuple((v.id, str(v.path.relative_to(folder)), v.sha256, False, ()) for v in videos_of(folder, BLOCK_VIDEOS))
    task = BlockTask(Path("/shared/work/000000.block"), None, Path("/shared/videos"), rows, OPTIONS)
    facts_of = partial(made_by, OPTIONS)
    job = Job(facts_of, all_facts(facts_of), pickle.dumps(make_block), current())
    return len(pickle.dumps((job, task)))
