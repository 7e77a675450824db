"""What a search costs: memory by length of the video, seconds against plain decoding and CLIP alone, a second question.

    python -m benchmarks.search FOLDER [--model MODELS] [--long MINUTES]

FOLDER is a folder of videos of one size. Without MODELS, CLIP is open_clip's ViT-B-32 and the motion network is the
default one, with random weights, which cost what trained ones do. Videos are joined by the demo's encoder into films of
1 minute and of MINUTES, and, all of them, into 10 films. Each measurement is a process of its own. Writes
benchmarks/search.json and benchmarks/search.md.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from moclip.base.files import VIDEO_SUFFIXES, write_json, write_text
from moclip.cli.options.model import source_of
from moclip.predict.bundle import open_model
from moclip.predict.engine import loader_of
from moclip.search.ask import eyes_of
from moclip.search.timeline import BATCH_PICTURES, Shelf, read_timeline
from moclip.video.decode import decoding, glance
from moclip.video.rate import ConstantRate
from moclip.video.write import encode

RESULTS = Path(__file__).with_suffix("")
FPS, FILMS = 25, 10
MIB = 1 << 20


def main() -> None:
    """Measure, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--every", type=float, default=1.0)
    parser.add_argument("--long", type=float, default=10.0)
    parser.add_argument("--one", choices=("search", "decode", "clip", "again"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.one, args.videos, args.model, args.every)))
        return
    clips = sorted(path for path in args.videos.rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES)
    with tempfile.TemporaryDirectory() as folder:
        if args.model is None:
            from benchmarks.predict import make_bundle  # here: its imports would count in each measured process

            args.model = str(make_bundle(Path(folder), "small"))
        found = benchmark(clips, Path(folder), args)
    write_json(RESULTS.with_suffix(".json"), found)
    write_text(RESULTS.with_suffix(".md"), table(found))


def table(found: dict[str, Any]) -> str:
    """The figures in Markdown."""
    ten, films = found["joined"], found["memory"]
    rows = [
        *((f"peak memory of a film of {length}, MiB", f"{film['peak_mib']:.0f}") for length, film in films.items()),
        ("the longer film's peak by the shorter one's", f"{found['peak_long_by_short']:.2f}"),
        (f"search of {list(films)[-1]}, by decoding alone", f"{found['search_by_decode']:.2f}"),
        ("the same, by decoding and CLIP's forward pass", f"{found['search_by_decode_and_clip']:.2f}"),
        ("a second question of the same film, s", f"{found['seconds']['again']:.2f}"),
        (f"{ten['films']} joined films, by decoding alone", f"{ten['search_by_decode']:.2f}"),
        ("the same, by decoding and CLIP's forward pass", f"{ten['search_by_decode_and_clip']:.2f}"),
    ]
    return "\n".join(
        [
            "# What a search costs",
            "",
            f"Written by `python -m benchmarks.search`, {found['clips']} clips joined into films. Seconds are those of "
            "the processor, of one run; loading the model is not in them. A search decodes once, for CLIP and motion.",
            "",
            "| figure | measured |",
            "| --- | ---: |",
            *(f"| {name} | {value} |" for name, value in rows),
            "",
        ]
    )


def benchmark(clips: Sequence[Path], folder: Path, args: Any) -> dict[str, Any]:
    """All figures."""
    films = {minutes: folder / f"film{minutes:g}.avi" for minutes in (1.0, args.long)}
    for minutes, film in films.items():
        join(film, cycle(clips), round(minutes * 60 * FPS))
    found: dict[str, Any] = {"clips": len(clips)}
    found["memory"] = {f"{minutes:g} min": alone("search", film, args) for minutes, film in films.items()}
    long, short = (found["memory"][f"{minutes:g} min"]["peak_mib"] for minutes in (args.long, 1.0))
    found["peak_long_by_short"] = round(long / short, 3)
    parts = {part: alone(part, films[args.long], args)["seconds"] for part in ("decode", "clip", "again")}
    whole = found["memory"][f"{args.long:g} min"]["seconds"]
    found["seconds"] = {**parts, "search": whole}
    found["search_by_decode_and_clip"] = round(whole / (parts["decode"] + parts["clip"]), 3)
    found["search_by_decode"] = round(whole / parts["decode"], 3)
    found["joined"] = joined(clips, folder, args)
    return found


def joined(clips: Sequence[Path], folder: Path, args: Any) -> dict[str, Any]:
    """All clips in ten films: seconds of decoding alone and of searching them."""
    films = []
    for number, part in enumerate(np.array_split(np.arange(len(clips)), FILMS)):
        films.append(folder / f"joined{number}.avi")
        join(films[-1], iter([clips[place] for place in part.tolist()]), None)
    decoded = sum(alone("decode", film, args)["seconds"] for film in films)
    seen = sum(alone("clip", film, args)["seconds"] for film in films)
    searched = sum(alone("search", film, args)["seconds"] for film in films)
    return {
        **{"films": len(films), "decode_s": decoded, "clip_s": seen, "search_s": searched},
        "search_by_decode": round(searched / decoded, 3),
        "search_by_decode_and_clip": round(searched / (decoded + seen), 3),
    }


def join(out: Path, clips: Iterator[Path], frames: int | None) -> None:
    """Write clips one after the other as one film, all of them or so many frames."""

    def pictures() -> Iterator[np.ndarray]:
        written = 0
        for clip in clips:
            with decoding(clip) as (_, decoded):
                for frame in decoded:
                    yield frame.to_ndarray(format="rgb24")
                    written += 1
                    if written == frames:
                        return

    first = pictures()
    start = next(first)
    height, width = start.shape[:2]

    def every() -> Iterator[np.ndarray]:
        yield start
        yield from (picture for picture in first if picture.shape == start.shape)

    encode(out, every(), fps=FPS, width=width, height=height)


def alone(part: str, film: Path, args: Any) -> dict[str, Any]:
    """One measurement in a process of its own."""
    words = ["-m", "benchmarks.search", str(film), "--model", args.model, "--every", str(args.every), "--one", part]
    done = subprocess.run([sys.executable, *words], check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def measure(part: str, film: Path, model: str, every: float) -> dict[str, Any]:
    """CPU seconds of this process and its peak memory; loading is not timed."""
    eyes = eyes_of(open_model(source_of(model)), loader_of("torch"), needs_clip=True)
    pictures: list[np.ndarray] = []
    with tempfile.TemporaryDirectory() as folder:
        shelf = Shelf(Path(folder))
        if part == "again":
            shelf.timeline(film, every, eyes)
        if part == "clip":
            with decoding(film, rate := ConstantRate(film, every, glance(film)[1], pictures.append)) as (_, frames):
                for _ in frames:
                    pass
            rate.close()
        start, cpu = time.perf_counter(), time.process_time()
        if part == "search":
            read_timeline(film, every, eyes)
        elif part == "again":
            shelf.timeline(film, every, eyes)
        elif part == "decode":
            with decoding(film) as (_, frames):
                for _ in frames:
                    pass
        elif eyes.encoder is not None:
            for place in range(0, len(pictures), BATCH_PICTURES):
                eyes.encoder.images(pictures[place : place + BATCH_PICTURES])
        wall, spent = time.perf_counter() - start, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": round(spent, 3), "wall_s": round(wall, 3), "peak_mib": round(peak, 1)}


if __name__ == "__main__":
    main()
