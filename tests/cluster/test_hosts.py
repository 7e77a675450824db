"""Three hosts with a network and mounts of their own: what holds where locks do not reach and cables are cut.

Each has the shared folder by a FUSE mount of its own, as with NFS without locks; process numbers are the same on all.
"""

import itertools
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from moclip.motion import extract as module
from moclip.motion.extract import extract
from tests.cluster.test_extract import BLOCK, DRIVER, OPTIONS, videos_in
from tests.support.imports import ROOT
from tests.support.nodes import SCHEDULES, WORKS, said
from tests.support.trees import content

CUT_S = 20
NAMES = ("head", "one", "two")
# A mount of its own, a name, and process numbers from 1 on; all of it ends with its first process.
ENTER = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--uts", "sh", "-c")
MOUNT = 'hostname "$1" && bindfs "$2" "$3" && shift 3 && exec "$@"'


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


class Hosts:
    """Hosts at 10.77.0.1 and on, each by a cable in one switch; they see `shared` as `seen`."""

    def __init__(self, folder: Path) -> None:
        self.shared, self.seen = folder / "shared", folder / "seen"
        self.tag = f"mc{os.getpid() % 10**6}"
        self.spaces = [f"{self.tag}-{name}" for name in ("switch", *NAMES)]
        for path in (self.shared, self.seen):
            path.mkdir()

    def wire(self) -> None:
        switch, *spaces = self.spaces
        for space in self.spaces:
            ip("netns", "add", space)
            ip("-n", space, "link", "set", "lo", "up")
        ip("-n", switch, "link", "add", "bridge", "type", "bridge")
        ip("-n", switch, "link", "set", "bridge", "up")
        for number, (name, space) in enumerate(zip(NAMES, spaces, strict=True), 1):
            ip("-n", switch, "link", "add", name, "type", "veth", "peer", "name", "cable", "netns", space)
            ip("-n", switch, "link", "set", name, "master", "bridge", "up")
            ip("-n", space, "address", "add", f"10.77.0.{number}/24", "dev", "cable")
            ip("-n", space, "link", "set", "cable", "up")

    def cable(self, name: str, state: str) -> None:
        ip("-n", self.spaces[0], "link", "set", name, state)

    def start(self, name: str, *words: str, **options: Any) -> "subprocess.Popen[str]":
        scratch = self.shared.with_name(name)
        scratch.mkdir(exist_ok=True)
        env = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(scratch)}
        host = ("ip", "netns", "exec", f"{self.tag}-{name}", *ENTER, MOUNT, "sh", name)
        return subprocess.Popen(
            [*host, str(self.shared), str(self.seen), *words], cwd=ROOT, env=env, text=True, **options
        )

    def close(self) -> None:
        for space in self.spaces:
            subprocess.run(["ip", "netns", "delete", space], check=False, capture_output=True)


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    if missing := [program for program in ("ip", "bindfs", "unshare") if shutil.which(program) is None]:
        pytest.skip(f"needs {', '.join(missing)}, which this machine has not")
    found = Hosts(tmp_path)
    try:
        found.wire()
        with found.start("head", "true", stderr=subprocess.PIPE) as tried:
            assert tried.stderr is not None
            refused = tried.stderr.read()
        if tried.returncode:
            pytest.skip(f"needs namespaces and FUSE, which are refused here: {refused.strip()}")
        yield found
    except subprocess.CalledProcessError as error:
        pytest.skip(f"needs network namespaces, which are refused here: {error.stderr.strip()}")
    finally:
        found.close()


def test_hosts_without_common_locks_of_which_one_is_cut_off_make_the_bytes_of_one_machine(
    hosts, demo_folder, tmp_path, monkeypatch
):
    monkeypatch.setattr(module, "BLOCK_VIDEOS", BLOCK)
    videos = videos_in(demo_folder)
    extract(videos, tmp_path / "alone/store", tmp_path / "alone/work", OPTIONS, jobs=1)
    with ExitStack() as ends:

        def start(name: str, *words: str, **pipes: Any) -> "subprocess.Popen[str]":
            process = hosts.start(name, sys.executable, *words, **pipes)
            ends.callback(process.wait)
            ends.callback(process.kill)
            return process

        pipe = {"stderr": subprocess.PIPE}
        scheduler = ("-m", "distributed.cli.dask_scheduler", "--no-dashboard", "--host", "10.77.0.1")
        address = said(start("head", *scheduler, **pipe), SCHEDULES)
        nodes = [start(name, "-m", "stages.commands.worker", address, **pipe) for name in NAMES[1:]]
        for node in nodes:
            said(node, WORKS)
        assert _both_hold_a_lock(hosts), "else the mounts are not what this test is about"
        places = (str(demo_folder), address, str(hosts.seen / "store"), str(hosts.seen / "work"))
        driver = start("head", "-c", DRIVER, *places, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        ends.enter_context(driver)
        assert driver.stdout is not None
        assert driver.stdout.readline() == "made\n"
        hosts.cable("one", "down")
        going = threading.Thread(target=_go_on, args=(driver,))
        going.start()
        time.sleep(CUT_S)
        hosts.cable("one", "up")
        assert driver.wait() == 0
        going.join()
        assert all(node.poll() is None for node in nodes)
    assert content(hosts.shared / "store") == content(tmp_path / "alone/store")
    assert not list((hosts.shared / "work").glob("*/.*"))


def _both_hold_a_lock(hosts: Hosts) -> bool:
    """Whether two hosts hold the kernel's lock of one file at a time."""
    file = str(hosts.seen / "lock")
    words = ("flock", "--nonblock", file, "sh", "-c", "echo held; sleep 600")
    with hosts.start("one", *words, stdout=subprocess.PIPE) as first:
        try:
            assert first.stdout is not None
            assert first.stdout.readline() == "held\n"
            return hosts.start("two", "flock", "--nonblock", file, "true").wait() == 0
        finally:
            first.kill()


def _go_on(driver: "subprocess.Popen[str]") -> None:
    """Let the driver go on after each result, until it ends."""
    assert driver.stdin is not None
    assert driver.stdout is not None
    for _ in itertools.chain(["made\n"], driver.stdout):
        driver.stdin.write("\n")
        driver.stdin.flush()
