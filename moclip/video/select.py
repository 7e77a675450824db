"""Which of a video's frames are worth keeping: few of those that were looked at, chosen by one score a frame.

Axes: t frame, p place, c width, k class. NumPy alone.
"""

import math

import numpy as np

from moclip.base.errors import DataError, ParamsError
from moclip.video.frames import segment_points

CHUNK_FRAMES = 8  # frames whose places attend to each other, as Mobile-VideoGPT has it
SOFTNESS = 0.1  # of `attention_unit`: cosines are divided by it
FLAT = 1e-3  # a spread of scores below this ranks frames by rounding


def choose(rule: str, keep: int, scores: np.ndarray | None, frames: int) -> np.ndarray:
    """Ascending positions of the kept frames.

    Args:
        rule: A value of `frames.select`. `uniform` takes the centres of `keep` segments and reads no score.
            `attention`, `attention_unit` and `attention_lowest` choose within chunks of eight frames, each its share of
            `keep`. `still` and `attention_lowest` take the lowest scores, the others the highest.
        keep: How many, at most `frames`.
        scores: One of each frame (t,).
        frames: How many there are.

    Of equal scores the earlier frame is taken.

    Raises:
        ParamsError: more are to be kept than there are.
        DataError: a score is missing or not finite.

    >>> choose("motion", 2, np.array([0.0, 3.0, 1.0, 3.0]), 4).tolist()
    [1, 3]
    """
    if keep > frames:
        raise ParamsError(f"frames.keep: {keep} of {frames} frames; keep fewer")
    if keep == frames:
        return np.arange(frames)
    if rule == "uniform":
        return segment_points(frames, keep)
    if scores is None or len(scores) != frames or not np.isfinite(scores).all():
        raise DataError(f"frames.select: {rule} needs a finite score of each of {frames} frames, got {scores}")
    best = scores if rule in ("still", "attention_lowest") else -scores
    if not rule.startswith("attention"):
        return np.sort(np.argsort(best, kind="stable")[:keep])
    starts = range(0, frames, CHUNK_FRAMES)
    edges = np.array([min(start + CHUNK_FRAMES, frames) for start in (-CHUNK_FRAMES, *starts)])
    shares = np.diff(edges * keep // frames)
    chosen = [
        start + np.argsort(best[start : start + CHUNK_FRAMES], kind="stable")[:share]
        for start, share in zip(starts, shares, strict=True)
    ]
    return np.sort(np.concatenate(chosen))


def attention_received(tokens: np.ndarray, unit: bool = False) -> np.ndarray:
    """How much attention each frame gets from all places of its chunk, (t,): the scores of a chunk sum to its places.

    Places attend to each other by softmax(X X^T / sqrt(c)), as they are, or with `unit` by cosine / 0.1. As they are,
    long tokens of one length attend to themselves alone, and every frame scores its number of places: see `is_flat`.

    Args:
        tokens: Places (t, p, c) of frames, without a class token; any float type, computed in float32.
        unit: Scale tokens to length 1 first.

    Source: Mobile-VideoGPT (arXiv 2503.21782), whose code scores frames so and keeps the highest half of each chunk.
    """
    scores = [_received(chunk, unit) for chunk in np.split(tokens, range(CHUNK_FRAMES, len(tokens), CHUNK_FRAMES))]
    return np.concatenate(scores)


def _received(tokens: np.ndarray, unit: bool) -> np.ndarray:
    frames, places, width = tokens.shape
    x = tokens.reshape(-1, width).astype(np.float32)
    if unit:
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
    logits = x @ x.T / np.float32(SOFTNESS if unit else width**0.5)
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    received: np.ndarray = weights.sum(axis=0).reshape(frames, places).sum(axis=1)
    return received


def places(tokens: np.ndarray) -> np.ndarray:
    """Tokens (..., l, c) without the class token, which stands first where l - 1 is a square and l is none.

    >>> places(np.zeros((2, 50, 8))).shape, places(np.zeros((2, 16, 8))).shape
    ((2, 49, 8), (2, 16, 8))
    """
    count = tokens.shape[-2]
    return tokens if math.isqrt(count) ** 2 == count else tokens[..., 1:, :]


def is_flat(scores: np.ndarray) -> bool:
    """Whether scores of frames differ by rounding alone, so that a choice by them means nothing."""
    return bool(np.ptp(scores) < FLAT)


def motion_energy(fields: np.ndarray) -> np.ndarray:
    """Motion of each frame beside that of the camera, px per frame, (t,): the mean over cells of |mv - median mv|.

    Args:
        fields: Motion of the frames, (t, 2, gh, gw) in px, as `moclip.motion.fields.field_at` gives it.
    """
    energy: np.ndarray = energy_of_cells(fields).reshape(len(fields), -1).mean(axis=1)
    return energy


def energy_of_cells(fields: np.ndarray) -> np.ndarray:
    """|mv - median mv| of each cell, px per frame, (t, gh, gw), of fields as `motion_energy` takes them."""
    apart = fields - np.median(fields, axis=(2, 3), keepdims=True)
    energy: np.ndarray = np.hypot(apart[:, 0], apart[:, 1])
    return energy


def best_likeness(frames: np.ndarray, texts: np.ndarray) -> np.ndarray:
    """Cosine of each frame (t, d) with the class that it is most like, of unit texts (k, d): (t,). No label enters."""
    unit = frames / np.linalg.norm(frames, axis=1, keepdims=True)
    likeness: np.ndarray = (unit @ texts.T).max(axis=1)
    return likeness
