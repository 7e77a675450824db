"""What a store of frames costs at a data set's full size: time a video, size, memory, and the bytes after a kill.

    python -m benchmarks.frames FOLDER CLIP [--arrays global grid]

FOLDER holds one file or link for each of UCF101's 13,320 names. CLIP is a frozen network in the project's own form,
such as models/clip of the demo after `dvc repro clip_model`. Settings are those of params.yaml. Each store is made in a
process of its own, then made again by one that is killed at half and one that goes on. Writes benchmarks/frames.json
and benchmarks/frames.md.
"""

import argparse
import logging
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from moclip.base.arithmetic import AVX2, ONE_THREAD
from moclip.base.files import read_json, sha256_file, write_json, write_text
from moclip.clip.encoder import load_encoder
from moclip.clip.frames import cache_frames
from moclip.data.dataset import Clip
from moclip.data.manifest import Video, read_manifest, write_manifest
from moclip.data.measure import measure
from moclip.params.frames import FramesParams
from moclip.params.section import validated
from moclip.store.blocks import BlockStore, parts

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "frames"
ARRAYS = ("global", "grid")
MANIFEST, PEAK = "manifest.csv", "peak_mb.json"


def rows_of(folder: Path) -> list[Video]:
    """The manifest of a folder of many names for few files: each file is measured once."""
    paths = sorted(folder.rglob("*.avi"))
    real = sorted({path.resolve() for path in paths})
    measured = measure([Clip(path.stem, "", "", path) for path in real], Path("/"))
    of_file = dict(zip((row.path for row in measured), measured, strict=True))
    rows = [(path, of_file[path.resolve().relative_to("/").as_posix()]) for path in paths]
    return [
        replace(row, id=path.stem, class_name=path.parent.name, path=path.relative_to(folder).as_posix())
        for path, row in rows
    ]


def params_of() -> tuple[FramesParams, int]:
    """Which frames, and how many images a forward pass takes."""
    params = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")
    return validated("frames", FramesParams, params["frames"]), int(params["clip"]["batch_images"])


def make(folder: Path, clip: Path, place: Path, array: Any) -> None:
    """Make one store in this process, and say what memory it took."""
    frames, batch_images = params_of()
    cache_frames(
        load_encoder(clip),
        read_manifest(place.parent / MANIFEST).videos,
        folder,
        place / "work",
        place / "store",
        array,
        frames,
        batch_images=batch_images,
        provenance={"clip": sha256_file(next(iter(sorted(clip.glob("*.safetensors")))))},
    )
    write_json(place / PEAK, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def make_apart(args: Any, place: Path, array: str, kill_at: int | None = None) -> float:
    """Make a store in a process of its own, which is killed where so many blocks are done; gives its seconds."""
    place.mkdir(exist_ok=True)
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.frames", str(args.folder), str(args.clip), "--make", array, str(place)],
        cwd=ROOT,
        env={**os.environ, **ONE_THREAD, **AVX2},
    )
    while process.poll() is None:
        time.sleep(0.2)
        if kill_at is not None and len(list((place / "work").rglob("*.block"))) >= kill_at:
            process.send_signal(signal.SIGKILL)
    if kill_at is None and process.returncode:
        raise SystemExit(f"{array}: making the store failed")
    return time.perf_counter() - begun


def figures_of(args: Any, place: Path, array: str, videos: Sequence[Video]) -> dict[str, float]:
    """Costs of one array."""
    whole, killed = place / f"{array}-whole", place / f"{array}-killed"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = make_apart(args, whole, array)
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    half = len(parts(len(videos))) // 2
    first = make_apart(args, killed, array, kill_at=half)
    rest = make_apart(args, killed, array)
    names = [file.relative_to(whole / "store") for file in sorted((whole / "store").rglob("*")) if file.is_file()]
    same = all((whole / "store" / name).read_bytes() == (killed / "store" / name).read_bytes() for name in names)
    store = BlockStore(whole / "store")
    begun = time.perf_counter()
    store.rows(array, [video.id for video in videos])
    return {
        "videos": len(videos),
        "frames_of_a_video": params_of()[0].count,
        "seconds": seconds,
        "processor_seconds": _cpu(spent) - _cpu(before),
        "ms_per_video": 1000 * seconds / len(videos),
        "store_mb": sum((whole / "store" / name).stat().st_size for name in names) / 1e6,
        "peak_mb": read_json(whole / PEAK),
        "seconds_read_whole": time.perf_counter() - begun,
        "killed_and_resumed_seconds_ratio": (first + rest) / seconds,
        "same_bytes_after_kill": float(same),
    }


def _cpu(usage: resource.struct_rusage) -> float:
    return usage.ru_utime + usage.ru_stime


def table(clip: str, found: dict[str, dict[str, float]]) -> str:
    """The results in Markdown."""
    names = list(next(iter(found.values())))
    lines = [
        "# The store of frames at full size",
        "",
        f"Written by `python -m benchmarks.frames`: CLIP is {clip}, in portable arithmetic, one process of one thread. "
        "Decoding is part of each figure; many names stood for few files, so that disks had little to do. A network of "
        "another size costs its own forward pass.",
        "",
        f"| figure | {' | '.join(found)} |",
        f"| --- | {' | '.join('---:' for _ in found)} |",
    ]
    lines += [f"| {name} | {' | '.join(_shown(values[name]) for values in found.values())} |" for name in names]
    return "\n".join(lines) + "\n"


def _shown(value: float) -> str:
    return f"{value:,.2f}".removesuffix(".00")


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--arrays", nargs="+", choices=ARRAYS, default=ARRAYS)
    parser.add_argument("--make", nargs=2, metavar=("ARRAY", "PLACE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.folder, args.clip = args.folder.absolute(), args.clip.absolute()
    logging.basicConfig(level=logging.INFO)
    if args.make:
        make(args.folder, args.clip, Path(args.make[1]), args.make[0])
        return
    videos = rows_of(args.folder)
    with tempfile.TemporaryDirectory() as place:
        write_manifest(Path(place) / MANIFEST, videos)
        found = {array: figures_of(args, Path(place), array, videos) for array in args.arrays}
    parameters = sum(one.numel() for one in load_encoder(args.clip).model.parameters())
    clip = f"a network of {parameters / 1e6:.2f} M parameters"
    rounded = {array: {name: round(value, 4) for name, value in values.items()} for array, values in found.items()}
    write_json(RESULTS.with_suffix(".json"), {"clip": clip, "figures": rounded})
    write_text(RESULTS.with_suffix(".md"), table(clip, rounded))


if __name__ == "__main__":
    main()
