"""A film of a video with what a model says of it: motion, label and probabilities in the picture.

A long video is answered in windows, each as if it were a video of its own. Nothing but one frame and the motion, which
a file holds, is kept of a film, so that memory does not grow with its length.
"""

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from moclip.base.errors import ParamsError
from moclip.base.lettering import drawable, font_file
from moclip.base.outputs import writing_file
from moclip.motion.draw import drawn
from moclip.motion.extract import Seen
from moclip.predict.predictor import Prediction, Predictor
from moclip.video import decode as video
from moclip.video.bounded.worker import stream
from moclip.video.frames import middle_frame
from moclip.video.write import write_mp4

USUAL_FPS = 25.0  # where a file states none
_LEAST_FRAMES = 2  # of a window: one has no motion
_LINE_OF_HEIGHT = 1 / 22
_LEAST_LINE_PX = 12
_LONGEST = 32  # characters of a class
_BAND, _BAR = (0, 0, 0, 170), (255, 196, 0, 255)
_BAR_OF_WIDTH = 0.25


@dataclass(frozen=True)
class Window:
    """A stretch of a video, half-open in frames and in seconds, and what the model says of it."""

    start: int
    end: int
    start_s: float
    end_s: float
    answer: Prediction


def spans(frames: int, fps: float, window_s: float) -> list[tuple[int, int]]:
    """Half-open spans of `window_s` seconds each that cover a video; a rest of less than half of that joins the last.

    Raises:
        ParamsError: `window_s` is not above 0.

    >>> spans(70, 10.0, 3.0), spans(50, 10.0, 3.0)
    ([(0, 30), (30, 70)], [(0, 30), (30, 50)])
    """
    if not window_s > 0:
        raise ParamsError(f"a window of {window_s:g} s: must be longer than 0")
    length = max(_LEAST_FRAMES, round(min(window_s, frames / fps) * fps))
    whole, rest = divmod(frames, length)
    count = max(1, whole + (rest >= _LEAST_FRAMES and 2 * rest >= length))
    return [(k * length, frames if k == count - 1 else (k + 1) * length) for k in range(count)]


def windows(path: Path, predictor: Predictor, seen: Seen, window_s: float, *, reencode: bool = False) -> list[Window]:
    """What a model says of each stretch of a video that was looked at.

    Raises:
        ParamsError: as `spans`.
        VideoError: as `Predictor.predict`.
    """
    fps = seen.fps or USUAL_FPS
    parts = spans(seen.frames, fps, window_s)
    warnings = predictor.warnings(seen, reencode=reencode)
    found = []
    with closing(_pictures(path, predictor, seen, parts)) as pictures:
        for (start, end), picture in zip(parts, pictures, strict=True):
            grid = seen.grid and replace(seen.grid, mv=seen.grid.mv[start:end], state=seen.grid.state[start:end])
            logits = predictor.answer(path, grid, picture)
            answer = Prediction(
                str(path), end - start, predictor.head, predictor.split, predictor.classes, logits, {}, warnings
            )
            found.append(Window(start, end, start / fps, end / fps, answer))
    return found


def _pictures(
    path: Path, predictor: Predictor, seen: Seen, parts: Sequence[tuple[int, int]]
) -> Generator[np.ndarray | None, None, None]:
    """The middle frame of each stretch; None where no head reads pictures."""
    if predictor.encoder is None or len(parts) == 1:
        yield from [seen.picture] * len(parts)
        return
    wanted = {start + middle_frame(end - start) for start, end in parts}
    with closing(stream(path, video.chosen_pictures, path, frozenset(wanted))) as pictures:
        yield from pictures


def save_film(out: Path, path: Path, seen: Seen, found: Sequence[Window], top: int) -> None:
    """Draw every frame of a video with its motion, and the likeliest classes of the window that it lies in, as an MP4.

    Raises:
        OutputError: `out` is the video, is there and not as moclip wrote it, or cannot be written.
        VideoError: the video cannot be read again.
    """
    with writing_file(out, "mp4", [path]) as temporary, closing(_labelled(path, seen, found, top)) as pictures:
        write_mp4(temporary, pictures, seen.fps or USUAL_FPS)


def _labelled(path: Path, seen: Seen, found: Sequence[Window], top: int) -> Generator[np.ndarray, None, None]:
    band, shown = None, None
    with closing(_frames(path, seen)) as frames:
        for number, frame in enumerate(frames):
            window = next((one for one in found if one.start <= number < one.end), found[-1])
            if band is None or window is not shown:
                band, shown = _band(window.answer.top(top), frame.size), window
            frame.paste(band, (0, 0), band)
            yield np.asarray(frame)


def _frames(path: Path, seen: Seen) -> Generator[Image.Image, None, None]:
    """Every frame, with its motion where that was read."""
    if seen.grid is not None:
        yield from drawn(path, seen.grid)
        return
    with closing(stream(path, video.pictures, path)) as pictures:
        for picture in pictures:
            yield Image.fromarray(picture)


def _band(top: Sequence[tuple[str, float]], size: tuple[int, int]) -> Image.Image:
    """Classes with probabilities and bars of them, to be laid over the upper edge of a picture; RGBA."""
    width, height = size
    line_px = max(_LEAST_LINE_PX, round(height * _LINE_OF_HEIGHT))
    font = ImageFont.truetype(font_file(), round(0.75 * line_px))
    band = Image.new("RGBA", (width, min(height, line_px * len(top) + line_px // 2)), _BAND)
    pen = ImageDraw.Draw(band)
    bar_px = round(_BAR_OF_WIDTH * width)
    for row, (name, probability) in enumerate(top):
        y = line_px // 4 + row * line_px
        pen.rectangle((line_px // 4, y + line_px // 4, line_px // 4 + bar_px * probability, y + line_px // 2), _BAR)
        text = f"{100 * probability:5.1f} %  {drawable(name)[:_LONGEST]}"
        pen.text((bar_px + line_px // 2, y), text, fill="white", font=font)
    return band
