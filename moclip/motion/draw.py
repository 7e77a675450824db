"""Motion that a person can look at and take along: arrays, pictures and films of one video.

Axes: t frames, n pictures, gh and gw cells down and across. Light: NumPy, Pillow and PyAV, nothing that learns.
"""

import math
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from moclip.base.files import InPieces, write_npz
from moclip.base.outputs import writing_file
from moclip.motion.fields import field_at
from moclip.motion.grid import HALF_PELS_PER_PX, MotionGrid
from moclip.store.spool import PIECE_BYTES, let_go, pieces
from moclip.video import decode as video
from moclip.video.bounded.worker import call, stream
from moclip.video.write import write_mp4

SHOWN_FRAMES = 6  # an arrow spans the motion of so many frames: one alone is mostly below a pixel
PICTURES, PICTURE_COLUMNS = 6, 3
DISC_PX = 41  # of a legend's directions
_GAP_PX, _FONT_PX, _LINE_PX = 6, 13, 18
_LEAST_LEGEND_PX = 320
_LEAST_PX = 1.0  # below it a cell shows neither colour nor arrow
_ZOOM = 2
_REST_PX = 1.0  # no field is stretched further: half-pel jitter of a still video stays pale
_FULL_SPEED_PCT = 99
_TRACE_BYTES = 64  # of memory a cell, while a field is traced
_GREY = 0.75
_COLOUR = 0.65


def save_arrays(out: Path, grid: MotionGrid) -> None:
    """Write motion as NumPy arrays (.npz).

    The file has `mv_px` float32 (t, gh, gw, 2), displacement (dx, dy) per frame in pixels, x right and y down;
    `key_frame` bool (t,); `cell_px` and `fps`.

    Raises:
        OutputError: `out` is there and not as moclip wrote it, or cannot be written.
    """
    in_px = np.float32(1 / HALF_PELS_PER_PX)
    with writing_file(out, "npz") as temporary:
        write_npz(
            temporary,
            mv_px=InPieces(np.dtype(np.float32), grid.mv.shape, (part * in_px for part in pieces(grid.mv))),
            key_frame=grid.key,
            cell_px=np.array(grid.cell_px),
            fps=np.array(grid.fps),
        )


def save_picture(out: Path, path: Path, grid: MotionGrid) -> None:
    """Draw frames spread over a video, with the motion up to each and what colours and arrows say, as one PNG.

    Raises:
        OutputError: `out` is the video, is there and not as moclip wrote it, or cannot be written.
    """
    t = len(grid.mv)
    first = min(SHOWN_FRAMES, t - 1)
    points = [first + i for i in spread(t - first, PICTURES)]
    fields = _fields(grid, points)
    full_px = full_speed_px(np.moveaxis(fields, 1, 0))
    frames = call(path, video.read_frames, path, points)
    drawn = [draw(*pair, grid, full_px) for pair in zip(frames, fields, strict=True)]
    columns, rows = min(PICTURE_COLUMNS, len(drawn)), -(-len(drawn) // PICTURE_COLUMNS)
    width, height = drawn[0].size
    legend = _legend(max(columns * width, _LEAST_LEGEND_PX), full_px)
    sheet = Image.new("RGB", (legend.width, rows * height + legend.height), "white")
    sheet.paste(legend, (0, rows * height))
    for number, picture in enumerate(drawn):
        row, column = divmod(number, columns)
        sheet.paste(picture, (column * width, row * height))
    with writing_file(out, "png", [path]) as temporary:
        sheet.save(temporary, format="PNG")


def save_film(out: Path, path: Path, grid: MotionGrid) -> None:
    """Draw every frame of a video with the motion up to it, as an MP4 (H.264).

    Raises:
        OutputError: `out` is the video, is there and not as moclip wrote it, or cannot be written.
    """
    with writing_file(out, "mp4", [path]) as temporary, closing(drawn(path, grid)) as pictures:
        write_mp4(temporary, map(np.asarray, pictures), grid.fps)


def drawn(path: Path, grid: MotionGrid) -> Generator[Image.Image, None, None]:
    """Every frame of a video with the motion up to it, one at a time."""
    full_px = _full_speed_of_film_px(grid)
    with closing(stream(path, video.pictures, path)) as frames:
        for frame, field in zip(frames, chain.from_iterable(_all_fields(grid)), strict=True):
            yield draw(frame, field, grid, full_px)


def _fields(grid: MotionGrid, points: Iterable[int]) -> np.ndarray:
    return field_at(grid, list(points), "window", SHOWN_FRAMES)


def _all_fields(grid: MotionGrid) -> Iterator[np.ndarray]:
    """The fields of all frames, float32 (n, 2, gh, gw) of whole pixels, few at a time."""
    t, gh, gw, _ = grid.mv.shape
    frames = max(1, PIECE_BYTES // (gh * gw * _TRACE_BYTES))
    for start in range(0, t, frames):
        yield _fields(grid, range(start, min(start + frames, t)))
        let_go(grid.mv)


def _full_speed_of_film_px(grid: MotionGrid) -> float:
    """As `full_speed_px` of all fields, of which only counts of each displacement are kept."""
    counts = np.zeros(1, dtype=np.int64)
    for fields in _all_fields(grid):
        squares = np.bincount((fields**2).sum(axis=1).astype(np.int64).ravel())
        counts = np.pad(counts, (0, max(0, len(squares) - len(counts))))
        counts[: len(squares)] += squares
    ranks = np.cumsum(counts)
    place = (ranks[-1] - 1) * _FULL_SPEED_PCT / 100
    below, above = (np.sqrt(np.searchsorted(ranks, rank, side="right")) for rank in (int(place), math.ceil(place)))
    return max(float(below + (above - below) * (place % 1)), _REST_PX)


def draw(frame: np.ndarray, field_px: np.ndarray, grid: MotionGrid, full_px: float) -> Image.Image:
    """One frame in grey, under the colours of its motion and arrows that end where the content is now.

    Args:
        frame: uint8 (h, w, 3); scaled where the grid is of another size, as after re-encoding.
        field_px: float32 (2, gh, gw), displacement that brought the content here.
        grid: For its geometry alone.
        full_px: Displacement of full colour.
    """
    size = (grid.width, grid.height)
    grey = Image.fromarray(frame).convert("L").resize(size).convert("RGB")
    speed = np.hypot(*field_px)
    strength = np.where(speed < _LEAST_PX, 0.0, np.minimum(speed / full_px, 1.0))
    cells = (grid.cell_px * speed.shape[1], grid.cell_px * speed.shape[0])
    box = (0, 0, *size)
    colour = Image.fromarray(flow_colours(field_px, full_px)).resize(cells).crop(box)
    mask = Image.fromarray((255 * _COLOUR * strength).astype(np.uint8)).resize(cells).crop(box)
    under = Image.eval(grey, lambda value: int(value * _GREY))
    picture = Image.composite(colour, under, mask).resize((size[0] * _ZOOM, size[1] * _ZOOM))
    pen = ImageDraw.Draw(picture)
    for y, x in np.argwhere(speed >= _LEAST_PX):
        end = (np.array([x, y]) + 0.5) * grid.cell_px * _ZOOM
        _arrow(pen, end - field_px[:, y, x] * _ZOOM, end)
    return picture


def _legend(width: int, full_px: float) -> Image.Image:
    """What colours and arrows say, beside a disc of all directions, in this width."""
    text = (
        f"hue: direction of motion; full colour: {full_px:.1f} px or more in {SHOWN_FRAMES} frames; "
        "arrow: from where the content was to where it is"
    )
    font, left = ImageFont.load_default(_FONT_PX), DISC_PX + 2 * _GAP_PX
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width - left - _GAP_PX:
            lines[-1] = longer
        else:
            lines.append(word)
    height = max(DISC_PX, len(lines) * _LINE_PX) + 2 * _GAP_PX
    strip = Image.new("RGB", (width, height), "white")
    strip.paste(direction_disc(), (_GAP_PX, _GAP_PX))
    ImageDraw.Draw(strip).multiline_text((left, _GAP_PX), "\n".join(lines).strip(), fill="black", font=font, spacing=4)
    return strip


def direction_disc() -> Image.Image:
    """The colours of all directions, from rest in the middle to full colour at the edge, `DISC_PX` wide and high."""
    axis = np.linspace(-1.0, 1.0, DISC_PX)
    wheel = np.stack(np.meshgrid(axis, axis))
    wheel[:, np.hypot(*wheel) > 1.0] = 0.0  # rest, so white
    return Image.fromarray(flow_colours(wheel, 1.0))


def _arrow(pen: ImageDraw.ImageDraw, start: np.ndarray, end: np.ndarray) -> None:
    way = (end - start) / np.hypot(*(end - start))
    aside = np.array([-way[1], way[0]])
    head = [tuple(end - 8 * way + side * aside) for side in (-4, 4)]
    pen.line([tuple(start), tuple(end)], fill="black", width=3)
    pen.line([tuple(start), tuple(end)], fill="white", width=1)
    pen.polygon([tuple(end), *head], fill="white", outline="black")


def spread(count: int, most: int) -> list[int]:
    """At most `most` of 0..count-1, evenly spaced from the first to the last."""
    if count <= most:
        return list(range(count))
    return [i * (count - 1) // (most - 1) for i in range(most)]


def full_speed_px(field_px: np.ndarray) -> float:
    """Displacement that gets full colour: the field's 99th percentile, at least one pixel."""
    return max(float(np.percentile(np.hypot(*field_px), _FULL_SPEED_PCT)), _REST_PX)


def flow_colours(field_px: np.ndarray, full_px: float) -> np.ndarray:
    """Colours of a motion field: hue is direction, saturation is displacement, rest is white.

    Args:
        field_px: (2, gh, gw), (dx, dy), x right and y down.
        full_px: Displacement of full saturation.

    Returns:
        uint8 (gh, gw, 3). Right is red, down green-yellow, left cyan, up violet.
    """
    dx, dy = field_px
    hue = np.rint(np.arctan2(dy, dx) / (2 * np.pi) * 256) % 256
    saturation = np.rint(np.minimum(np.hypot(dx, dy) / full_px, 1.0) * 255)
    hsv = np.stack([hue, saturation, np.full_like(hue, 255)], axis=-1).astype(np.uint8)
    return np.asarray(Image.fromarray(hsv, mode="HSV").convert("RGB"))
