"""What a driver does of files that others write, of nodes that are slow, and of nodes with other code."""

import errno
import re
import threading
import time
from pathlib import Path

import psutil
import pytest

from moclip.base.work import Work
from moclip.cluster import node
from moclip.cluster.driver import await_file, connected
from moclip.cluster.node import NodeError

WORK = Work("naps", "nap")
IDLE_S, IDLE_CORES = 3.0, 0.1


def test_a_file_that_is_seen_late_is_waited_for(tmp_path):
    file = tmp_path / "late.block"
    writer = threading.Timer(0.5, file.write_bytes, [b"block"])
    writer.start()
    assert await_file(file, wait_s=30).read_bytes() == b"block"
    writer.join()
    with pytest.raises(FileNotFoundError):
        await_file(tmp_path / "never.block", wait_s=0.1)


def test_a_stale_handle_is_tried_again_and_another_error_is_not(tmp_path, monkeypatch):
    (file := tmp_path / "a.block").write_bytes(b"block")
    errors = [OSError(errno.ESTALE, "Stale file handle"), PermissionError(errno.EACCES, "no")]
    usual = Path.open

    def opened(path, *words):
        if errors:
            raise errors.pop(0)
        return usual(path, *words)

    monkeypatch.setattr(Path, "open", opened)
    with pytest.raises(PermissionError):
        await_file(file)
    assert await_file(file) == file


def test_a_node_that_takes_ten_times_as_long_is_named(nodes, caplog):
    with connected(nodes.address) as cluster:
        cluster.gather([0.01] * 4 + [3.0], time.sleep, WORK, dict)
    (told,) = [record.getMessage() for record in caplog.records if "of which half" in record.getMessage()]
    assert re.fullmatch(r"node \S+ took 3 s for a task, of which half take 0\.[012] s", told)


def test_a_node_that_waits_takes_little(nodes):
    (node,) = map(psutil.Process, (process.pid for process in nodes.nodes))
    before = sum(node.cpu_times()[:2])
    time.sleep(IDLE_S)
    assert sum(node.cpu_times()[:2]) - before <= IDLE_CORES * IDLE_S


def test_a_node_with_other_code_is_refused_by_its_name(nodes, monkeypatch):
    monkeypatch.setattr(node, "code_digest", lambda: "other")
    with (
        connected(nodes.address) as cluster,
        pytest.raises(NodeError, match=r"host \S+: code of moclip is \w+, not other\. Give it what the driver has"),
    ):
        cluster.gather([0.0], time.sleep, WORK, dict)
