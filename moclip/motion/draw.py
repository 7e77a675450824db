"""Motion that a person can look at and take along: arrays, pictures and films of one video.

Axes: t frames, n pictures, gh and gw cells down and across. Light: NumPy, Pillow and PyAV, nothing that learns.
"""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageDraw

from moclip.base.files import atomic_path, write_npz
from moclip.motion.grid import HALF_PELS_PER_PX, MotionGrid, field_at
from moclip.video import decode as video

SHOWN_FRAMES = 6  # an arrow spans the motion of so many frames: one alone is mostly below a pixel
PICTURES, PICTURE_COLUMNS = 6, 3
_LEAST_PX = 1.0  # below it a cell shows neither colour nor arrow
_REST_PX = 1.0  # no field is stretched further: half-pel jitter of a still video stays pale
_ZOOM = 2
_GREY = 0.75
_COLOUR = 0.65


def save_arrays(out: Path, grid: MotionGrid) -> None:
    """Write motion as NumPy arrays (.npz).

    The file has `mv_px` float32 (t, gh, gw, 2), displacement (dx, dy) per frame in pixels, x right and y down;
    `key_frame` bool (t,); `cell_px` and `fps`.
    """
    write_npz(
        out,
        mv_px=grid.mv / np.float32(HALF_PELS_PER_PX),
        key_frame=grid.key,
        cell_px=np.array(grid.cell_px),
        fps=np.array(grid.fps),
    )


def save_picture(out: Path, path: Path, grid: MotionGrid) -> None:
    """Draw frames spread over a video, with the motion up to each, as one PNG."""
    t = len(grid.mv)
    first = min(SHOWN_FRAMES, t - 1)
    points = [first + i for i in spread(t - first, PICTURES)]
    fields = _fields(grid, points)
    full_px = full_speed_px(np.moveaxis(fields, 1, 0))
    frames = video.read_frames(path, points)
    drawn = [draw(*pair, grid, full_px) for pair in zip(frames, fields, strict=True)]
    columns, rows = min(PICTURE_COLUMNS, len(drawn)), -(-len(drawn) // PICTURE_COLUMNS)
    width, height = drawn[0].size
    sheet = Image.new("RGB", (columns * width, rows * height), "white")
    for number, picture in enumerate(drawn):
        row, column = divmod(number, columns)
        sheet.paste(picture, (column * width, row * height))
    with atomic_path(out) as temporary:
        sheet.save(temporary, format="PNG")


def save_film(out: Path, path: Path, grid: MotionGrid) -> None:
    """Draw every frame of a video with the motion up to it, as an MP4 (H.264)."""
    fields = _fields(grid, range(len(grid.mv)))
    full_px = full_speed_px(np.moveaxis(fields, 1, 0))
    with video.decoding(path) as (fps, frames):
        pictures = (
            draw(frame.to_ndarray(format="rgb24"), field, grid, full_px)
            for frame, field in zip(frames, fields, strict=True)
        )
        _write_mp4(out, pictures, fps)


def _fields(grid: MotionGrid, points: Iterable[int]) -> np.ndarray:
    return field_at(grid, list(points), "window", SHOWN_FRAMES)


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


def _arrow(pen: ImageDraw.ImageDraw, start: np.ndarray, end: np.ndarray) -> None:
    way = (end - start) / np.hypot(*(end - start))
    aside = np.array([-way[1], way[0]])
    head = [tuple(end - 8 * way + side * aside) for side in (-4, 4)]
    pen.line([tuple(start), tuple(end)], fill="black", width=3)
    pen.line([tuple(start), tuple(end)], fill="white", width=1)
    pen.polygon([tuple(end), *head], fill="white", outline="black")


def _write_mp4(out: Path, pictures: Iterator[Image.Image], fps: float) -> None:
    rate = Fraction(fps or 25.0).limit_denominator(1001)
    with atomic_path(out) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "23"})
        stream.pix_fmt = "yuv420p"
        for number, picture in enumerate(pictures):
            if number == 0:  # H.264 in 4:2:0 takes even sizes only
                stream.width, stream.height = (side // 2 * 2 for side in picture.size)
            frame = av.VideoFrame.from_image(picture.crop((0, 0, stream.width, stream.height)))
            frame.pts, frame.time_base = number, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def spread(count: int, most: int) -> list[int]:
    """At most `most` of 0..count-1, evenly spaced from the first to the last."""
    if count <= most:
        return list(range(count))
    return [i * (count - 1) // (most - 1) for i in range(most)]


def full_speed_px(field_px: np.ndarray) -> float:
    """Displacement that gets full colour: the field's 99th percentile, at least one pixel."""
    return max(float(np.percentile(np.hypot(*field_px), 99)), _REST_PX)


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
