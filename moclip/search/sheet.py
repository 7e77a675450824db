"""The found moments as a picture: a frame of each, and under them the score over time, so that a person looks."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from moclip.base.outputs import writing_file
from moclip.search.ask import Moment
from moclip.search.timeline import THUMBNAIL_PX, Timeline

COLUMNS = 5
_GAP_PX, _TEXT_PX, _CURVE_PX, _AXIS_PX = 8, 18, 90, 20
_FONT_PX = 13
_TICKS = 6
BLUE, ORANGE, GREY = "#0072B2", "#E69F00", "#767676"
PALE = {1: "#F6D9A0"}
_PALE_OTHER = "#E4EEF5"

Seen = Mapping[Path, tuple[Timeline, np.ndarray]]


def save_sheet(out: Path, title: str, seen: Seen, found: Sequence[Moment]) -> None:
    """Draw moments by video as one PNG, the best video first.

    Args:
        out: The file.
        title: What was asked.
        seen: By video its timeline and its curve (t,).
        found: The moments, the best first.

    Raises:
        OutputError: `out` is a video, is there and not as moclip wrote it, or cannot be written.
    """
    sheet = draw_sheet(title, seen, found)
    with writing_file(out, "png", list(seen)) as temporary:
        sheet.save(temporary, format="PNG")


def draw_sheet(title: str, seen: Seen, found: Sequence[Moment]) -> Image.Image:
    """All videos that have a moment, one below the other; `found` as for `save_sheet`."""
    videos = list(dict.fromkeys(moment.video for moment in found))
    low = min(float(seen[video][1].min()) for video in videos)
    high = max(float(seen[video][1].max()) for video in videos)
    ranked = list(enumerate(found, start=1))
    panels = [
        _panel(video, *seen[video], [(rank, one) for rank, one in ranked if one.video == video], (low, high))
        for video in videos
    ]
    width = _width()
    sheet = Image.new("RGB", (width, _TEXT_PX + 2 * _GAP_PX + sum(panel.height for panel in panels)), "white")
    _write(ImageDraw.Draw(sheet), (_GAP_PX, _GAP_PX), title, width - 2 * _GAP_PX)
    top = _TEXT_PX + 2 * _GAP_PX
    for panel in panels:
        sheet.paste(panel, (0, top))
        top += panel.height
    return sheet


def _width() -> int:
    return COLUMNS * (THUMBNAIL_PX[0] + _GAP_PX) + _GAP_PX


def _panel(
    video: Path, seen: Timeline, curve: np.ndarray, ranked: Sequence[tuple[int, Moment]], limits: tuple[float, float]
) -> Image.Image:
    """One video: its moments' frames, and its curve."""
    cell = (THUMBNAIL_PX[0] + _GAP_PX, THUMBNAIL_PX[1] + _TEXT_PX + _GAP_PX)
    rows = -(-len(ranked) // COLUMNS)
    width, frames_px = _width(), _TEXT_PX + rows * cell[1]
    panel = Image.new("RGB", (width, frames_px + _CURVE_PX + _AXIS_PX + 2 * _GAP_PX), "white")
    pen = ImageDraw.Draw(panel)
    _write(pen, (_GAP_PX, 0), video.name, width - 2 * _GAP_PX)
    for place, (rank, moment) in enumerate(ranked):
        row, column = divmod(place, COLUMNS)
        x, y = _GAP_PX + column * cell[0], _TEXT_PX + row * cell[1]
        picture = seen.picture(moment.best)
        panel.paste(picture, (x + (THUMBNAIL_PX[0] - picture.width) // 2, y))
        words = f"{rank}  {clock(moment.start_s)}-{clock(moment.end_s)}  {moment.score:.3f}"
        _write(pen, (x, y + THUMBNAIL_PX[1]), words, THUMBNAIL_PX[0])
    box = (_GAP_PX, frames_px + _GAP_PX, width - _GAP_PX, frames_px + _GAP_PX + _CURVE_PX)
    _curve(pen, box, seen, curve, ranked, limits)
    return panel


def _curve(
    pen: ImageDraw.ImageDraw,
    box: tuple[int, int, int, int],
    seen: Timeline,
    curve: np.ndarray,
    ranked: Sequence[tuple[int, Moment]],
    limits: tuple[float, float],
) -> None:
    """Score over time, with the moments behind it and the ends of the score's range beside it."""
    left, top, right, bottom = box
    low, high = limits
    scale = (right - left) / max(seen.duration_s, seen.every_s)
    for rank, moment in reversed(ranked):
        ends = (left + moment.start_s * scale, left + moment.end_s * scale)
        pen.rectangle((ends[0], top, max(ends[0] + 1, ends[1] - 1), bottom), fill=PALE.get(rank, _PALE_OTHER))
        pen.text((ends[0] + 2, top + 1), str(rank), fill=ORANGE if rank == 1 else BLUE, font=_font())
    heights = bottom - (np.asarray(curve, np.float64) - low) / ((high - low) or 1.0) * (bottom - top)
    x = left + np.minimum((np.arange(len(curve)) + 0.5) * seen.every_s, seen.duration_s) * scale
    line = list(zip(x.tolist(), heights.tolist(), strict=True))
    if len(line) > 1:
        pen.line(line, fill="black", width=1)
    else:
        pen.ellipse((line[0][0] - 2, line[0][1] - 2, line[0][0] + 2, line[0][1] + 2), fill="black")
    pen.rectangle(box, outline=GREY)
    for place in range(_TICKS + 1):
        at = left + (right - left) * place / _TICKS
        words = clock(seen.duration_s * place / _TICKS)
        shift = 0 if place == 0 else (pen.textlength(words, _font()) * (1 if place == _TICKS else 0.5))
        pen.line((at, bottom, at, bottom + 3), fill=GREY)
        pen.text((at - shift, bottom + 4), words, fill=GREY, font=_font())
    for value, y in ((high, top + 1), (low, bottom - _FONT_PX - 2)):
        words = f"{value:.3f}"
        pen.text((right - pen.textlength(words, _font()) - 3, y), words, fill=GREY, font=_font())


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(_FONT_PX)


def _write(pen: ImageDraw.ImageDraw, at: tuple[int, int], words: str, most_px: int) -> None:
    """One line, cut where it would not fit."""
    shown = words.encode("utf-8", "replace").decode("utf-8")
    while len(shown) > 1 and pen.textlength(shown, _font()) > most_px:
        shown = shown[:-2] + "…"
    pen.text(at, shown, fill="black", font=_font())


def clock(seconds: float) -> str:
    """A time as `m:ss.s`, with hours where there are some.

    >>> clock(62.46), clock(3600.0)
    ('1:02.5', '1:00:00.0')
    """
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest // 10:02d}.{rest % 10}"
    return f"{hours}:{minutes:02d}:{text}" if hours else f"{minutes}:{text}"
