"""What a frame costs in processor time, on generated videos; the projection's constants are held against it."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from moclip.motion.extract import REENCODED, MotionOptions, read_grid
from moclip.video.decode import read_frames
from moclip.video.frames import middle_frame
from moclip.video.write import write_mp4
from tests.support.clips import scrolling

WIDTH, HEIGHT, FRAMES, FPS = 340, 256, 150, 30
ROUNDS = 3


def costs(folder: Path, videos: Path) -> dict[str, object]:
    """Microseconds of one core a frame, the best of some rounds each.

    Args:
        folder: Takes a film in H.264 for the time being.
        videos: A folder of videos in MPEG-4, such as the demo's.
    """
    options = MotionOptions()
    motion, middle, frames, video_ms = 0.0, 0.0, 0, []
    for path in sorted(videos.rglob("*.avi")):
        count = len(read_grid(path, options).mv)
        spent = _best_s(partial(read_grid, path, options))
        middle += _best_s(partial(read_frames, path, [middle_frame(count)]))
        motion, frames = motion + spent, frames + count
        video_ms.append(round(1000 * spent, 3))
    film = folder / "film.mp4"
    write_mp4(film, scrolling(FRAMES, 1, 1, WIDTH, HEIGHT), FPS)
    h264 = _best_s(partial(read_grid, film, options))
    reencoded = _best_s(partial(read_grid, film, MotionOptions(source=REENCODED)))
    return {
        "video_ms": video_ms,
        "mpeg4_us": 1e6 * motion / frames,
        "h264_us": 1e6 * h264 / FRAMES,
        "reencoded_us": 1e6 * reencoded / FRAMES,
        "middle_share": middle / motion,
    }


def _best_s(do: Callable[[], object]) -> float:
    found = []
    for _ in range(ROUNDS):
        start = time.process_time()
        do()
        found.append(time.process_time() - start)
    return min(found)
