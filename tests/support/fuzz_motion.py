"""Damaged videos by the thousand: each must be read or refused by name, in bounded time, without a trace of a store.

python -m tests.support.fuzz_motion --files 2000 --out benchmarks/fuzz.json
"""

import argparse
import multiprocessing
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from moclip.base.errors import VideoError
from moclip.base.files import read_npz, sha256_file, write_json
from moclip.motion.extract import MotionOptions, VideoFile, extract, read_grid
from moclip.motion.store import MotionStore
from moclip.video import decode as video
from tests.support.clips import encode, scrolling

REAL = Path(__file__).parents[3] / "shared" / "data" / "ucf101" / "UCF-101"
BATCH = 50
HANG_SECONDS = 10.0

SOURCES: dict[str, tuple[str, str, dict[str, str]]] = {
    "mpeg4": ("mpeg4", "avi", {}),
    "mpeg4-b": ("mpeg4", "avi", {"bf": "2", "flags": "+mv4"}),
    "mpeg4-mp4": ("mpeg4", "mp4", {}),
    "h264": ("libx264", "mp4", {"bf": "3", "refs": "4"}),
    "h264-mkv": ("libx264", "mkv", {"bf": "0"}),
    "mpeg2": ("mpeg2video", "mpeg", {"bf": "2"}),
    "mpeg2-ts": ("mpeg2video", "ts", {}),
    "h263": ("h263", "avi", {}),
    "wmv2": ("wmv2", "asf", {}),
    "flv": ("flv", "flv", {}),
    "snow": ("snow", "avi", {}),
}


def flip_bits(content: bytearray, rng: np.random.Generator, _: bytes) -> bytes:
    """One to a hundred single bits."""
    for at in rng.integers(0, len(content), int(rng.integers(1, 101))):
        content[at] ^= 1 << int(rng.integers(8))
    return bytes(content)


def flip_head(content: bytearray, rng: np.random.Generator, _: bytes) -> bytes:
    """One to eight bytes of the container's header, where sizes and counts stand."""
    for at in rng.integers(0, min(len(content), 600), int(rng.integers(1, 9))):
        content[at] = int(rng.integers(256))
    return bytes(content)


def cut(content: bytearray, rng: np.random.Generator, _: bytes) -> bytes:
    """Anything from nothing to all but the last byte is kept."""
    return bytes(content[: int(rng.integers(0, len(content)))])


def splice(content: bytearray, rng: np.random.Generator, other: bytes) -> bytes:
    """The beginning of one file and the end of another."""
    return bytes(content[: int(rng.integers(len(content)))]) + other[int(rng.integers(len(other))) :]


def overwrite(content: bytearray, rng: np.random.Generator, _: bytes) -> bytes:
    """A stretch of random bytes, zeros or ones."""
    at, length = int(rng.integers(len(content))), int(rng.integers(1, 4000))
    fill = [rng.bytes(length), bytes(length), b"\xff" * length][int(rng.integers(3))]
    content[at : at + length] = fill[: len(content) - at]
    return bytes(content)


def remove(content: bytearray, rng: np.random.Generator, _: bytes) -> bytes:
    """A stretch taken out, so that all that follows moves."""
    at = int(rng.integers(len(content)))
    del content[at : at + int(rng.integers(1, 4000))]
    return bytes(content)


DAMAGES: Sequence[Callable[[bytearray, np.random.Generator, bytes], bytes]] = (
    flip_bits,
    flip_head,
    cut,
    splice,
    overwrite,
    remove,
)


class Outcome(NamedTuple):
    """What became of one file: "read", "refused", or what must not happen, in words."""

    kind: str
    seconds: float
    peak_mib: float


def sources(folder: Path) -> list[Path]:
    """Sound videos of every format, and real clips where there are any."""
    folder.mkdir()
    made = [
        encode(folder / f"{name}.{ending}", scrolling(24, 3, -2), codec, options=options)
        for name, (codec, ending, options) in SOURCES.items()
    ]
    return made + sorted(REAL.glob("*/*.avi"))[::16]


def damaged_files(folder: Path, files: int, seed: int) -> list[Path]:
    """Write `files` damaged videos; each kind of damage meets each source in turn."""
    sound = sources(folder / "sound")
    contents = [path.read_bytes() for path in sound]
    paths = []
    for index in range(files):
        rng = np.random.default_rng([seed, index])
        source, damage = index % len(sound), DAMAGES[index // len(sound) % len(DAMAGES)]
        other = contents[int(rng.integers(len(contents)))]
        path = folder / f"{index:05d}-{damage.__name__}-{sound[source].stem}{sound[source].suffix}"
        path.write_bytes(damage(bytearray(contents[source]), rng, other))
        paths.append(path)
    return paths


def read(path: Path) -> Outcome:
    """Read the vectors of one file, a frame of it, and the vectors of its re-encoded frames."""
    start = time.monotonic()
    kinds = [
        _kind(path, lambda: read_grid(path, MotionOptions())),
        _kind(path, lambda: video.read_frames(path, [1])),
        _kind(path, lambda: read_grid(path, MotionOptions(source="reencoded"))),
    ]
    faults = [kind for kind in kinds if kind not in ("read", "refused")]
    seconds = time.monotonic() - start
    if seconds > HANG_SECONDS:
        faults.append(f"took {seconds:.0f} s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Outcome("; ".join(faults) or kinds[0], seconds, peak)


def _kind(path: Path, attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except VideoError as error:
        return "refused" if path.name in str(error) else f"refused without its name: {error}"
    except Exception as error:  # exactly what must not come out
        return f"{type(error).__name__}: {error}"
    return "read"


def fuzz(folder: Path, files: int, seed: int, jobs: int) -> dict[str, Any]:
    """Read damaged files one by one, then extract them in batches; counts, and each fault by file.

    A batch with a refused file must leave no store and name exactly the refused ones; its other files must make a
    store that is whole.
    """
    paths = damaged_files(folder, files, seed)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        outcomes = dict(zip(paths, pool.map(read, paths), strict=True))
    faults = {path.name: o.kind for path, o in outcomes.items() if o.kind not in ("read", "refused")}
    for first in range(0, files, BATCH):
        batch = paths[first : first + BATCH]
        refused = {path for path in batch if outcomes[path].kind == "refused"}
        if fault := _extract(batch, refused, folder, jobs):
            faults[f"batch {first // BATCH}"] = fault
    kinds = Counter(outcome.kind for outcome in outcomes.values())
    by_damage = Counter((p.name.split("-")[1], o.kind) for p, o in outcomes.items())
    return {
        "files": files,
        "seed": seed,
        "read": kinds["read"],
        "refused": kinds["refused"],
        "faults": faults,
        "by_damage": {
            damage.__name__: {k: by_damage[damage.__name__, k] for k in ("read", "refused")} for damage in DAMAGES
        },
        "slowest_seconds": round(max(o.seconds for o in outcomes.values()), 2),
        "peak_mib": round(max(o.peak_mib for o in outcomes.values())),
        "decoder": video.versions(),
    }


def _extract(batch: Sequence[Path], refused: set[Path], folder: Path, jobs: int) -> str:
    out, work = folder / "store", folder / "work"
    videos = [VideoFile(path.stem, path) for path in batch]
    try:
        extract(videos, out, work, MotionOptions(), jobs=jobs)
    except VideoError as error:
        named = {path for path in batch if path.name in str(error)}
        if named != refused:
            return f"named {sorted(p.name for p in named ^ refused)} only once"
    if refused and (out.exists() or list(folder.glob(".*"))):
        return "left something of a store"
    if sound := [item for item in videos if item.path not in refused]:
        extract(sound, out, work, MotionOptions(), jobs=1)
        if set(MotionStore.open(out).ids) != {item.id for item in sound}:
            return "stored other videos"
        stated = read_npz(out / "blocks.npz", "sha256")["sha256"].tolist()
        if stated != [sha256_file(block) for block in sorted(out.glob("blocks/*/*.block"))]:
            return "stored a block damaged"
        shutil.rmtree(out)
    return ""


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = fuzz(Path(folder), args.files, args.seed, args.jobs)
    write_json(args.out, result)
    sys.exit(1 if result["faults"] else 0)


if __name__ == "__main__":
    main()
