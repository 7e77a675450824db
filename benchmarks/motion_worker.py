"""One way of reading a video, timed: paths come on stdin, one JSON line with times goes out for each.

It imports only what its method needs, so that `extractor` runs under an interpreter that has nothing but that package.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

EXPORT = {"flags2": "+export_mvs"}
REDUCED = {**EXPORT, "skip_idct": "all", "skip_loop_filter": "all", "lowres": "3"}


def plain() -> Callable[[str], int]:
    """The loop that one writes first: PyAV, `to_ndarray`, `np.add.at` per frame, a stored grid."""
    import av
    import numpy as np

    out = Path(tempfile.mkdtemp()) / "grid.npy"

    def read(path: str) -> int:
        grids = []
        with av.open(path, metadata_errors="ignore") as container:
            stream = container.streams.video[0]
            context = stream.codec_context
            gh, gw = -(-context.height // 16), -(-context.width // 16)
            context.options, context.thread_count = EXPORT, 1
            for frame in container.decode(stream):
                total, count = np.zeros((2, gh * gw)), np.zeros(gh * gw)
                side = frame.side_data.get("MOTION_VECTORS")
                if side is not None:
                    vectors = side.to_ndarray()
                    vectors = vectors[vectors["source"] < 0]
                    cell = vectors["dst_y"] // 16 * gw + vectors["dst_x"] // 16
                    half_pels = -2 / vectors["motion_scale"]
                    np.add.at(total[0], cell, vectors["motion_x"] * half_pels)
                    np.add.at(total[1], cell, vectors["motion_y"] * half_pels)
                    np.add.at(count, cell, 1)
                mean = np.rint(total / np.maximum(count, 1)).T.reshape(gh, gw, 2)
                grids.append(np.clip(mean, -127, 127).astype(np.int8))
        np.save(out, np.stack(grids))
        return len(grids)

    return read


def moclip() -> Callable[[str], int]:
    """The same with this package."""
    import numpy as np

    from moclip.motion.extract import MotionOptions, read_grid

    out = Path(tempfile.mkdtemp()) / "grid.npy"

    def read(path: str) -> int:
        grid = read_grid(Path(path), MotionOptions())
        np.save(out, grid.mv)
        return len(grid.mv)

    return read


def moclip_vectors() -> Callable[[str], int]:
    """This package, vectors alone."""
    from moclip.video.decode import stream_motion

    return lambda path: sum(len(run.state) for run in stream_motion(Path(path)))


def extractor() -> Callable[[str], int]:
    """The package motion-vector-extractor, vectors alone."""
    from mvextractor.videocap import VideoCap  # type: ignore[import-not-found]

    def read(path: str) -> int:
        video = VideoCap()
        video.set_decode_frames(False)
        video.open(path)
        count = 0
        while video.read()[0]:
            count += 1
        video.release()
        return count

    return read


def unread() -> Callable[[str], int]:
    """Reduced decoding whose vectors nobody takes: the limit of what any reader can reach."""
    import av

    def read(path: str) -> int:
        with av.open(path, metadata_errors="ignore") as container:
            stream = container.streams.video[0]
            stream.codec_context.options, stream.codec_context.thread_count = REDUCED, 1
            return sum(1 for _ in container.decode(stream))

    return read


METHODS = {method.__name__: method for method in (plain, moclip, moclip_vectors, extractor, unread)}


def main() -> None:
    """Serve until stdin ends."""
    read = METHODS[sys.argv[1]]()
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        frames = read(line.rstrip("\n"))
        times = (time.perf_counter() - wall, time.process_time() - cpu)
        print(json.dumps([frames, *times]), flush=True)


if __name__ == "__main__":
    main()
