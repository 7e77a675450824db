"""Video containers by the thousand, changed where their structure is: each is read or refused by name, at bounded cost.

    python -m benchmarks.fuzz.containers --inputs 2000 --seed 0

Small videos are made in many containers, and changed by hypothesis: bytes, numbers of 32 and 64 bits where sizes and
counts stand, parts that are doubled, moved or cut. Each goes to a decoding process as a stranger's video does.
A fault is an error of another kind than VideoError, a refusal that does not name the file, more seconds than allowed,
or a process whose memory passed the limit. Prints the counts as JSON; the status is 1 where there is a fault.
"""

import argparse
import json
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from moclip.base.errors import VideoError
from moclip.base.progress import Progress
from moclip.motion.extract import MotionOptions, look
from moclip.video.bounded.limits import Limits, using
from moclip.video.bounded.system import peak_mb
from moclip.video.bounded.worker import call
from moclip.video.container import read_container
from moclip.video.decode import probe

MOST_S, MOST_MB = 10.0, 500.0
LIMITS = Limits(frames=2_000, seconds=MOST_S / 2, memory_mib=384)
# Codec and container of each video that inputs are made of.
SOURCES = (
    *(("mpeg4", "avi"), ("mpeg4", "mp4"), ("libx264", "mp4"), ("libx264", "mkv"), ("mpeg2video", "mpeg")),
    *(("mpeg2video", "mpegts"), ("flv", "flv"), ("wmv2", "asf"), ("mpeg4", "nut"), ("libvpx", "webm")),
    *(("libx264", "h264"), ("mpeg4", "m4v"), ("libvpx", "ivf"), ("libvpx", "ogg"), ("png", "avi"), ("snow", "avi")),
)
# Numbers that break arithmetic: ends of ranges, and counts that ask for much.
EDGES = (0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 1 << 24, 1 << 25, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)

Change = Callable[[bytearray], None]
READERS: dict[str, Callable[[Path], object]] = {
    "motion": lambda path: look(path, MotionOptions(), middle=True),
    "picture": lambda path: look(path, None, middle=True),
    "measure": lambda path: call(path, probe, path),
    "audit": lambda path: call(path, read_container, path),
}


def made(folder: Path) -> list[bytes]:
    """The videos that inputs are made of: 12 moving frames of 64 x 48."""
    ground = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    pictures = [np.ascontiguousarray(ground[i : i + 48, 2 * i : 2 * i + 64]) for i in range(12)]
    return [_encoded(folder / f"source.{form}", pictures, codec, form) for codec, form in SOURCES]


def _encoded(path: Path, pictures: Sequence[np.ndarray], codec: str, form: str) -> bytes:
    with av.open(str(path), "w", format={"mkv": "matroska"}.get(form, form)) as out:
        stream: Any = out.add_stream(codec, rate=25, options={"strict": "experimental"})
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "rgb24" if codec == "png" else "yuv420p"
        for picture in pictures:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))
    return path.read_bytes()


def _put(at: float, content: bytes) -> Change:
    def change(data: bytearray) -> None:
        place = int(at * max(1, len(data)))
        data[place : place + len(content)] = content

    return change


def _move(start: float, length: int, to: float, doubled: bool) -> Change:
    def change(data: bytearray) -> None:
        place = int(start * len(data))
        part = bytes(data[place : place + length])
        if not doubled:
            del data[place : place + length]
        target = int(to * len(data))
        data[target:target] = part

    return change


def _cut(keep: float) -> Change:
    def change(data: bytearray) -> None:
        del data[max(1, int(keep * len(data))) :]

    return change


def changes() -> st.SearchStrategy[Change]:
    """One change of a file."""
    share = st.floats(0, 1, exclude_max=True)
    # Most tables stand at a file's beginning or end.
    place = st.one_of(share, share.map(lambda x: x**4), share.map(lambda x: 1 - x**4).filter(lambda x: x < 1))
    number = st.one_of(st.sampled_from(EDGES), st.integers(0, 0xFFFFFFFF))
    form = st.sampled_from((">I", "<I", ">Q", "<Q"))
    return st.one_of(
        st.builds(_put, place, st.binary(min_size=1, max_size=8)),
        st.builds(lambda at, n, how: _put(at, struct.pack(how, n)), place, number, form),
        st.builds(_move, place, st.integers(1, 4096), place, st.booleans()),
        st.builds(_cut, share),
    )


def judge(path: Path, reader: str) -> tuple[str, str]:
    """What becomes of one input, "read" or "refused", or a fault, with what is known of it."""
    begun = time.monotonic()
    try:
        READERS[reader](path)
        outcome, message = "read", ""
    except VideoError as error:
        outcome, message = "refused", str(error)
        if path.name not in message:
            return "fault", f"{reader}: a refusal without the file's name: {message}"
    except Exception as error:
        return "fault", f"{reader}: {type(error).__name__}: {error}"
    if (seconds := time.monotonic() - begun) > MOST_S:
        return "fault", f"{reader}: {seconds:.1f} s"
    if "crashes" in message:
        return "crash", message  # FFmpeg's fault; the process bore it
    if (peak := call(path, peak_mb)) > MOST_MB:
        return "fault", f"{reader}: {peak:.0f} MB"
    return outcome, message


def fuzz(inputs: int, first: int, folder: Path) -> dict[str, Any]:
    """Try so many inputs; counts by outcome, and each fault with a file that is left in `folder`.

    Args:
        inputs: How many.
        first: The seed.
        folder: Where inputs lie; those of faults stay.
    """
    sources, counts, faults = made(folder), Counter[str](), []
    slowest = 0.0
    bar = Progress(total=inputs, desc="containers", unit="input")

    @seed(first)
    @settings(
        max_examples=inputs,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(
        st.integers(0, len(SOURCES) - 1), st.lists(changes(), min_size=1, max_size=6), st.sampled_from(list(READERS))
    )
    def attempt(which: int, done: list[Change], reader: str) -> None:
        nonlocal slowest
        data = bytearray(sources[which])
        for change in done:
            change(data)
        path = folder / f"input{sum(counts.values())}.{SOURCES[which][1]}"
        path.write_bytes(data)
        begun = time.monotonic()
        outcome, message = judge(path, reader)
        slowest = max(slowest, time.monotonic() - begun)
        counts[outcome] += 1
        if outcome in ("fault", "crash"):
            faults.append({"file": path.name, "kind": outcome, "what": message[:500]})
        else:
            path.unlink()
        bar.update(1)

    with bar, using(LIMITS):
        attempt()
    return {"seed": first, "inputs": sum(counts.values()), **counts, "slowest_s": round(slowest, 2), "faults": faults}


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the inputs of faults; default: they go")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        found = fuzz(args.inputs, args.seed, folder)
    print(json.dumps(found, indent=2))
    sys.exit(any(fault["kind"] == "fault" for fault in found["faults"]))


if __name__ == "__main__":
    main()
