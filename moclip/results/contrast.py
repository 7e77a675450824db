"""A paired difference of two heads in points, with the one rule by which it gets its word.

*Different* needs both the exact test over recordings and an interval without 0. Where the test allows 0, the interval
reaches to it, so that word and interval never contradict each other. NumPy and scipy.special alone: the stage
`evaluate` must not wait for scipy.stats.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy

from moclip.results.estimate import BySplit, Design, Estimate, Units, estimate
from moclip.results.limits import PRIOR_UNITS, Limits, at_most_pct, detectable_points, mean_limits, rounded

EXACT_UNITS = 13  # up to here all sign flips are tried
FLIPS = 9999  # drawn at random, where there are more than that
_CHUNK = 500
DIFFERENT, NOT_SHOWN, NONE_DIFFERS, NOT_KNOWN = "different", "no difference shown", "no video differs", "not known"
EQUAL, UNDECIDED = "equal", "undecided"


@dataclass(frozen=True)
class Contrast:
    """A paired difference over recordings.

    `points` is the mean over splits; `found` its estimate, None where no spread can be estimated; `p` that of the sign
    flips, `q` that among the questions that were asked with it, None where it was asked alone. Of `groups` recordings
    `moved_groups` have a difference, by `shift` of their videos on average; so have `moved_videos` videos.
    """

    points: float
    confidence_pct: float
    found: Estimate | None
    p: float | None
    groups: int
    moved_groups: int
    moved_videos: int
    shift: float
    q: float | None = None

    @property
    def word(self) -> str:
        """The one word: `different`, `no difference shown`, `no video differs` or `not known`."""
        if not self.moved_videos:
            return NONE_DIFFERS
        if self.found is None:
            return NOT_KNOWN
        limits = self._limits(self.confidence_pct)
        return DIFFERENT if self._passes and not limits["low"] <= 0.0 <= limits["high"] else NOT_SHOWN

    @property
    def interval(self) -> Limits | None:
        """Limits in points; None where no video differs (see `at_most_pct`) or no spread can be estimated."""
        if self.found is None or not self.moved_videos:
            return None
        limits = self._limits(self.confidence_pct)
        return limits if self._passes else {"low": min(limits["low"], 0.0), "high": max(limits["high"], 0.0)}

    @property
    def raw_interval(self) -> Limits | None:
        """The interval before the exact test had its say; None as of `interval`."""
        return None if self.found is None or not self.moved_videos else self._limits(self.confidence_pct)

    @property
    def at_most_pct(self) -> float | None:
        """Up to how many recordings in percent may differ, where none of these did; else None."""
        if self.moved_videos:
            return None
        return round(at_most_pct(0, self.groups, (100.0 - self.confidence_pct) / 200.0), 4)

    @property
    def detectable_points(self) -> float | None:
        """The true difference that four in five lists like this one would show; None where nothing tells."""
        if self.found is None or not self.moved_videos:
            return None
        return round(detectable_points(self.found, self.confidence_pct), 4)

    def equal_within(self, margin_points: float) -> bool:
        """Whether both one-sided tests put the difference inside a margin.

        With few moved recordings the variance says little; then those that may have moved must not reach it either.
        """
        if self.found is None:
            return False
        level, tail = 2.0 * self.confidence_pct - 100.0, 1.0 - self.confidence_pct / 100.0
        limits = self._limits(level) if self.moved_videos else {"low": 0.0, "high": 0.0}
        inside = -margin_points < limits["low"] and limits["high"] < margin_points
        if self.moved_groups >= PRIOR_UNITS:
            return inside
        return inside and at_most_pct(self.moved_groups, self.groups, tail) * self.shift < margin_points

    def values(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "interval": self.interval,
            "word": self.word,
            "p": None if self.p is None else round(self.p, 6),
            "q": None if self.q is None else round(self.q, 6),
            "se_points": None if self.found is None else round(100.0 * self.found.se, 4),
            "df": None if self.found is None else self.found.df,
            "detectable_points": self.detectable_points,
            "groups": self.groups,
            "moved_groups": self.moved_groups,
            "moved_videos": self.moved_videos,
            "at_most_pct": self.at_most_pct,
        }

    @property
    def _passes(self) -> bool:
        tested = self.p if self.q is None else self.q
        return tested is not None and tested <= 1.0 - self.confidence_pct / 100.0 + 1e-12

    def _limits(self, confidence_pct: float) -> Limits:
        assert self.found is not None, "asked where there is an estimate"
        if self.found.variance > 1e-18:
            return mean_limits(self.found, confidence_pct)
        # All recordings of a class moved alike: so many others may do what none of these did, move back or stay.
        other = at_most_pct(0, self.groups, (100.0 - confidence_pct) / 200.0)
        return rounded(max(self.points - 2.0 * other, -100.0), min(self.points + 2.0 * other, 100.0))


def contrast(differences: BySplit, design: Design, confidence_pct: float) -> Contrast:
    """The paired difference whose values by video are `differences` (n,), from -1 to 1, in the design's order.

    Raises:
        DataError: as of `moclip.results.estimate.estimate`.
    """
    found, units = estimate(differences, design), design.units
    every = np.concatenate([differences[k] for k in design.splits])
    parts = _parts(differences, design, units) if units else None
    shifts = _shifts(differences, design)
    return Contrast(
        points=round(100.0 * float(np.mean([differences[k].mean() for k in design.splits])), 4),
        confidence_pct=confidence_pct,
        found=found,
        p=None if parts is None else sign_flip_p(parts),
        groups=design.n_groups,
        moved_groups=int((shifts > 0).sum()),
        moved_videos=int((every != 0).sum()),
        shift=float(shifts[shifts > 0].mean()) if (shifts > 0).any() else 1.0,
    )


def among(contrasts: Sequence[Contrast]) -> list[Contrast]:
    """The same contrasts as answers to questions that were asked together; where no video differs, none was asked."""
    asked = [one.p if one.moved_videos else None for one in contrasts]
    return [replace(one, q=q) for one, q in zip(contrasts, q_values(asked), strict=True)]


def equality(found: Contrast, margin_points: float) -> str:
    """The word where sameness is the question: different, equal, or undecided; or that no video differs."""
    if found.word in (DIFFERENT, NONE_DIFFERS, NOT_KNOWN):
        return found.word
    return EQUAL if found.equal_within(margin_points) else UNDECIDED


def _parts(differences: BySplit, design: Design, units: Units) -> np.ndarray:
    """What each recording (u,) adds to the mean over splits."""
    shares = [differences[k] / (len(differences[k]) * len(design.splits)) for k in design.splits]
    return units.sums(np.concatenate(shares))


def _shifts(differences: BySplit, design: Design) -> np.ndarray:
    """Mean absolute difference of each recording's videos (g,)."""
    groups = np.unique(np.concatenate([design.groups[k] for k in design.splits]), return_inverse=True)[1]
    sizes = np.abs(np.concatenate([differences[k] for k in design.splits]))
    return np.bincount(groups, weights=sizes) / np.bincount(groups)


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
    return min(2.0 * float(scipy.special.bdtr(min(up, down), up + down, 0.5)), 1.0)
