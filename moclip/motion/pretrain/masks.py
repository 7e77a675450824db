"""Which tokens of a video an encoder does not see, and which its decoder leaves out. NumPy alone.

Axes: a times, rows and columns of tokens.

Source: VideoMAE V2 (arXiv 2303.16727), `masking_generator.py` of its code.
"""

import numpy as np

from moclip.base.errors import ParamsError

CELL = 2  # places a side


def tube_mask(times: int, rows: int, columns: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """Hidden tokens, bool (a, rows, columns): int(share * places) of the places, the same ones at all times.

    Raises:
        ParamsError: that hides no place, or every one.
    """
    places = rows * columns
    hidden = int(share * places)
    if not 0 < hidden < places:
        raise ParamsError(
            f"a mask of {share} (motion_mae.mask) hides {hidden} of {rows} x {columns} places; take another share, or "
            "smaller tokens (motion_vit.patch)"
        )
    mask = np.zeros(places, dtype=bool)
    mask[rng.permutation(places)[:hidden]] = True
    return np.broadcast_to(mask.reshape(rows, columns), (times, rows, columns))


def running_cell(times: int, rows: int, columns: int, share: float, phase: int) -> np.ndarray:
    """Tokens that the decoder leaves out, bool (a, rows, columns): a pattern of 2 x 2 places that turns with time.

    Of each cell 4 * share places are left out at a time, one place on at the next, so that in any four times in a row
    each place is left out as often.

    Args:
        times: Of tokens.
        rows: Of tokens.
        columns: Of tokens.
        share: 0.25, 0.5 or 0.75.
        phase: From where the pattern starts, 0 to 3.

    Raises:
        ParamsError: rows or columns are odd, and no whole number of cells.
    """
    if rows % CELL or columns % CELL:
        raise ParamsError(
            f"{rows} x {columns} tokens are no whole number of cells of 2 x 2 (motion_mae.decoder_mask); "
            "set motion_vit.input_px and motion_vit.patch so that both are even, or decoder_mask: 0"
        )
    queue = np.arange(CELL**2) < round(CELL**2 * share)
    turns = (phase + 1 + np.arange(times))[:, None] + np.arange(CELL**2)  # place i at time t takes i + phase + t + 1
    cells = queue[turns % CELL**2].reshape(times, CELL, CELL)
    return np.tile(cells, (1, rows // CELL, columns // CELL))
