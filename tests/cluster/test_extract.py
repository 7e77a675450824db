"""Extraction by nodes: the bytes of one machine, whatever is killed, and every bad video named."""

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from distributed.diagnostics.plugin import SchedulerPlugin
from ruamel.yaml import YAML

from moclip.base.errors import VideoError
from moclip.base.files import sha256_file, write_json, write_text
from moclip.cluster.driver import Cluster, connected
from moclip.cluster.node import NodeError
from moclip.data.manifest import write_manifest
from moclip.data.measure import measure
from moclip.data.ucf101 import find_ucf101
from moclip.motion import extract as module
from moclip.motion.extract import ExtractSummary, MotionOptions, VideoFile, extract
from moclip.store.blocks import read_block
from moclip.video.bounded.limits import DEFAULTS, using
from tests.support.imports import ROOT
from tests.support.nodes import Nodes
from tests.support.trees import content

BLOCK = 4
OPTIONS = MotionOptions()
POINTS = 5
DRIVER = """
import sys
from pathlib import Path
from moclip.cluster.driver import Cluster, connected
from moclip.data.manifest import write_manifest
from moclip.data.measure import measure
from moclip.data.ucf101 import find_ucf101
from moclip.motion import extract as module
from tests.cluster.test_extract import BLOCK, OPTIONS, videos_in
module.BLOCK_VIDEOS = BLOCK
folder, address, out, work = sys.argv[1:]
def each(self, *args, usual=Cluster._each):
    for found in usual(self, *args):
        print("made", flush=True)
        sys.stdin.readline()
        yield found
Cluster._each = each
with connected(address) as nodes:
    module.extract(videos_in(Path(folder)), Path(out), Path(work), OPTIONS, jobs=1, cluster=nodes)
"""


def videos_in(folder: Path) -> list[VideoFile]:
    return [VideoFile(path.stem, path, sha256_file(path)) for path in sorted(folder.rglob("*.avi"))]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_VIDEOS", BLOCK)


@pytest.fixture(scope="module")
def videos(demo_folder: Path) -> list[VideoFile]:
    return videos_in(demo_folder)


@pytest.fixture(scope="module")
def alone(videos: Sequence[VideoFile], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The store that one machine makes."""
    folder = tmp_path_factory.mktemp("alone")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK_VIDEOS", BLOCK)
        extract(videos, folder / "store", folder / "work", OPTIONS, jobs=1)
    return content(folder / "store")


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    found = Nodes(tmp_path_factory.mktemp("nodes"))
    found.add(2)
    yield found
    found.close()


class Struck(Cluster):
    """A cluster to which something happens after some of the results, by their number from 0."""

    def __init__(self, cluster: Cluster, strikes: Mapping[int, Callable[[], None]]) -> None:
        super().__init__(cluster._client, cluster.address)
        self.strikes = strikes

    def _each(self, *args: Any) -> Iterator[tuple[int, Any]]:
        for number, found in enumerate(super()._each(*args)):
            self.strikes.get(number, lambda: None)()
            yield found


def run(
    nodes: Nodes, videos: Sequence[VideoFile], place: Path, strikes: Mapping[int, Callable[[], None]] | None = None
) -> ExtractSummary:
    with connected(nodes.address) as cluster:
        struck = Struck(cluster, strikes or {})
        return extract(videos, place / "store", place / "work", OPTIONS, jobs=1, cluster=struck)


def times(work: Path) -> dict[Path, int]:
    return {block: block.stat().st_mtime_ns for block in work.glob("*/[!.]*.block")}


class InFlight(SchedulerPlugin):
    """The most tasks that a node was given at once."""

    name = "in-flight"
    most = 0

    def start(self, scheduler: Any) -> None:
        self.scheduler = scheduler

    def transition(self, key: Any, start: str, finish: str, *args: Any, **more: Any) -> None:
        InFlight.most = max([InFlight.most, *(len(node.processing) for node in self.scheduler.workers.values())])


def most_in_flight(dask_scheduler: Any) -> int:
    return type(dask_scheduler.plugins["in-flight"]).most


def test_nodes_make_the_bytes_of_one_machine_with_two_blocks_in_flight_each(nodes, videos, alone, tmp_path):
    with connected(nodes.address) as cluster:
        cluster._client.register_plugin(InFlight())
        summary = run(nodes, videos, tmp_path)
        most = cluster._client.run_on_scheduler(most_in_flight)
    assert content(tmp_path / "store") == alone
    assert (summary.videos, summary.decoded) == (len(videos), len(videos))
    assert most == 2
    again = run(nodes, videos, tmp_path)
    assert again.decoded == 0, "a block that is there is not made again"
    assert content(tmp_path / "store") == alone
    assert not list(nodes.folder.glob(".grids*"))


def test_nodes_keep_the_frames_that_one_machine_keeps(nodes, videos, alone, tmp_path):
    keeping = [replace(item, keep=(2, 6)) for item in videos]
    given: Any = (keeping, tmp_path / "store", tmp_path / "work", OPTIONS)
    extract(*given, jobs=1, pictures=tmp_path / "kept")
    expected = content(tmp_path / "kept" / "store")
    for number, decoded in enumerate((len(videos), 0)):
        with connected(nodes.address) as cluster:
            given = (keeping, tmp_path / "by nodes", tmp_path / "shelf", OPTIONS)
            summary = extract(*given, jobs=1, cluster=cluster, pictures=tmp_path / "shelf" / "kept")
        assert summary.decoded == decoded, number
        assert content(tmp_path / "shelf" / "kept" / "store") == expected
        assert content(tmp_path / "by nodes") == alone


def test_nodes_that_are_killed_change_no_byte_and_no_finished_block_is_made_again(
    nodes, videos, alone, tmp_path, caplog
):
    caplog.set_level(logging.WARNING, "moclip")
    seen: dict[Path, int] = {}

    def strike() -> None:
        seen.update({block: at for block, at in times(tmp_path / "work").items() if block not in seen})
        nodes.kill_node()

    run(nodes, videos, tmp_path, dict.fromkeys(range(POINTS), strike))
    assert content(tmp_path / "store") == alone
    assert len(seen) >= POINTS
    assert {block: times(tmp_path / "work")[block] for block in seen} == seen
    assert "is lost; others do its tasks" in caplog.text
    assert run(nodes, videos, tmp_path).decoded == 0
    assert not list((tmp_path / "work").glob("*/.*")), "the next run removes what a node was writing when it was killed"


def test_a_block_that_was_finished_before_is_no_task_unless_its_file_changed(nodes, videos, alone, tmp_path):
    def tasks() -> int:
        handed_out: list[int] = []
        run(nodes, videos, tmp_path, dict.fromkeys(range(len(videos)), lambda: handed_out.append(1)))
        assert content(tmp_path / "store") == alone
        return len(handed_out)

    whole = -(-len(videos) // BLOCK)
    assert tasks() == whole
    assert tasks() == 0
    first, second, third, *_ = sorted(times(tmp_path / "work"))
    (journal,) = tmp_path.glob("work/*/digests.jsonl")
    os.utime(first)
    second.unlink()
    torn = third.read_bytes()
    third.unlink()  # it is linked into the store
    third.write_bytes(torn[:-1])
    assert tasks() == 3
    assert tasks() == 0
    journal.write_bytes(journal.read_bytes()[:-1])
    assert tasks() == 1, "a torn line is none"
    journal.unlink()
    assert tasks() == whole
    asked = [replace(videos[0], sha256=None), *videos[1:]]
    assert run(nodes, asked, tmp_path).decoded == BLOCK, "whose bytes are not stated is looked at"


@contextmanager
def driven(nodes: Nodes, folder: Path, place: Path, results: int) -> Iterator["subprocess.Popen[str]"]:
    """A driver that is a process of its own and has so many results; it goes on where a line comes, or an end."""
    places = [str(path) for path in (folder, nodes.address, place / "store", place / "work")]
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", DRIVER, *places], cwd=ROOT, **pipes) as driver:
        for number in range(results):
            if number:
                driver.stdin.write("\n")
                driver.stdin.flush()
            assert driver.stdout.readline() == "made\n"
        yield driver


@pytest.mark.parametrize("what", ["driver", "scheduler"])
def test_a_driver_or_a_scheduler_that_is_killed_is_gone_on_from(nodes, videos, alone, tmp_path, demo_folder, what):
    for point in range(1, POINTS + 1):
        place = tmp_path / str(point)
        with driven(nodes, demo_folder, place, point) as driver:
            if what == "driver":
                driver.kill()
            else:
                nodes.kill_scheduler()
            _, said = driver.communicate()
        kept = times(place / "work")
        assert len(kept) >= point
        if what == "scheduler":
            assert (
                f"NodeError: the scheduler at {nodes.address} is gone; what is finished stays: start it again" in said
            )
        summary = run(nodes, videos, place)
        assert times(place / "work").items() >= kept.items()
        assert summary.decoded <= len(videos) - BLOCK * len(kept)
        assert content(place / "store") == alone
        assert not list((place / "work").glob("*/.*"))


def test_all_bad_videos_of_all_blocks_are_one_error_and_the_nodes_live(nodes, videos, alone, tmp_path):
    run(nodes, videos, tmp_path)
    folder = tmp_path / "videos"
    folder.mkdir()
    bad = []
    for name, place in (("crash", 2), ("hang", 6), ("missing", 11), ("changed", 14)):
        path = folder / f"{name}.avi"
        path.write_bytes(videos[place].path.read_bytes())
        bad.append((place, VideoFile(name, path, sha256_file(path))))
    (folder / "missing.avi").unlink()
    (folder / "changed.avi").write_bytes(b"other")
    asked = [*videos]
    for place, item in bad:
        asked[place] = item
    with using(replace(DEFAULTS, seconds=2.0)), pytest.raises(VideoError) as caught:
        run(nodes, asked, tmp_path)
    first, *lines = str(caught.value).splitlines()
    assert first == f"4 of {len(videos)} videos cannot be used:"
    reasons = ["its decoder crashes, or hangs", "seconds", "no such file", "its bytes are not those of the manifest"]
    for line, (_, item), reason in zip(lines, bad, reasons, strict=True):
        assert str(item.path) in line
        assert reason in line
    assert content(tmp_path / "store") == alone, "left as it was"
    assert all(node.poll() is None for node in nodes.nodes)


def test_a_node_with_another_decoder_is_refused_by_its_host_before_it_writes(nodes, videos, tmp_path, monkeypatch):
    monkeypatch.setattr(module.video, "versions", lambda: {"pyav": "17.0", "ffmpeg": "7"})
    said = rf"host {os.uname().nodename}: ffmpeg is .*, not 7, pyav is .*, not 17\.0\. Give it"
    with pytest.raises(NodeError, match=said):
        run(nodes, videos, tmp_path)
    assert times(tmp_path / "work") == {}
    assert not (tmp_path / "store").exists()


def test_a_block_that_two_nodes_make_with_other_bytes_is_named(videos, tmp_path, monkeypatch):
    rows = tuple((item.id, item.path.name, item.sha256, False, ()) for item in videos[:2])
    root = videos[0].path.parent
    task = module.BlockTask(
        tmp_path / "000000.block", None, root, tuple(r for r in rows if (root / r[1]).is_file()), OPTIONS
    )
    made = module.make_block(task)
    assert made.sha256 == (sha256_file(task.file),)
    stamp = read_block(task.file)[0].stamp
    answers = iter([False, False, True])
    monkeypatch.setattr(module, "_has_stamp", lambda file, wanted, ids: wanted == stamp and next(answers))
    task.file.write_bytes(task.file.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(module.StoreError, match=r"000000\.block: another node made it of the same videos"):
        module.make_block(task)


def test_without_the_variable_dask_is_not_imported():
    program = (
        "import sys, stages.extract_motion\n"
        "from stages._cluster import cluster\n"
        "with cluster() as nodes:\n    assert nodes is None\n"
        "assert 'distributed' not in sys.modules and 'dask' not in sys.modules"
    )
    env = {name: value for name, value in os.environ.items() if name != "MOCLIP_CLUSTER"}
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=env, check=True)


def test_where_nobody_answers_the_variable_is_named(monkeypatch):
    monkeypatch.setattr("moclip.cluster.driver._CONNECT_S", 0.2)
    said = r"MOCLIP_CLUSTER: no scheduler answers at tcp://127\.0\.0\.1:9 .*or unset it"
    with pytest.raises(NodeError, match=said), connected("tcp://127.0.0.1:9"):
        pass


def test_the_lock_of_a_stage_is_the_same_file_with_and_without_nodes(nodes, demo_folder, tmp_path):
    graph, params = (YAML(typ="safe", pure=True).load(ROOT / name) for name in ("dvc.yaml", "params.yaml"))
    own = {"stages": {"extract_motion": graph["stages"]["extract_motion"]}}
    write_json(tmp_path / "dvc.yaml", own)
    write_json(tmp_path / "params.yaml", params | {"data": params["data"] | {"root": str(demo_folder)}})
    write_text(tmp_path / "code/extract_motion.txt", "")
    clips = list(find_ucf101(demo_folder, "demo").clips.values())
    write_manifest(tmp_path / "data/manifest.csv", measure(clips, demo_folder, jobs=1))
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    env |= {"DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(tmp_path / "site")}
    locks = []
    subprocess.run(["dvc", "init", "--quiet", "--no-scm"], cwd=tmp_path, env=env, check=True)
    for address in ("", nodes.address):
        shutil.rmtree(tmp_path / ".work", ignore_errors=True)
        repro = ["dvc", "repro", "--force"]
        subprocess.run(
            repro, cwd=tmp_path, env={**env, "MOCLIP_CLUSTER": address}, check=True, capture_output=True, text=True
        )
        locks.append((tmp_path / "dvc.lock").read_bytes())
    assert locks[0] == locks[1]
    assert list(tmp_path.glob(".work/*/*/*.block"))
    assert not list(tmp_path.glob(".work/*/*/*.grid")), "the nodes did it"
