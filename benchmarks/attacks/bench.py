"""One attack at a time: a command in a process of its own, in a folder with canaries round it.

    PLACE/work      the command's working directory; it may write there
    PLACE/home, tmp its HOME and TMPDIR
    PLACE/given     what the attacker sends
    PLACE/outside   what no command has a reason to touch: a secret, and where an attacker's code would leave its mark

What leaves a process shows in three ways: a server that every address of the web leads to counts requests, an audit
hook tells of programs that are started, and the folders are looked through afterwards.
"""

import logging
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import FrameType
from typing import Any

from moclip.base import console
from moclip.cli.main import main as moclip
from moclip.video.bounded import worker
from tests.support.servers import Server, running

SECRET = "S3cret-canary"
WAIT_S = 300.0  # by the clock, which other programs share; a command that waits longer hangs
MOST_LETTERS = 20_000  # of what a command tells of one refusal
PROGRAMS = ("os.system", "os.exec", "os.posix_spawn", "subprocess.Popen")


@dataclass(frozen=True)
class Done:
    """How a command ended.

    Attributes:
        status: As a shell has it; -1 where it hung.
        out, err: What it printed.
        seconds: Of processor time, of it and all that it started.
        mb: Of memory that the largest of its processes had beyond what it began with.
        crossed: What happened that no stranger may bring about.
    """

    status: int
    out: str
    err: str
    seconds: float
    mb: float
    crossed: Sequence[str]

    @property
    def told(self) -> str:
        """Its last word."""
        lines = [line for line in self.err.splitlines() if "error: " in line] or self.err.splitlines()
        return lines[-1] if lines else ""


class Payload:
    """What leaves a mark where its pickle is loaded."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@dataclass
class Bench:
    """Where attacks are tried.

    Attributes:
        models: Models of a finished run.
        good: A bundle of them; who changes it copies it.
        film: A video that every model answers for.
        place: The folder of the attack that is tried.
        caught: Requests to the canary, of the attack that is tried.
        canary: Its address.
    """

    models: Path
    good: Path
    film: Path
    place: Path = Path()
    caught: list[str] = field(default_factory=list)
    canary: str = ""

    @property
    def work(self) -> Path:
        """Working directory of the commands."""
        return self.place / "work"

    @property
    def given(self) -> Path:
        """What the attacker sends."""
        return self.place / "given"

    @property
    def outside(self) -> Path:
        """What no command has a reason to touch."""
        return self.place / "outside"

    @property
    def mark(self) -> Path:
        """What an attacker's code would make."""
        return self.outside / "code-ran"

    def bundle(self) -> Path:
        """A bundle of one's own, to be forged."""
        return Path(shutil.copytree(self.good, self.given / "bundle"))

    def moclip(self, *words: object, **options: Any) -> Done:
        """Run `moclip WORDS`; options as of `call`."""
        return self._fork(lambda: moclip([str(word) for word in words]), **options)

    def call(self, do: Callable[[], object], **options: Any) -> Done:
        """Run a function as a command is run: a refusal is its message and status 1, any other error 70.

        Args:
            do: The function.
            options: `env`, variables beside those that there are; `paths`, folders to import from; `may_ask`, whether
                requests to the canary are what was asked for.
        """

        def work() -> None:
            do()

        return self._fork(lambda: console.run(work, "--verbose"), **options)

    def program(self, *words: object, **options: Any) -> Done:
        """The same in a process of its own from its first instruction: `python WORDS`."""
        return self._fork(lambda: subprocess.call([sys.executable, *map(str, words)]), programs=True, **options)

    def _fork(
        self,
        do: Callable[[], int],
        env: Mapping[str, str] | None = None,
        paths: Sequence[Path] = (),
        may_ask: bool = False,
        programs: bool = False,
    ) -> Done:
        before = _tree(self.place)
        self.caught.clear()
        base_mb = _resident_mb()
        sys.stdout.flush()
        if not (pid := os.fork()):
            self._become(do, env or {}, paths, programs)
        status, usage = _wait(pid)
        out, err = ((self.place / name).read_text(errors="replace") for name in ("out", "err"))
        crossed = [f"a request left: {one}" for one in self.caught if not may_ask]
        crossed += sorted(line for line in err.splitlines() if line.startswith("canary: "))
        crossed += [f"written outside: {name}" for name in sorted(_tree(self.place) - before)]
        crossed += ["code of the attacker ran"] if self.mark.exists() else []
        crossed += ["a secret was told"] if SECRET in out + err or _holds(self.work, SECRET) else []
        crossed += ["a message without end"] if len(err) > MOST_LETTERS else []
        crossed += ["raw control characters at the terminal"] if _moves(out + err) else []
        told = "\n".join(line for line in err.splitlines() if not line.startswith("canary: "))
        seconds, mb = usage.ru_utime + usage.ru_stime, max(0.0, usage.ru_maxrss / 1000 - base_mb)
        return Done(status, out, told, seconds, mb, crossed)

    def _become(self, do: Callable[[], int], env: Mapping[str, str], paths: Sequence[Path], programs: bool) -> None:
        """Do the work in this fork, and end it."""
        status = 70
        try:
            os.setsid()
            for number, name in ((1, "out"), (2, "err")):
                os.dup2(os.open(self.place / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
            # Anew, as an interpreter makes them: those that there are may lead elsewhere.
            sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
            sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
            os.chdir(self.work)
            own = {"HOME": str(self.place / "home"), "TMPDIR": str(self.place / "tmp")}
            os.environ.update(own | self._web() | dict(env))
            tempfile.tempdir = None
            sys.path[:0] = map(str, paths)
            logging.getLogger().handlers.clear()
            if not programs:
                sys.addaudithook(_watch)
            status = do()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        finally:
            worker.close_idle()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _web(self) -> dict[str, str]:
        """Variables by which every request to another machine comes to the canary."""
        proxies = {f"{name}_{end}": self.canary for name in ("http", "https") for end in ("proxy",)}
        return proxies | {name.upper(): value for name, value in proxies.items()} | {"NO_PROXY": "127.0.0.1,localhost"}

    @contextmanager
    def attack(self) -> Iterator[None]:
        """Fresh folders."""
        with tempfile.TemporaryDirectory(prefix="moclip-attack-") as folder:
            self.place = Path(folder)
            for name in ("work", "home", "tmp", "given", "outside"):
                (self.place / name).mkdir()
            (self.outside / "secret.txt").write_text(SECRET)
            yield


@contextmanager
def bench(models: Path, good: Path, film: Path) -> Iterator[Bench]:
    """A bench with its canary."""
    made = Bench(models, good, film)
    handler = type("Canary", (_Canary,), {"caught": made.caught})
    server = Server(("127.0.0.1", 0), handler)
    made.canary = f"http://127.0.0.1:{server.server_port}"
    with running(server):
        yield made


class _Canary(BaseHTTPRequestHandler):
    """Notes each request, whatever its method."""

    caught: list[str]

    def handle_one_request(self) -> None:
        """Note a line, and end."""
        line = self.rfile.readline(1000).decode("latin-1").split()
        told = " with credentials" if any(b"uthorization" in header for header in iter(self._header, b"")) else ""
        if line:
            self.caught.append(f"{' '.join(line[:2])}{told}")
        self.close_connection = True

    def _header(self) -> bytes:
        return self.rfile.readline(1000).strip()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if event in PROGRAMS and not _looks_for_a_library():
        os.write(2, f"\ncanary: a program was started: {event}\n".encode())


def _looks_for_a_library() -> bool:
    """Whether Python asks the system's linker where a library lies."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_globals.get("__name__") != "ctypes.util":
        frame = frame.f_back
    return frame is not None


def _wait(pid: int) -> tuple[int, resource.struct_rusage]:
    """Status and costs of a fork and all that it started; one that hangs is ended."""
    end = time.monotonic() + WAIT_S
    while True:
        found, status, usage = os.wait4(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status), usage
        if time.monotonic() > end:
            os.killpg(pid, signal.SIGKILL)
            _, _, usage = os.wait4(pid, 0)
            return -1, usage
        time.sleep(0.02)


def _tree(place: Path) -> set[str]:
    """Everything below a place that commands have no reason to make."""
    inside = ("work", "home", "tmp", "out", "err")
    found = (path.relative_to(place) for path in place.rglob("*"))
    return {path.as_posix() for path in found if path.parts[0] not in inside}


def _holds(folder: Path, word: str) -> bool:
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return any(word.encode() in path.read_bytes() for path in files)


def _moves(text: str) -> bool:
    """Whether a text has what moves a terminal, or turns its reading."""
    return any(not c.isprintable() and c not in "\n\t\r" and not c.isspace() for c in text)


def _resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6
