"""The runner: inputs in worker processes with a limit of memory and time, and what came of each."""

import argparse
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

from benchmarks.fuzz.targets import Target, targets
from moclip.base.errors import MoclipError, explain
from moclip.base.files import write_json

HANG_S = 10.0
MEMORY_BYTES = 2 << 30  # beyond what a worker has when it starts
BATCH = 50
FORBIDDEN = ("pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "socket.connect")
_inside: list[str] = []  # while an input is read: what it did that none may do


class _Hangs(BaseException):
    """The limit of time; no `except Exception` of a reader holds it back."""


def main() -> None:
    """Lay good inputs, spoil and read them in turn, and tell what came of it; 1 where one broke a rule."""
    args = _parser().parse_args()
    known = targets(args.model, args.motion)
    names = args.only or list(known)
    counts: dict[str, Counter[str]] = {name: Counter() for name in names}
    found: list[dict[str, Any]] = []
    start, peak_mib, number = time.monotonic(), 0.0, 0
    with tempfile.TemporaryDirectory(prefix="moclip-fuzz-") as folder:
        for name in names:
            (Path(folder) / "good" / name).mkdir(parents=True)
            known[name].lay(Path(folder) / "good" / name)
            known[name].read(Path(folder) / "good" / name)  # imports what a reader needs; a good input must be read
        while number < args.inputs and time.monotonic() - start < args.minutes * 60:
            name = names[(number // BATCH) % len(names)]
            for outcome, seed, told, mib in _batch(known[name], Path(folder), name, range(number, number + BATCH)):
                counts[name][outcome] += 1
                peak_mib = max(peak_mib, mib)
                if outcome not in ("read", "refused"):
                    found.append({"target": name, "seed": seed, "outcome": outcome, "told": told})
                    print(f"{name} {seed}: {outcome}: {told}", flush=True)
            number += BATCH
    seconds = time.monotonic() - start
    result = {
        "inputs": number,
        "by_target": {name: dict(sorted(count.items())) for name, count in counts.items()},
        "found": found,
        "limits": {"seconds": HANG_S, "memory_mib": MEMORY_BYTES >> 20},
        "peak_growth_mib": round(peak_mib),
        "inputs_per_second": round(number / seconds, 1),
    }
    told = f"{number} inputs in {seconds:.0f} s, {number / seconds:.1f} a second; {len(found)} faults"
    print(f"{told}; {result['by_target']}")
    if args.out:
        write_json(args.out, result)
    sys.exit(bool(found))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__, allow_abbrev=False)
    parser.add_argument("--model", type=Path, help="models of a run, or a bundle; without it no bundle is tried")
    parser.add_argument("--motion", type=Path, help="a motion store; without it no store is tried")
    parser.add_argument("--inputs", type=int, default=10_000, help="how many in all")
    parser.add_argument("--minutes", type=float, default=60, help="stop after so many")
    parser.add_argument("--only", nargs="+", help="these targets alone")
    parser.add_argument("--out", type=Path, help="write what was found there, as JSON")
    return parser


def _batch(target: Target, folder: Path, name: str, seeds: range) -> list[tuple[str, int, str, float]]:
    """Read inputs in a process of their own; one that ends it is named, and the rest goes on in another."""
    context, done, rest = multiprocessing.get_context("fork"), [], list(seeds)
    while rest:
        receive, send = context.Pipe(duplex=False)
        worker = context.Process(target=_work, args=(target, folder, name, rest, send))
        worker.start()
        send.close()
        got = 0
        try:
            while got < len(rest) and receive.poll(HANG_S * 3):
                done.append(receive.recv())
                got += 1
        except EOFError:
            pass
        if got < len(rest):
            worker.kill()
            worker.join()
            done.append(("crash", rest[got], f"the process ended with {worker.exitcode}", 0.0))
            got += 1
        worker.join()
        rest = rest[got:]
    return done


def _work(target: Target, folder: Path, name: str, seeds: list[int], send: Any) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    used = _pages() * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, used + MEMORY_BYTES))
    sys.addaudithook(_watch)
    signal.signal(signal.SIGALRM, _hang)
    for seed in seeds:
        place = folder / f"{name}-{seed}"
        shutil.copytree(folder / "good" / name, place)
        target.spoil(place, random.Random(seed))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        outcome, told = _read(target, place)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        shutil.rmtree(place)
        send.send((outcome, seed, told[:500], grown))


def _read(target: Target, place: Path) -> tuple[str, str]:
    _inside[:] = [""]
    signal.setitimer(signal.ITIMER_REAL, HANG_S)
    try:
        target.read(place)
        outcome, told = "read", ""
    except MoclipError as error:
        outcome, told = "refused", str(error)
    except OSError as error:
        outcome, told = ("refused", "") if explain(error) else ("internal error", repr(error))
    except _Hangs:
        outcome, told = "hang", "".join(traceback.format_stack(limit=3))
    except MemoryError:
        outcome, told = "memory", traceback.format_exc(limit=-2)
    except Exception:
        outcome, told = "internal error", traceback.format_exc(limit=-2)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    did = _inside[1:]
    _inside.clear()
    return ("code", did[0]) if did else (outcome, told)


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if _inside and event in FORBIDDEN:
        _inside.append(f"{event} {arguments!r:.200}")


def _hang(*_: object) -> NoReturn:
    raise _Hangs


def _pages() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0])


if __name__ == "__main__":
    main()
