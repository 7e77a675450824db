"""Other users of the machine, other processes, and what is installed."""

import os
import re
import shutil
import stat
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.attacks.bench import SECRET, Bench, Payload
from benchmarks.attacks.table import Attack, Outcome, answered, not_tried, refused, says
from tests.support.imports import ROOT
from tests.support.processes import command_lines
from tests.support.tracking import free_port

NOBODY = 65534
MOD = "an open hole of a pinned package, named in SECURITY.md with what shuts it"


def attacks() -> Iterator[Attack]:
    """All of them."""
    must = "no other user may enter or rename it"
    yield Attack("H2", "DVC's state after `make state`, entered by another user", must, _state)
    yield Attack("H2", "DVC's state where others may write, as DVC's default has it", "doctor says so", _open_state)
    yield Attack("M5", "`make ui` with a password in the database's address", "in no process list", _ui)
    yield Attack("M8", "`dvc pull` from a hostile remote", MOD, _pull)
    yield Attack("M9", "a package of the lock with other bytes", "pip refuses it", _other_wheel)
    yield Attack("M9", "lines of the lock without a digest", "there are none", _digests)
    yield Attack("M9", "known holes of the pinned packages", "make audit fails where there is one", _audit)
    yield Attack("L9", "a link planted in the place of a temporary file", "the victim stays", _planted)
    yield Attack("L10", "modes of the files of a bundle", "by the umask, all alike", _modes)
    yield Attack("L11", "lock files of MLflow in the folder for temporary files", MOD, _mlflow_locks)
    yield Attack("tries", "a training state of .work with a pickle", "left aside with a word; no code", _training_state)
    yield Attack("tries", "`moclip compare --baseline=--output=…`", "refused; no file", _compare)
    for name in ("block", "index", "states", "files"):
        tried = f"motion store: {STORES[name][0]}"
        yield Attack("L8" if name == "files" else "L7", tried, "refused by name; no code", _store(name))
    yield Attack("tries", "an audio track that is damaged", "read or refused, bounded", _fuzzed)


def _fuzzed(_: Bench) -> Outcome:
    return not_tried(
        "no command opens an audio decoder; `benchmarks/fuzz/containers.py` changes containers by the thousand"
    )


def _as_nobody(*words: str) -> "subprocess.CompletedProcess[str]":
    ids = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    return subprocess.run(["setpriv", *ids, *words], capture_output=True, text=True, check=False)


def _clone(bench: Bench) -> Path:
    """A repository of DVC with this project's Makefile, in a folder that all may enter."""
    place = bench.work / "clone"
    place.mkdir()
    for path in (bench.place, bench.work, place):
        path.chmod(0o755)
    shutil.copy(ROOT / "Makefile", place)
    for name in ("requirements.lock", "pyproject.toml"):
        (place / name).touch()
    (place / "mine").mkdir()
    (place / "mine/.installed").touch()
    for words in (["git", "init", "-q"], ["dvc", "init", "-q"]):
        subprocess.run(words, cwd=place, check=True, env=_env())
    return place


def _env() -> dict[str, str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1"}


def _state(bench: Bench) -> Outcome:
    if os.geteuid() or not shutil.which("setpriv"):
        return not_tried("needs root and setpriv, to act as another user")
    place = _clone(bench)
    subprocess.run(["make", "-s", "state", "VENV=mine"], cwd=place, check=True, env=_env(), capture_output=True)
    (place / "data").write_text("x")
    env = {name: value for name, value in _env().items() if name != "DVC_SITE_CACHE_DIR"}
    subprocess.run(["dvc", "add", "-q", "data"], cwd=place, check=True, env=env)
    site = place / ".dvc/tmp/site"
    attempts = [["ls", str(site)], ["mv", str(site / "repo"), str(site / "old")], ["mv", str(site), f"{site}x"]]
    through = [words[0] for words in attempts if _as_nobody(*words).returncode == 0]
    open_to = [path for path in (site, *site.rglob("*")) if _is_reachable(path, site)]
    held = not through and not open_to and any(site.rglob("cache.db"))
    return says(
        held, "another user can neither list nor move it, and DVC keeps its state there" if held else f"{through}"
    )


def _is_reachable(path: Path, top: Path) -> bool:
    """Whether others may write a path, and come to it: no folder above it up to `top` is shut."""
    above = [one for one in (path, *path.parents) if one == top or top in one.parents]
    return bool(path.stat().st_mode & 0o022) and all(one.stat().st_mode & 0o011 for one in above if one.is_dir())


def _open_state(bench: Bench) -> Outcome:
    from moclip.cli import doctor

    place = _clone(bench)
    (bench.work / "open").mkdir()
    (bench.work / "open").chmod(0o777)
    config = ["dvc", "config", "--local", "core.site_cache_dir", str(bench.work / "open/dvc")]
    subprocess.run(config, cwd=place, check=True, env=_env())
    os.environ.pop("DVC_SITE_CACHE_DIR", None)
    found = doctor._state(place / ".dvc/config")
    return says((found.state, found.remedy) == ("missing", "make state"), f"{found.state}; {found.remedy}")


def _ui(bench: Bench) -> Outcome:
    seen: set[str] = set()
    env = _env() | {"MLFLOW_TRACKING_URI": f"sqlite:///{bench.work}/ui.db?password={SECRET}", "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-m", "stages.commands.ui", "--port", str(free_port())]
    with (bench.work / "log").open("wb") as log:
        ui = subprocess.Popen(words, cwd=bench.work, env=env, stdout=log, stderr=log, start_new_session=True)
    end = time.monotonic() + 300
    try:
        while ui.poll() is None and time.monotonic() < end and not any("uvicorn" in line for line in seen):
            seen |= command_lines(ui.pid)
            time.sleep(0.1)
        told = (bench.work / "log").read_text(errors="replace")
    finally:
        if ui.poll() is None:
            os.killpg(ui.pid, 9)
        ui.wait()
    if not any("uvicorn" in line for line in seen):
        return Outcome(f"the server did not come up: {told[-100:]}", "failed")
    held = not any(SECRET in line for line in seen) and SECRET not in told
    return says(held, "the server came up; no command line and no message has it" if held else "a command line has it")


def _pull(bench: Bench) -> Outcome:
    """A remote whose list of a folder names a file above it, under the name that the list had."""
    if "pull only from a remote that you trust" not in (ROOT / "SECURITY.md").read_text(encoding="utf-8"):
        return says(False, "SECURITY.md does not say that a remote is trusted")
    place, remote = bench.work / "mine", bench.given / "remote"
    (place / "folder").mkdir(parents=True)
    (place / "folder/a").write_text("x")
    env = _env() | {"DVC_SITE_CACHE_DIR": str(bench.place / "tmp/site")}

    def dvc(*words: str) -> int:
        return subprocess.run(["dvc", *words], cwd=place, env=env, capture_output=True, check=False).returncode

    for words in (["init", "--no-scm"], ["remote", "add", "-d", "r", str(remote)], ["add", "folder"], ["push"]):
        if dvc(*words):
            return says(False, f"`dvc {words[0]}` fails")
    (listed,) = remote.rglob("*.dir")
    listed.chmod(0o644)
    listed.write_text(listed.read_text().replace('"a"', '"../../../outside/escaped"'))
    for path in (place / "folder", place / ".dvc/cache", bench.place / "tmp/site"):
        shutil.rmtree(path, ignore_errors=True)
    dvc("pull")
    escaped = (bench.outside / "escaped").exists()
    told = "wrote a file outside the repository: upstream, nothing shuts it" if escaped else "wrote nothing outside"
    return Outcome(f"{told}; SECURITY.md says that a remote is trusted as the code is", "not promised")


def _mlflow_locks(bench: Bench) -> Outcome:
    told = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    return (
        Outcome("upstream: empty files; SECURITY.md says to set TMPDIR on a shared machine", "not promised")
        if "set `TMPDIR`" in told
        else says(False, "SECURITY.md does not say so")
    )


def _other_wheel(bench: Bench) -> Outcome:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    found = re.search(r"^(packaging==\S+) \\\n((?:    --hash=\S+(?: \\)?\n)+)", lock, re.MULTILINE)
    if not found:
        return says(False, "the lock has no digests of the package packaging")
    version = found[1].partition("==")[2]
    with zipfile.ZipFile(bench.given / f"packaging-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr("packaging/__init__.py", f"import os; os.mkdir({str(bench.mark)!r})")
        wheel.writestr(f"packaging-{version}.dist-info/METADATA", f"Name: packaging\nVersion: {version}\n")
        wheel.writestr(f"packaging-{version}.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"packaging-{version}.dist-info/RECORD", "")
    (bench.given / "lock").write_text(f"{found[1]} \\\n{found[2]}")
    options = ["--require-hashes", "--no-index", "--find-links", bench.given, "--target", bench.work / "site"]
    done = bench.program("-m", "pip", "install", "--no-deps", *options, "-r", bench.given / "lock")
    held = done.status == 1 and "DO NOT MATCH THE HASHES" in done.err and not done.crossed
    return says(held, "refused: the digests do not match" if held else done.told)


def _digests(_: Bench) -> Outcome:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    bare = [one for one, after in zip(lines, [*lines[1:], ""], strict=True) if "==" in one and "--hash=" not in after]
    return says(not bare, f"without: {bare[:2]}" if bare else "each package has its digests")


def _audit(_: Bench) -> Outcome:
    return not_tried(
        "`make audit` asks an index of known holes, which cannot be reached from the machine of this table"
    )


def _planted(bench: Bench) -> Outcome:
    """A user who watches the folder plants links by every name that appears, as fast as one can."""
    from moclip.base.files import write_text

    victim, stop = bench.outside / "secret.txt", threading.Event()

    def plant() -> None:
        while not stop.is_set():
            for path in bench.work.glob(".*.part*"):
                try:
                    path.unlink()
                    path.symlink_to(victim)
                except OSError:
                    continue

    thread = threading.Thread(target=plant)
    thread.start()
    try:
        for number in range(300):
            try:
                write_text(bench.work / "x.json", str(number))
            except OSError:
                continue
    finally:
        stop.set()
        thread.join()
    held = victim.read_text() == SECRET
    return says(held, "300 writes left the victim as it was" if held else "the victim was overwritten")


def _modes(bench: Bench) -> Outcome:
    modes = {stat.S_IMODE(path.stat().st_mode) for path in bench.good.rglob("*") if path.is_file()}
    mask = os.umask(0)
    os.umask(mask)
    return says(modes == {0o666 & ~mask}, "each file has the mode that the umask leaves")


def _training_state(bench: Bench) -> Outcome:
    import pickle

    from moclip.training.checkpoint import Checkpoint

    for number, content in enumerate((pickle.dumps(Payload(bench.mark)), b"junk")):
        path = bench.work / f"state{number}.pt"
        path.write_bytes(content)
        done = bench.call(Checkpoint(path).load)
        if (found := answered(done)).verdict != "held":
            return found
    return found


def _compare(bench: Bench) -> Outcome:
    (bench.work / "stages").symlink_to(ROOT / "stages")
    words = ("-m", "stages.commands.compare", f"--baseline=--output={bench.outside}/x")
    done = bench.program(*words, env={"PYTHONPATH": str(ROOT)})
    held = done.status in (1, 2) and not done.crossed
    return says(held, f"refused: {done.told}" if held else "; ".join([*done.crossed, f"status {done.status}"]))


def _spoil(name: str, content: bytes) -> Callable[[Path], object]:
    def spoil(store: Path) -> None:
        (path := next(iter(sorted(store.glob(name))))).write_bytes(content)
        _reseal(store, path)

    return spoil


def _reseal(store: Path, path: Path) -> None:
    from moclip.base.files import fingerprint, read_json, sha256_file, write_json

    meta = read_json(store / "meta.json")
    meta["files"][path.relative_to(store).as_posix()] = sha256_file(path)
    meta.pop("digest", None)
    write_json(store / "meta.json", meta | {"digest": fingerprint(meta)})


def _name_outside(store: Path) -> None:
    from moclip.base.files import fingerprint, read_json, write_json

    meta = read_json(store / "meta.json")
    meta["files"]["../../../../etc/passwd"] = "0" * 64
    meta.pop("digest", None)
    write_json(store / "meta.json", meta | {"digest": fingerprint(meta)})


_PICKLE = b"\x93NUMPY\x01\x00v\x00" + b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(117) + b"\n"
STORES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "block": ("a block of other bytes", _spoil("blocks/*/*", b"junk")),
    "index": ("an index of a pickle", _spoil("index/*.index", _PICKLE + b"cos\nsystem\n")),
    "states": ("tables of a pickle", _spoil("blocks.npz", _PICKLE)),
    "files": ("a file outside among its files", _name_outside),
}


def _store(name: str) -> Callable[[Bench], Outcome]:
    def read(store: Path) -> object:
        from moclip.motion.store import MotionStore

        found = MotionStore(store)
        return [found.clip(video).mv.sum() for video in found.ids[:3]]

    def do(bench: Bench) -> Outcome:
        store = Path(shutil.copytree(bench.models.parent / "data/motion", bench.given / "store"))
        try:
            STORES[name][1](store)
        except StopIteration:
            return not_tried("this run's store has no such file")
        return refused(bench.call(lambda: read(store)), "store|.")

    return do
