"""Real tracking servers on loopback: `mlflow server`, and PostgreSQL behind it."""

import importlib.util
import os
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

WAIT_S = 300  # a busy machine takes minutes to import a server and to make its tables; no claim hangs on it


def until(condition: Callable[[], object], what: str, wait_s: float = WAIT_S) -> None:
    """Wait for a condition; other processes bring it about."""
    deadline = time.monotonic() + wait_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {wait_s} s in vain: {what}"
        time.sleep(0.2)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def mlflow_server(backend: str, directory: Path, port: int | None = None) -> Iterator[str]:
    """`mlflow server` on this database; yields the address for MLFLOW_TRACKING_URI."""
    port = port or free_port()
    log = directory / "server.log"
    options = {
        "--backend-store-uri": backend,
        "--artifacts-destination": (directory / "artifacts").as_uri(),
        "--host": "127.0.0.1",
        "--port": str(port),
        "--workers": "1",
    }
    words = [word for option in options.items() for word in option]
    env = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", *words],
            stdout=output,
            stderr=output,
            env=env,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: server.poll() is not None or _answers(url), f"mlflow server; see {log}")
        assert server.poll() is None, log.read_text()[-4000:]
        yield url
    finally:
        _end(server, signal.SIGKILL)  # it would wait for connections that clients keep


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/health", timeout=5).ok
    except (requests.ConnectionError, requests.Timeout):
        return False


def _end(server: "subprocess.Popen[bytes]", how: signal.Signals) -> None:
    """End a server and its workers: they share its session."""
    if server.poll() is None:
        os.killpg(server.pid, how)
    server.wait(WAIT_S)


@contextmanager
def postgresql() -> Iterator[str]:
    """An empty PostgreSQL database; yields its address. Skips where the server or its driver is absent."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not binaries:
        pytest.skip("needs PostgreSQL (Debian's package `postgresql`), which is not installed")
    if importlib.util.find_spec("psycopg2") is None:
        pytest.skip("needs the driver psycopg2 (`pip install .[postgresql]`), which is not installed")
    # PostgreSQL refuses to run as root.
    prefix: list[str] = []
    if os.geteuid() == 0:
        if shutil.which("runuser") is None:
            pytest.skip("needs runuser: PostgreSQL does not run as root")
        prefix = ["runuser", "-u", "postgres", "--"]
    # Not below pytest's own directory, which is closed to every user but the one who runs it.
    with tempfile.TemporaryDirectory(prefix="moclip-postgresql-") as name:
        if prefix:
            shutil.chown(name, "postgres")
        yield from _serve_postgresql(Path(name), binaries[-1].parent, prefix)


def _serve_postgresql(directory: Path, programs: Path, prefix: list[str]) -> Iterator[str]:
    data, port = directory / "data", free_port()
    make = [programs / "initdb", "-D", data, "-A", "trust", "-U", "moclip", "-E", "UTF8", "--locale", "C", "--no-sync"]
    made = subprocess.run([*prefix, *make], check=False, capture_output=True, text=True, cwd=directory)
    assert made.returncode == 0, made.stderr
    serve = ["-D", data, "-p", str(port), "-k", directory, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
    with (directory / "pg.log").open("wb") as output:
        server = subprocess.Popen(
            [*prefix, programs / "postgres", *serve],
            stdout=output,
            stderr=output,
            cwd=directory,
            start_new_session=True,
        )
    ready = [programs / "pg_isready", "-h", "127.0.0.1", "-p", str(port)]
    try:
        until(lambda: subprocess.run(ready, check=False, capture_output=True).returncode == 0, "PostgreSQL")
        yield f"postgresql+psycopg2://moclip@127.0.0.1:{port}/postgres"
    finally:
        _end(server, signal.SIGINT)  # does not wait for clients


@contextmanager
def relay(port: int, url: str) -> Iterator[None]:
    """Answer on this port for the server at `url`."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as server:
                back = threading.Thread(target=_copy, args=(server, self.request), daemon=True)
                back.start()
                _copy(self.request, server)
                back.join()

    with socketserver.ThreadingTCPServer(("127.0.0.1", port), Handler) as forwarder:
        forwarder.daemon_threads, forwarder.block_on_close = True, False  # clients keep connections for later
        thread = threading.Thread(target=forwarder.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield
        finally:
            forwarder.shutdown()
            thread.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    while data := source.recv(1 << 16):
        target.sendall(data)
    target.shutdown(socket.SHUT_WR)
