"""moclip.contact_sheet: a sheet of equal bytes."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from moclip.data.splits import Member
from moclip.report.contact_sheet import COLUMNS, Tile, chosen, draw_sheet, write_png
from tests.motion.test_draw import uniform


def tile(title: str, dx: float = 4.0) -> Tile:
    """A field of 3 x 2 cells of 16 pixels over a picture of 40 x 30: both last cells reach beyond."""
    frame = np.full((30, 40, 3), 90, np.uint8)
    return Tile(title, frame, uniform(dx, 0), cell_px=16, width_px=40, height_px=30)


def test_one_test_video_of_each_class_is_chosen() -> None:
    members = [
        Member("v_b2", 1, "test", "v_b2"),
        Member("v_b1", 1, "test", "v_b1"),
        Member("v_a0", 0, "train", "v_a0"),
        Member("v_a1", 0, "test", "v_a1"),
        Member("v_c1", 2, "val", "v_c1"),
    ]
    assert chosen(members, 12) == [(0, "v_a1"), (1, "v_b1")]


def test_the_sheet_is_white_wraps_after_its_columns_and_repeats_its_bytes(tmp_path: Path) -> None:
    tiles = [tile(f"Class{i}") for i in range(COLUMNS + 1)]
    for name in ("one.png", "two.png"):
        write_png(tmp_path / name, draw_sheet(tiles))
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    with Image.open(tmp_path / "one.png") as sheet:
        assert sheet.mode == "RGB"
        assert not sheet.info
        assert sheet.getpixel((sheet.width - 1, sheet.height - 1)) == (255, 255, 255)
        single = draw_sheet(tiles[:1])
        assert sheet.width > 5 * single.width
        assert sheet.height > 1.5 * single.height


def test_frame_and_field_are_drawn_and_cells_beyond_the_picture_are_cut() -> None:
    drawn = np.asarray(draw_sheet([tile("Run")]))
    grey = (drawn == 90).all(axis=2)
    red = (drawn == [255, 0, 0]).all(axis=2)
    assert grey.sum() == 160 * 120
    across, down = np.flatnonzero(red.sum(axis=0) > 50), np.flatnonzero(red.sum(axis=1) > 50)
    assert (len(across), len(down)) == pytest.approx((160, 120), abs=2)  # without the outline
