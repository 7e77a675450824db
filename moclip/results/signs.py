"""Exact tests by sign flips over recordings, and what many of them at once are worth.

NumPy and scipy.special alone: the stage `evaluate` must not wait for scipy.stats.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import bdtr

EXACT_UNITS = 13  # up to here all sign flips are tried
FLIPS = 9999  # drawn at random, where there are more than that
_CHUNK = 500


def sign_flip_p(parts: np.ndarray) -> float:
    """Two-sided p of the hypothesis that two heads could change places on each recording.

    Args:
        parts: (u,) what each recording adds to the difference. Those that add nothing say nothing.

    Returns:
        The share of sign flips whose sum is as far from 0 as theirs, 1 where nothing differs. All flips of up to
        `EXACT_UNITS` recordings are tried, else `FLIPS` drawn by a fixed seed, of which the one found counts as one.

    Source: Fisher 1935, The Design of Experiments, section 21; Phipson and Smyth 2010 (one is added when drawn).
    """
    moved = parts[parts != 0]
    if not len(moved):
        return 1.0
    found = abs(moved.sum()) - 1e-9 * np.abs(moved).sum()
    if len(moved) <= EXACT_UNITS:
        flips = 1 - 2 * (np.arange(2 ** len(moved))[:, None] >> np.arange(len(moved)) & 1)
        return float(np.mean(np.abs(flips @ moved) >= found))
    rng, far = np.random.default_rng(0), 0
    for start in range(0, FLIPS, _CHUNK):
        flips = rng.integers(0, 2, (min(_CHUNK, FLIPS - start), len(moved)), dtype=np.int8)
        far += int((np.abs(flips.astype(np.float64) @ (2.0 * moved) - moved.sum()) >= found).sum())
    return (far + 1) / (FLIPS + 1)


def least_p(units: int) -> float:
    """The least p that so many recordings can give, all moved one way; 1 for less than two."""
    return 1.0 if units < 2 else max(2.0 ** (1 - units), 1.0 / (FLIPS + 1) if units > EXACT_UNITS else 0.0)


def q_values(p_values: Sequence[float | None]) -> list[float | None]:
    """The least false discovery rate at which each is still called; None where there is no p.

    Source: Benjamini and Hochberg 1995. Calls at a rate bound the expected share of false ones among them, at most,
    where the tests are independent or positively dependent.
    """
    known = np.array([p for p in p_values if p is not None])
    order = np.argsort(known, kind="stable")
    scaled = known[order] * len(known) / np.arange(1, len(known) + 1)
    adjusted = np.empty(len(known))
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    values = iter(adjusted.tolist())
    return [None if p is None else next(values) for p in p_values]


def fewest_that_stand_out(units: Sequence[int], rate: float) -> int | None:
    """How many of the tests must all be extreme before any can be called at this rate; None where none ever can."""
    least = sorted(map(least_p, units))
    return next((k for k, p in enumerate(least, 1) if p * len(least) / k <= rate + 1e-12), None)


def sign_test_p(up: int, down: int) -> float:
    """Two-sided p of so many signs one way and so many the other, if both were as likely."""
    return min(2.0 * float(bdtr(min(up, down), up + down, 0.5)), 1.0)
