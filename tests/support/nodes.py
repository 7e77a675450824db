"""A cluster of real processes on loopback: a scheduler of Dask, and nodes as people start them."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from tests.support.imports import ROOT

SCHEDULES, WORKS = r"Scheduler at:\s+(\S+)", r"Registered to:\s+(\S+)"
INJECTED = ROOT / "tests/support/injected"


class Nodes:
    """A scheduler and its nodes; `folder` takes what they write for a while, `env` is theirs beside this process's."""

    def __init__(
        self,
        folder: Path,
        *options: str,
        host: str = "tcp://127.0.0.1:0",
        env: Mapping[str, str] | None = None,
        python: str = sys.executable,
    ) -> None:
        self.folder, self.options, self.env, self.python = folder, options, env or {}, python
        self.nodes: list[subprocess.Popen[str]] = []
        self.scheduler = self._schedule(host)
        self.address = said(self.scheduler, SCHEDULES)

    def _schedule(self, host: str) -> "subprocess.Popen[str]":
        return self._start("-m", "distributed.cli.dask_scheduler", "--no-dashboard", "--host", host, *self.options)

    def add(self, count: int = 1) -> None:
        """Start nodes, and wait until they are at work."""
        started = [self._start("-m", "stages.commands.worker", self.address, *self.options) for _ in range(count)]
        for process in started:
            said(process, WORKS)
        self.nodes += started

    def kill_node(self, number: int = 0) -> None:
        """Kill a node, the oldest for one, as a fault of its machine would, and start another."""
        _end(self.nodes.pop(number))
        self.add()

    def kill_scheduler(self) -> None:
        """Kill the scheduler and its nodes, and start it again at the same address, with one node."""
        self.close()
        self.scheduler = self._schedule(self.address)
        self.add()
        said(self.scheduler, SCHEDULES)

    def close(self) -> None:
        for process in (self.scheduler, *self.nodes):
            _end(process)
        self.nodes = []

    def _start(self, *words: str) -> "subprocess.Popen[str]":
        env = {**os.environ, **self.env, "PYTHONPATH": f"{INJECTED}:{ROOT}", "TMPDIR": str(self.folder)}
        return subprocess.Popen(
            [self.python, *words], cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )


def said(process: "subprocess.Popen[str]", sign: str) -> str:
    """What a process says by a sign, once it has said it."""
    assert process.stderr is not None
    told = []
    for line in process.stderr:
        told.append(line)
        if found := re.search(sign, line):
            threading.Thread(target=_drain, args=(process.stderr,), daemon=True).start()
            return found[1]
    raise AssertionError("".join(told))


def _drain(pipe: IO[str]) -> None:
    """Read what nobody wants to know, so that who says it can go on."""
    with pipe:
        pipe.read()


def _end(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.wait()
