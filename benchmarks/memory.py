"""How much memory a command takes of a film of 1 minute and of 10: the peak must not depend on the length.

    python -m benchmarks.memory

Makes the films, runs each command in a process of its own, and writes benchmarks/memory.json and benchmarks/memory.md.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import av
import numpy as np

from moclip.base.files import write_json, write_text
from moclip.video.write import write_mp4

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "memory"
WIDTH, HEIGHT, FPS = 320, 240, 25
MINUTES = (1, 10)

_MOTION = ("-c", "from moclip.cli.main import main; raise SystemExit(main())", "motion", "FILM", "--cell-px", "8")
_PYTHON = "import sys; from pathlib import Path; film, out = map(Path, sys.argv[1:]); "
COMMANDS: Mapping[str, Sequence[str]] = {
    "moclip motion --out": (*_MOTION, "--out", "OUT.npz"),
    "moclip motion --png": (*_MOTION, "--png", "OUT.png"),
    "moclip motion --mp4": (*_MOTION, "--mp4", "OUT.mp4"),
    "moclip motion --reencode --out": (*_MOTION, "--reencode", "--out", "OUT.npz"),
    "extract_motion": (
        "-c",
        _PYTHON + "from moclip.motion.extract import *; "
        "extract([VideoFile('film', film)], out / 'store', out / 'work', MotionOptions(cell_px=8), jobs=1)",
        *("FILM", "OUT"),
    ),
    "moclip predict, its decoding": (
        "-c",
        _PYTHON + "from moclip.motion.extract import *; middle = video.Middle(); "
        "grid = read_grid(film, MotionOptions(cell_px=8), middle=middle); middle.picture(film, len(grid.mv))",
        *("FILM", "OUT"),
    ),
    "prepare": ("-c", _PYTHON + "from moclip.video.decode import probe; probe(film)", "FILM", "OUT"),
    "audit": ("-c", _PYTHON + "from moclip.video.container import read_container; read_container(film)", "FILM", "OUT"),
    "cache_clip, its decoding": (
        "-c",
        _PYTHON + "from moclip.video.decode import read_frames; read_frames(film, [1400])",
        *("FILM", "OUT"),
    ),
}


def make_films(folder: Path) -> dict[int, Path]:
    """A minute of a texture that moves in a circle, in H.264 with B-frames, and the same packets again and again."""
    first = folder / "1.mp4"
    plane = np.kron(np.random.default_rng(0).integers(0, 255, (90, 110, 1)), np.ones((4, 4, 3))).astype(np.uint8)
    turns = np.linspace(0, 60 * np.pi, 60 * FPS)
    corners = [(int(30 + 30 * np.sin(turn)), int(30 + 30 * np.cos(turn))) for turn in turns]
    write_mp4(first, (plane[y : y + HEIGHT, x : x + WIDTH] for y, x in corners), FPS)
    films = {1: first}
    for minutes in MINUTES[1:]:
        films[minutes] = folder / f"{minutes}.mp4"
        _repeat(first, films[minutes], minutes)
    return films


def _repeat(film: Path, out: Path, times: int) -> None:
    with av.open(str(out), "w") as target:
        stream = None
        for number in range(times):
            with av.open(str(film)) as source:
                old = source.streams.video[0]
                stream = stream or target.add_stream_from_template(old)
                for packet in source.demux(old):
                    if packet.dts is None or packet.pts is None:
                        continue
                    shift = int(number * 60 / packet.time_base)
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = stream
                    target.mux(packet)


def peak_mb(command: Sequence[str], film: Path, folder: Path) -> float:
    """Peak memory of a command in a process of its own."""
    out = folder / f"out-{len(list(folder.iterdir()))}"
    words = [word.replace("FILM", str(film)).replace("OUT", str(out)) for word in command]
    files = [Path(word) for word in words if word.startswith(f"{out}.")]
    process = subprocess.Popen([sys.executable, *words], cwd=ROOT, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or not all(file.is_file() for file in files):
        raise SystemExit(f"failed: {' '.join(words)}")
    return usage.ru_maxrss / 1024


def table(peaks: Mapping[str, Sequence[float]]) -> str:
    """The results in Markdown."""
    lines = [
        "# Memory of films of 1 and 10 minutes",
        "",
        f"Written by `python -m benchmarks.memory`: peaks of processes, on H.264 of {WIDTH} x {HEIGHT} at {FPS}"
        " frames/s, cells of 8 px.",
        "",
        "| command | 1 minute, MB | 10 minutes, MB | growth |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, (short, long) in peaks.items():
        lines.append(f"| {name} | {short:.0f} | {long:.0f} | {long / short:.2f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", help="a part of a command's name; nothing is written then")
    args = parser.parse_args()
    chosen = {name: command for name, command in COMMANDS.items() if not args.only or args.only in name}
    with tempfile.TemporaryDirectory() as place:
        films = make_films(Path(place))
        peaks = {
            name: [peak_mb(command, film, Path(place)) for film in films.values()] for name, command in chosen.items()
        }
    print(table(peaks))
    if not args.only:
        figures = {name: [round(peak) for peak in found] for name, found in peaks.items()}
        write_json(RESULTS.with_suffix(".json"), {"minutes": MINUTES, "peaks_mb": figures})
        write_text(RESULTS.with_suffix(".md"), table(peaks))


if __name__ == "__main__":
    main()
