"""Stages as forks of one process that has loaded the libraries: what each would spend on imports is spent once.

A folder with a program `python` stands first in PATH. Asked for a stage, or for what tests make of one, it hands words,
environment, directory and open files to the server below, which forks. The fork imports the stage, and all of this
project, anew from the directory in which it was asked. The usual Python does everything else: other modules, other
kernels than those that are loaded, and what comes when the server is gone.

Forks share one hash seed, and kernels that were chosen before. So they do not show that bytes are equal whatever these
are; a `Repository` without forks does.
"""

import array
import atexit
import gc
import importlib
import json
import multiprocessing.process
import os
import runpy
import selectors
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from moclip.base.arithmetic import AVX2, ONE_THREAD

ROOT = Path(__file__).parents[2]
OF_PROJECT = ("moclip", "stages", "tests")
LIBRARIES = (
    *("av", "jinja2", "matplotlib.backends.backend_agg", "matplotlib.backends.backend_svg", "matplotlib.figure"),
    *("mlflow", "numpy", "open_clip", "pandas", "PIL.Image", "psutil", "pydantic", "ruamel.yaml", "safetensors.torch"),
    *("scipy.special", "scipy.stats", "sklearn.linear_model", "torch", "tqdm"),
)
AT_HOME_IN_FORKS = {"jemalloc_bg_thd"}  # of pyarrow's memory, which knows of forks and starts it anew
PINS = sorted({**ONE_THREAD, **AVX2})

# Only the standard library, so that it is there in a few milliseconds.
CLIENT = """
import array, json, os, signal, socket, sys

def ask(words):
    with open("params.yaml") as file:
        if "kernels: native" in file.read() or {name: os.environ.get(name) for name in PINS} != PINS:
            raise OSError("other kernels than the server's")
    if words[0] == "stages.clip_model" and os.environ.get("HF_HOME") != HF_HOME:
        raise OSError("the hub's library reads its settings once, at import")
    server = socket.socket(socket.AF_UNIX)
    server.connect(SOCKET)
    asked = {"words": words, "env": dict(os.environ), "cwd": os.getcwd(), "client": os.getpid()}
    text = json.dumps(asked).encode()
    files = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))]
    server.sendmsg([len(text).to_bytes(8, "big")], files)
    server.sendall(text)
    return server

words, server = sys.argv[1:], None
if len(words) > 1 and words[0] == "-m" and words[1].startswith(("stages.", "tests.support.")):
    try:
        server = ask(words[1:])
    except OSError:
        pass
if server is None:
    os.execv(PYTHON, [PYTHON, *words])
answer = server.recv(64)
if not answer:
    sys.exit("the server of forks ended while a stage ran")
status = int(answer)
if status < 0:
    signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
os._exit(status)
"""


@cache
def programs(*libraries: str) -> Path | None:
    """The folder for PATH, with a server of these libraries or of all; it ends with this process. None but on Linux."""
    if not hasattr(os, "pidfd_open"):
        return None
    folder = Path(tempfile.mkdtemp(prefix="moclip-forks-"))
    address, client, python = folder / "socket", folder / "client.py", folder / "bin" / "python"
    python.parent.mkdir()
    given = {
        "PINS": {name: os.environ.get(name) for name in PINS},
        "HF_HOME": os.environ.get("HF_HOME"),
        "SOCKET": str(address),
        "PYTHON": sys.executable,
    }
    client.write_text("\n".join(f"{name} = {value!r}" for name, value in given.items()) + CLIENT)
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -IS {shlex.quote(str(client))} "$@"\n')
    python.chmod(0o755)
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.support.forks", str(address), *(libraries or LIBRARIES)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
    atexit.register(_end, server)
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n", (folder / "log").read_text()
    return python.parent


def _end(server: "subprocess.Popen[bytes]") -> None:
    assert server.stdin is not None
    server.stdin.close()
    server.wait()


class Server:
    """Takes requests until its standard input is closed, and tells each client how its fork ended."""

    def __init__(self, address: str) -> None:
        self.folder = Path(address).parent
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(address)
        self.listener.listen(64)
        self.selector = selectors.DefaultSelector()
        self.selector.register(0, selectors.EVENT_READ)
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.forks: dict[int, tuple[int, socket.socket]] = {}  # by pidfd

    def serve(self) -> Mapping[str, Any]:
        """Return the request, in the fork that is to do it; the server itself never returns."""
        while True:
            for key, _ in self.selector.select():
                if key.fd == 0:
                    self._leave()
                if key.fileobj is self.listener:
                    request = self._accept()
                    if request is not None:
                        return request
                elif key.data is None:
                    self._ended(key.fd)
                else:
                    self._left(key.data, key.fileobj)

    def _leave(self) -> None:
        """Whoever started this server has ended, or was killed: so do all forks."""
        for pid, _ in self.forks.values():
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)
        os._exit(0)

    def _accept(self) -> Mapping[str, Any] | None:
        """Fork for one client; the fork gets the request, this process None."""
        client, _ = self.listener.accept()
        header, rights, _, _ = client.recvmsg(8, socket.CMSG_SPACE(3 * array.array("i").itemsize))
        files = array.array("i")
        for _, _, data in rights:
            files.frombytes(data)
        text, count = b"", int.from_bytes(header, "big")
        while len(text) < count and (more := client.recv(1 << 16)):
            text += more
        if not count or len(text) < count:  # the client was killed while it asked
            for file in files:
                os.close(file)
            client.close()
            return None
        if pid := os.fork():
            fork = os.pidfd_open(pid)
            self.forks[fork] = pid, client
            self.selector.register(fork, selectors.EVENT_READ)
            self.selector.register(client, selectors.EVENT_READ, fork)
            for file in files:
                os.close(file)
            return None
        for place, file in enumerate(files):
            os.dup2(file, place)
            os.close(file)
        self.selector.close()
        for _, other in self.forks.values():
            other.close()
        self.listener.close()
        client.close()
        request: Mapping[str, Any] = json.loads(text)
        return request

    def _ended(self, fork: int) -> None:
        self.selector.unregister(fork)
        pid, client = self.forks.pop(fork)
        _, status = os.waitpid(pid, 0)
        os.close(fork)
        if client.fileno() >= 0:
            self.selector.unregister(client)
            with suppress(OSError):  # it was killed at this very moment
                client.sendall(str(os.waitstatus_to_exitcode(status)).encode())
            client.close()

    def _left(self, fork: int, which: object) -> None:
        """The client is gone, killed perhaps: its fork is ended too."""
        if fork in self.forks and self.forks[fork][1] is which:
            pid, client = self.forks[fork]
            self.selector.unregister(client)
            client.close()
            os.kill(pid, signal.SIGKILL)


def load(libraries: Iterable[str]) -> None:
    """Load the libraries as stages do: kernels are chosen first, and MLflow's switches; then forget this project."""
    importlib.import_module("moclip.base.arithmetic").apply("portable")
    importlib.import_module("moclip.tracking")
    for name in libraries:
        importlib.import_module(name)
    for name in [name for name in sys.modules if name.split(".")[0] in OF_PROJECT]:
        del sys.modules[name]
    gc.collect()
    gc.freeze()
    own = str(os.getpid())
    threads = {(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir() if task.name != own}
    assert threads <= AT_HOME_IN_FORKS, f"a fork would lack threads: {threads}"


def become(request: Mapping[str, Any]) -> list[str]:
    """Make this fork what the client was asked to be; returns the words of its command."""
    import psutil

    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    sys.path[:1] = [request["cwd"], *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    sys.argv = list(request["words"])
    multiprocessing.process.ORIGINAL_DIR = request["cwd"]
    importlib.invalidate_caches()
    own, usual = os.getpid(), psutil.Process.parents

    def parents(process: psutil.Process) -> list[psutil.Process]:
        """Those that started the client, such as DVC, in place of the server."""
        if process.pid != own:
            return usual(process)
        client = psutil.Process(request["client"])
        return [client, *usual(client)]

    psutil.Process.parents = parents
    return sys.argv


def run(module: str) -> int:
    """Run a module as `python -m` does; the status that it ends with."""
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)  # noqa: T201
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def leave(status: int) -> None:
    """End as Python does, but leave it to the system to free a gigabyte of libraries."""
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    load(sys.argv[2:])
    server = Server(sys.argv[1])
    print("ready", flush=True)  # noqa: T201
    words = become(server.serve())
    leave(run(words[0]))
