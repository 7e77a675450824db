"""What a served model may be asked: other files, vast requests, other hosts, and what its refusals tell."""

import base64
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.attacks.bench import SECRET, Bench
from benchmarks.attacks.table import NEW, Attack, Outcome, says
from tests.support import bombs
from tests.support.imports import ROOT

WAIT_S = 900.0
MOST_LETTERS = 400
LEAKS = ("/tmp", "site-packages", "Traceback", 'File "', "stack_trace", SECRET)
PATHS = (
    *(("M1", one) for one in ("/etc/passwd", "/etc/nonexist", "/dev/zero", "pipe", "folder", "/proc/self/environ")),
    *(("M1", one) for one in ("/proc/kcore", "/sys", "a\0b", "a" * 5000, "link.avi", "../outside/secret.txt")),
    *((NEW, one) for one in ("links/secret.txt", "%2e%2e/outside/secret.txt", "..\\outside\\secret.txt", "ring", "~")),
    *((NEW, one) for one in ("file:///etc/passwd", "http://127.0.0.1:9/x", "concat:a|b", "socket", "\ud800", ".")),
)
BODIES: tuple[tuple[str, str, str, bytes], ...] = (
    ("M1", "a wrong column", "application/json", b'{"dataframe_records": [{"video": "x"}]}'),
    ("M1", "an empty table", "application/json", b'{"dataframe_records": []}'),
    ("M1", "both columns", "application/json", b'{"dataframe_records": [{"path": "a", "base64": "AAAA"}]}'),
    ("M1", "bad base64", "application/json", b'{"dataframe_records": [{"base64": "%%"}]}'),
    ("M1", "`top` of -1", "application/json", b'{"dataframe_records": [{"base64": "AAAA"}], "params": {"top": -1}}'),
    ("M1", "100 MB of base64", "application/json", b'{"dataframe_records": [{"base64": "' + b"A" * 10**8 + b'"}]}'),
    ("tries", "a cross-site form", "text/plain", b"x"),
    ("tries", "no content type", "", b'{"dataframe_records": [{"base64": "AAAA"}]}'),
    (NEW, "100,000 brackets", "application/json", b"[" * 100_000),
    (NEW, "100,000 brackets in a column", "application/json", b'{"dataframe_records": ' + b"[" * 100_000),
    (NEW, "bytes that are no UTF-8", "application/json", b"\xff\xfe"),
    (NEW, "NaN as a path", "application/json", b'{"dataframe_records": [{"path": NaN}]}'),
    (
        NEW,
        "a number of 10,000 digits",
        "application/json",
        b'{"dataframe_records": [{"path": ' + b"9" * 10_000 + b"}]}",
    ),
    (NEW, "a key twice", "application/json", b'{"dataframe_records": [], "dataframe_records": [{"video": 1}]}'),
    (NEW, "60 MB of empty lists", "application/json", b'{"dataframe_records": [' + b"[]," * 20_000_000 + b"[]]}"),
    (NEW, "60 MB of empty rows of CSV", "text/csv", b"base64\n" + b"a\n" * 30_000_000),
    (NEW, "60 MB of columns of CSV", "text/csv", b"a," * 30_000_000 + b"\na\n"),
    (NEW, "a pickle", "application/octet-stream", b"\x80\x04."),
)
HOSTS = ("evil.example", "192.168.1.5", "127.0.0.1.evil.example", "", "localhost@evil.example", "localhost:80:80")


@dataclass
class Answer:
    """Status and text of an answer."""

    status: int
    text: str


def attacks() -> Iterator[Attack]:
    """All of them; the server is started by the first, and ends with the last."""
    running = _Running()
    must = "400, one short message that tells no file, path or code of the server"
    for number, path in PATHS:
        tried = f"server: `path` is `{ascii(path)[1:-1][:40]}`"
        yield Attack(number, tried, must, partial(running.path, path=path))
    for number, tried, kind, body in BODIES:
        yield Attack(
            number, f"server: {tried}", "4xx within 2 GB, one short message",
            partial(running.body, kind=kind, body=body),
        )  # fmt: skip
    for host in HOSTS:
        tried = f"server: `Host: {host}`"
        yield Attack("M1" if host == "evil.example" else NEW, tried, "refused", partial(running.host, host=host))
    yield Attack("M1", "server: three stsz tracks by base64", "400 within 500 MB more", running.bomb)
    yield Attack("tries", "server: preflight of another site", "no leave is given", running.preflight)
    yield Attack("M1", "server: a right request after all these", "answered; then it is ended", running.last)


class _Running:
    """The server, from the first attack to the last."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.place = Path()
        self.port = 0

    def url(self, bench: Bench) -> str:
        """Its address; it is started where it does not run yet."""
        if self.process is None:
            self._start(bench)
        return f"http://127.0.0.1:{self.port}"

    def _start(self, bench: Bench) -> None:
        from mlflow import pyfunc

        from moclip.tracking.serving import LOADER, signature

        self.place = Path(f"{bench.good.parent}/served")
        root = self.place / "root"
        root.mkdir(parents=True)
        (self.place / "outside").mkdir()
        (self.place / "outside/secret.txt").write_text(SECRET)
        shutil.copy(bench.film, root / "a.avi")
        (root / "link.avi").symlink_to(self.place / "outside/secret.txt")
        (root / "links").symlink_to(self.place / "outside")
        (root / "ring").symlink_to("ring")
        (root / "folder").mkdir()
        os.mkfifo(root / "pipe")
        os.mknod(root / "socket", 0o140600)
        model = self.place / "model"
        pyfunc.save_model(str(model), loader_module=LOADER, data_path=str(bench.good), signature=signature())
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        env = {**os.environ, "MOCLIP_SERVE_ROOT": str(root), "PYTHONPATH": str(ROOT)}
        env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        words = ["-m", str(model), "--env-manager", "local", "--host", "127.0.0.1", "--port", str(self.port)]
        with (self.place / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "models", "serve", *words],
                env=env, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end and self.process.poll() is None:
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self.port}/ping", timeout=5):
                return
            time.sleep(0.5)
        self.end()
        raise RuntimeError(f"the server did not come up: {(self.place / 'log').read_text()[-500:]}")

    def ask(self, bench: Bench, body: bytes, headers: Mapping[str, str]) -> Answer:
        """What it answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port(bench), timeout=WAIT_S)
        try:
            with suppress(BrokenPipeError, ConnectionResetError):  # it need not read on
                connection.request("POST", "/invocations", body, dict(headers))
            answer = connection.getresponse()
            return Answer(answer.status, answer.read().decode("utf-8", "replace"))
        finally:
            connection.close()

    def _port(self, bench: Bench) -> int:
        self.url(bench)
        return self.port

    def path(self, bench: Bench, path: str) -> Outcome:
        """Ask for a path."""
        answer = self.ask(bench, json.dumps({"dataframe_records": [{"path": path}]}).encode(), _JSON)
        return _short(answer, 400)

    def body(self, bench: Bench, kind: str, body: bytes) -> Outcome:
        """Send a body, and look at what the server's memory was."""
        self.url(bench)
        before = self._peak_mb()
        answer = self.ask(bench, body, {"Content-Type": kind} if kind else {})
        found, grown = _short(answer, *range(400, 500)), self._peak_mb() - before
        return says(False, f"{grown:.0f} MB more at its peak") if grown > 2000 else found

    def host(self, bench: Bench, host: str) -> Outcome:
        """Ask by another name."""
        answer = self.ask(bench, b'{"dataframe_records": [{"path": "a.avi"}]}', {**_JSON, "Host": host})
        return _short(answer, 400, 403)

    def bomb(self, bench: Bench) -> Outcome:
        """Send a bomb."""
        self.url(bench)
        before = self._peak_mb()
        bytes_ = bombs.stsz(bench.given / "a.mp4", 1 << 25, 3).read_bytes()
        body = json.dumps({"dataframe_records": [{"base64": base64.b64encode(bytes_).decode()}]}).encode()
        found, grown = _short(self.ask(bench, body, _JSON), 400), self._peak_mb() - before
        return says(False, f"{grown:.0f} MB more at its peak") if grown > 500 else found

    def preflight(self, bench: Bench) -> Outcome:
        """Ask as a browser asks for another site."""
        asked = urllib.request.Request(f"{self.url(bench)}/invocations", method="OPTIONS")
        asked.add_header("Origin", "https://evil.example")
        asked.add_header("Access-Control-Request-Method", "POST")
        try:
            with urllib.request.urlopen(asked, timeout=WAIT_S) as answer:
                allowed, status = answer.headers.get("Access-Control-Allow-Origin"), answer.status
        except urllib.error.HTTPError as error:
            allowed, status = error.headers.get("Access-Control-Allow-Origin"), error.code
        return says(allowed is None, f"{status}, no Access-Control-Allow-Origin" if allowed is None else allowed)

    def last(self, bench: Bench) -> Outcome:
        """Ask rightly, and end the server."""
        try:
            answer = self.ask(bench, b'{"dataframe_records": [{"path": "a.avi"}]}', _JSON)
        finally:
            self.end()
        return says(answer.status == 200, f"answered with {answer.status}")

    def end(self) -> None:
        """End it, with all that it started."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait()

    def _peak_mb(self) -> float:
        """Of the largest process of the server, decoding ones included."""
        assert self.process is not None
        peaks = [0.0]
        for path in Path("/proc").glob("[0-9]*/status"):
            with suppress(OSError, ValueError):
                if os.getpgid(int(path.parent.name)) == self.process.pid:
                    found = path.read_text().partition("VmHWM:")[2].split()
                    peaks.append(int(found[0]) / 1000 if found else 0.0)
        return max(peaks)


_JSON = {"Content-Type": "application/json"}


def _short(answer: Answer, *statuses: int) -> Outcome:
    """Whether an answer is a refusal of one short message."""
    told = [leak for leak in LEAKS if leak in answer.text]
    try:
        message = str(json.loads(answer.text)["message"])
    except (ValueError, KeyError, TypeError):
        message = answer.text
    held = answer.status in statuses and not told and len(message) <= MOST_LETTERS
    return says(held, f"{answer.status}: {message[:120]}{f' (tells {told})' if told else ''}")
