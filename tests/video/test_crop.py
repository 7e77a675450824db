"""The square that a network sees of a picture."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from moclip.video.crop import Box, cut_square, square_round

sizes = st.integers(16, 400)
shares = st.floats(0, 1)


@given(sizes, sizes, shares, shares, shares, shares)
def test_square_lies_in_the_picture_and_holds_a_box_that_fits(width, height, x0, x1, y0, y1):
    box = Box(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
    left, top, side = square_round(box, width, height)
    shorter = min(width, height)
    assert 0 <= left <= left + side <= width
    assert 0 <= top <= top + side <= height
    assert round(shorter / 2) <= side <= shorter
    if max(box.width * width, box.height * height) <= shorter:
        assert left - 1 <= box.left * width <= box.right * width <= left + side + 1
        assert top - 1 <= box.top * height <= box.bottom * height <= top + side + 1


@given(sizes, sizes)
def test_without_motion_it_is_the_largest_square_in_the_middle(width, height):
    left, top, side = square_round(None, width, height)
    assert side == min(width, height)
    assert abs((width - side) / 2 - left) <= 0.5
    assert abs((height - side) / 2 - top) <= 0.5


def test_cut_takes_these_pixels():
    picture = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    left, top, side = square_round(Box(0.75, 0.5, 1.0, 1.0), 8, 6)
    assert (left, top, side) == (5, 3, 3)
    assert np.array_equal(cut_square(picture, Box(0.75, 0.5, 1.0, 1.0)), picture[3:6, 5:8])
