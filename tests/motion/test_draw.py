"""moclip.motion.draw: colours that mean directions. `moclip motion` as a whole is tested in tests/cli."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moclip.motion.draw import flow_colours, full_speed_px, spread


def uniform(dx: float, dy: float) -> np.ndarray:
    return np.tile(np.array([dx, dy], np.float32)[:, None, None], (1, 2, 3))


@pytest.mark.parametrize(
    ("dx", "dy", "strong", "weak"),
    [
        (8, 0, [0], [1, 2]),  # right: red
        (0, 8, [1], [2]),  # down: green, leaning to yellow
        (-8, 0, [1, 2], [0]),  # left: cyan
        (0, -8, [2], [1]),  # up: violet
    ],
)
def test_hue_is_direction(dx: float, dy: float, strong: list[int], weak: list[int]) -> None:
    colour = flow_colours(uniform(dx, dy), 8.0)[0, 0]
    assert (colour[strong] > 245).all()
    assert (colour[weak] < 10).all()


def test_rest_is_white_and_half_the_displacement_half_as_strong() -> None:
    assert (flow_colours(uniform(0, 0), 8.0) == 255).all()
    half = flow_colours(uniform(4, 0), 8.0)[0, 0]
    assert half[0] == 255
    assert half[1:] == pytest.approx(127, abs=2)
    assert flow_colours(uniform(80, 0), 8.0)[0, 0].tolist() == [255, 0, 0]


def test_a_still_field_is_not_stretched_to_full_colour() -> None:
    assert full_speed_px(uniform(0.1, 0)) == 1.0
    assert full_speed_px(uniform(3, 4)) == pytest.approx(5.0)


@given(st.integers(0, 200), st.integers(2, 20))
def test_spread_goes_evenly_from_the_first_to_the_last(count: int, most: int) -> None:
    found = spread(count, most)
    assert found == sorted(set(found))
    assert len(found) == min(count, most)
    if count:
        assert (found[0], found[-1]) == (0, count - 1)
        steps = np.diff(found)
        assert len(steps) == 0 or steps.max() - steps.min() <= 1
