"""How a film is to be shown: turned by quarters and mirrored, as its display matrix says. NumPy alone.

Axes: h and w pixels. Coordinates: x right and y down, continuous: a picture of width w reaches from 0 to w.
"""

from dataclasses import dataclass

import numpy as np

_ENTRIES = 9
_SLANT = 0.02  # of a side that should be 0, beside one of 1: one degree, as players allow


@dataclass(frozen=True)
class Turn:
    """One of the eight ways to lay a picture on its frame: a point (x, y) goes to (xx x + xy y, yx x + yy y).

    Two of the four are 1 or -1, the others 0; the picture is then moved back to where its corner is the origin.
    """

    xx: int = 1
    xy: int = 0
    yx: int = 0
    yy: int = 1

    @property
    def is_none(self) -> bool:
        """Whether the picture is shown as it is stored."""
        return (self.xx, self.yy) == (1, 1)

    @property
    def swaps_sides(self) -> bool:
        """Whether width becomes height."""
        return self.xx == 0

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height as shown."""
        return (height, width) if self.swaps_sides else (width, height)

    def picture(self, stored: np.ndarray) -> np.ndarray:
        """A picture (h, w, ...) as it is to be shown; the same array where nothing turns."""
        if self.is_none:
            return stored
        laid = np.swapaxes(stored, 0, 1) if self.swaps_sides else stored
        down, right = self.yx + self.yy, self.xx + self.xy
        return np.ascontiguousarray(laid[::down, ::right])

    def vector(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Displacements as shown."""
        return self.xx * x + self.xy * y, self.yx * x + self.yy * y

    def point(self, x: np.ndarray, y: np.ndarray, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
        """Places as shown, of a picture whose stored size is given."""
        shown_width, shown_height = self.size(width, height)
        right, down = self.vector(x, y)
        return (
            right + (shown_width if self.xx + self.xy < 0 else 0),
            down + (shown_height if self.yx + self.yy < 0 else 0),
        )


def turn_of(matrix: bytes) -> Turn:
    """The turn that a display matrix asks for: 9 int32, of which four turn and scale (FFmpeg's `libavutil/display.h`).

    Scaling changes no direction and is left to players; a matrix of zeros, which turns nothing, counts as none.

    Raises:
        ValueError: it is no quarter turn or mirror, as one by 45 degrees; says by how much it turns.

    >>> turn_of(np.array([0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30], "<i4").tobytes())  # clockwise by 90 degrees
    Turn(xx=0, xy=-1, yx=1, yy=0)
    """
    entries = np.frombuffer(matrix, dtype="<i4", count=_ENTRIES).astype(np.float64)
    across, down = entries[0:2], entries[3:5]  # where a step right and a step down lead, as (x, y)
    lengths = np.hypot(*across), np.hypot(*down)
    if min(lengths) == 0:
        return Turn()
    across, down = across / lengths[0], down / lengths[1]
    steps = np.rint([*across, *down]).astype(int)
    off = np.abs(steps - [*across, *down]).max()
    if off > _SLANT or abs(steps[0]) == abs(steps[2]):
        degrees = np.degrees(np.arctan2(across[1], across[0]))
        raise ValueError(f"turned by {degrees:.0f} degrees")
    xx, yx, xy, yy = (int(step) for step in steps)
    return Turn(xx, xy, yx, yy)
