"""Parts of a picture: where a box lies, and the square round it that a network sees. NumPy alone."""

from dataclasses import dataclass

import numpy as np

LEAST_SHARE = 0.5  # of the picture's shorter side: a smaller square would be blown up too far


@dataclass(frozen=True)
class Box:
    """A part of a picture: left, top, right and bottom as shares of its width and height, 0 to 1."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        """Share of the picture's width."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Share of the picture's height."""
        return self.bottom - self.top


def square_round(box: Box | None, width: int, height: int) -> tuple[int, int, int]:
    """Left, top and side in pixels of the square round a box, which lies in the picture; without a box, its middle.

    The side is that of the box, at least half and at most all of the picture's shorter side.

    >>> square_round(Box(0.0, 0.0, 0.25, 0.25), 320, 240)
    (0, 0, 120)
    >>> square_round(None, 320, 240)
    (40, 0, 240)
    """
    shorter = min(width, height)
    if box is None:
        box, side = Box(0.0, 0.0, 1.0, 1.0), shorter
    else:
        longer = max(box.width * width, box.height * height)
        side = min(shorter, max(round(longer), round(LEAST_SHARE * shorter)))
    left = (box.left + box.right) / 2 * width - side / 2
    top = (box.top + box.bottom) / 2 * height - side / 2
    return min(max(0, round(left)), width - side), min(max(0, round(top)), height - side), side


def cut_square(picture: np.ndarray, box: Box | None) -> np.ndarray:
    """The square round a box of a picture (h, w, 3)."""
    left, top, side = square_round(box, picture.shape[1], picture.shape[0])
    return np.ascontiguousarray(picture[top : top + side, left : left + side])
