"""A picture of the data: for each class a frame, and below it the motion field at that frame."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from moclip.base.files import atomic_path
from moclip.base.lettering import drawable, font_file
from moclip.data.manifest import Video, checked_path
from moclip.data.splits import Member
from moclip.motion.draw import DISC_PX, direction_disc, flow_colours, full_speed_px, spread
from moclip.motion.fields import field_at
from moclip.motion.store import MotionStore
from moclip.video.bounded.worker import call
from moclip.video.decode import read_frames
from moclip.video.frames import middle_frame

COLUMNS = 6
TILE_PX = (160, 120)
_TEXT_PX, _GAP_PX = 20, 6
_FONT_PX, _SMALL_FONT_PX = 14, 11
_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Tile:
    """One video.

    title: its class; frame: uint8 (h, w, 3); field_px: float32 (2, gh, gw), (dx, dy) in pixels of
    a picture of width_px x height_px, in cells of cell_px.
    """

    title: str
    frame: np.ndarray
    field_px: np.ndarray
    cell_px: int
    width_px: int
    height_px: int


def chosen(members: Iterable[Member], most: int) -> list[tuple[int, str]]:
    """Class index and id of the first test video of each class, of at most `most` classes."""
    first: dict[int, str] = {}
    for member in sorted(members, key=lambda member: member.id):
        if member.part == "test":
            first.setdefault(member.label, member.id)
    found = sorted(first.items())
    return [found[i] for i in spread(len(found), most)]


def read_tile(
    video: Video, title: str, root: Path, store: MotionStore, accumulate: str, window_frames: int | None
) -> Tile:
    """The middle frame of a video, and the motion field there.

    Raises:
        DataError: the file is missing, or is not the one that the manifest describes.
        VideoError: it cannot be decoded.
    """
    grid, middle = store.clip(video.id), middle_frame(video.frames)
    path = checked_path(root, video)
    return Tile(
        title=title,
        frame=call(path, read_frames, path, [middle], damaged=video.is_damaged)[0],
        field_px=field_at(grid, [middle], accumulate, window_frames or 1)[0],
        cell_px=grid.cell_px,
        width_px=grid.width,
        height_px=grid.height,
    )


def draw_sheet(tiles: Sequence[Tile]) -> Image.Image:
    """All tiles in rows of `COLUMNS`, on white, with the colours of directions at the end."""
    width, height = TILE_PX
    cell = (width + _GAP_PX, 2 * height + _TEXT_PX + 2 * _GAP_PX)
    columns, rows = min(COLUMNS, len(tiles)), -(-len(tiles) // COLUMNS)
    sheet = Image.new("RGB", (columns * cell[0] + _GAP_PX, rows * cell[1] + 48), "white")
    for number, tile in enumerate(tiles):
        row, column = divmod(number, COLUMNS)
        _paste(sheet, tile, _GAP_PX + column * cell[0], row * cell[1])
    _legend(sheet, rows * cell[1])
    return sheet


def write_png(path: Path, image: Image.Image) -> None:
    """Write a PNG without metadata, atomically."""
    with atomic_path(path) as temporary:
        image.save(temporary, format="PNG", optimize=True)


def _paste(sheet: Image.Image, tile: Tile, x: int, y: int) -> None:
    draw = ImageDraw.Draw(sheet)
    title, font = _title(tile.title)
    draw.text((x, y + 2), title, fill="black", font=font)
    frame = ImageOps.pad(Image.fromarray(tile.frame), TILE_PX, color="white")
    sheet.paste(frame, (x, y + _TEXT_PX))
    top = y + _TEXT_PX + TILE_PX[1] + 2
    sheet.paste(ImageOps.pad(field_of(tile), TILE_PX, color="white"), (x, top))
    draw.rectangle((x, top, x + TILE_PX[0] - 1, top + TILE_PX[1] - 1), outline="#BBBBBB")
    note = f"{full_speed_px(tile.field_px):.1f} px"
    draw.text((x + 4, top + 3), note, fill="black", font=ImageFont.load_default(_SMALL_FONT_PX))


def _title(name: str) -> tuple[str, _Font]:
    """A class's name as wide as a tile, and a font that has its letters."""
    title = drawable(name)
    font: _Font = ImageFont.load_default(_FONT_PX)
    if not title.isascii():  # Pillow's own font has hardly more
        font = ImageFont.truetype(font_file(), _FONT_PX - 1)
    while len(title) > 1 and font.getlength(title) > TILE_PX[0]:
        title = f"{title[:-2]}\N{HORIZONTAL ELLIPSIS}"
        font = ImageFont.truetype(font_file(), _FONT_PX - 1)
    return title, font


def field_of(tile: Tile) -> Image.Image:
    """The field in the size of its picture; cells that reach beyond the edge are cut there."""
    colours = Image.fromarray(flow_colours(tile.field_px, full_speed_px(tile.field_px)))
    size = (colours.width * tile.cell_px, colours.height * tile.cell_px)
    whole = colours.resize(size, Image.Resampling.NEAREST)
    return whole.crop((0, 0, tile.width_px, tile.height_px))


def _legend(sheet: Image.Image, y: int) -> None:
    """A disc of all directions, and what the number in a field says."""
    sheet.paste(direction_disc(), (_GAP_PX, y))
    text = "hue: direction of motion; number: displacement that is drawn in full colour"
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_FONT_PX)
    draw.text((_GAP_PX + DISC_PX + 8, y + 13), text, fill="black", font=font)
