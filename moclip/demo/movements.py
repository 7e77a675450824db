"""Movements as key poses on a circle of phases; between them a periodic cubic spline.

Lengths are in body heights (x forward, y up), angles in radians; hands are in arm lengths, relative to their shoulder.
A movement lists only what it drives. All else keeps the resting pose of the clip, so that a still tells little.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.interpolate import CubicSpline

FIELDS = (
    "pelvis_x",
    "pelvis_y",
    "lean",
    "near_hand_x",
    "near_hand_y",
    "far_hand_x",
    "far_hand_y",
    "near_foot_x",
    "near_foot_y",
    "far_foot_x",
    "far_foot_y",
)
HAND_FIELDS = FIELDS[3:7]
HAND_FOLLOWS_REST = 0.15  # a driven hand all but leaves its rest; all else moves about it
FOOT_HEIGHTS = ("near_foot_y", "far_foot_y")
KEYS = 8

Keys = tuple[float, ...]


@dataclass(frozen=True)
class Movement:
    """One cycle: its duration in seconds and `KEYS` evenly spaced values for each driven field."""

    period_sec: float
    keys: dict[str, Keys]


def _half_turn_later(keys: Keys) -> Keys:
    return keys[KEYS // 2 :] + keys[: KEYS // 2]


def _wave(size: float, offset: float = 0.0, cycles: int = 1, start_turn: float = 0.0) -> Keys:
    turn = 2 * np.pi * (cycles * np.arange(KEYS) / KEYS + start_turn)
    return tuple((offset + size * np.cos(turn)).tolist())


def _overhead_swing() -> Movement:
    return Movement(
        1.15,
        {
            "near_hand_x": (-0.40, 0.15, 0.80, 0.92, 0.55, 0.60, 0.55, 0.10),
            "near_hand_y": (0.70, 0.99, 0.55, -0.25, -0.78, -0.60, 0.05, 0.60),
            "lean": (-0.20, -0.08, 0.18, 0.36, 0.40, 0.28, 0.08, -0.12),
            "pelvis_x": (-0.04, -0.01, 0.03, 0.06, 0.07, 0.04, 0.00, -0.03),
        },
    )


def _side_swing() -> Movement:
    return Movement(
        1.05,
        {
            "near_hand_x": (-0.92, -0.55, 0.35, 0.95, 0.92, 0.60, 0.05, -0.65),
            "near_hand_y": (-0.12, -0.30, -0.32, -0.08, 0.10, -0.10, -0.35, -0.30),
            "pelvis_x": (-0.12, -0.07, 0.04, 0.12, 0.13, 0.08, 0.00, -0.08),
            "lean": (-0.12, -0.06, 0.06, 0.15, 0.16, 0.10, 0.02, -0.08),
            "pelvis_y": (-0.05, -0.03, -0.03, -0.06, -0.06, -0.04, -0.02, -0.04),
            "near_foot_x": (-0.06,) * KEYS,
            "far_foot_x": (0.06,) * KEYS,
        },
    )


def _run_on_the_spot() -> Movement:
    lift = (0.0, 0.10, 0.24, 0.15, 0.0, 0.0, 0.0, 0.0)
    reach = (-0.03, 0.0, 0.12, 0.10, 0.03, 0.0, -0.01, -0.02)
    arm_x, arm_y = _wave(0.42, 0.08, start_turn=0.25), _wave(0.12, -0.42, start_turn=0.25)
    return Movement(
        0.58,
        {
            "near_foot_y": lift,
            "far_foot_y": _half_turn_later(lift),
            "near_foot_x": reach,
            "far_foot_x": _half_turn_later(reach),
            "near_hand_x": arm_x,
            "near_hand_y": arm_y,
            "far_hand_x": _half_turn_later(arm_x),
            "far_hand_y": _half_turn_later(arm_y),
            "pelvis_y": _wave(0.014, cycles=2),
            "lean": (0.08,) * KEYS,
        },
    )


def _jump() -> Movement:
    lift = (0.0, 0.01, 0.13, 0.20, 0.18, 0.07, 0.0, 0.0)
    return Movement(
        0.78,
        {
            "pelvis_y": (-0.14, -0.01, 0.14, 0.22, 0.19, 0.06, -0.07, -0.15),
            "near_foot_y": lift,
            "far_foot_y": lift,
            "lean": (0.16, 0.04, 0.0, 0.0, 0.0, 0.02, 0.10, 0.16),
        },
    )


def _squat() -> Movement:
    return Movement(
        1.10,
        {
            "pelvis_y": _wave(0.13, -0.13),
            "pelvis_x": _wave(0.03, -0.03),
            "lean": _wave(-0.20, 0.20),
        },
    )


def _arm_circles() -> Movement:
    near_x, near_y = _wave(0.93), _wave(0.93, start_turn=0.75)
    return Movement(
        0.95,
        {
            "near_hand_x": near_x,
            "near_hand_y": near_y,
            "far_hand_x": _half_turn_later(near_x),
            "far_hand_y": _half_turn_later(near_y),
            "pelvis_y": _wave(0.012, -0.012, cycles=2),
        },
    )


def _walk() -> Movement:
    lift = (0.0, 0.05, 0.08, 0.04, 0.0, 0.0, 0.0, 0.0)
    stride = (-0.14, -0.06, 0.04, 0.12, 0.14, 0.07, 0.0, -0.07)
    arm_x = _wave(0.38, 0.06, start_turn=0.5)
    return Movement(
        0.95,
        {
            "near_foot_x": stride,
            "near_foot_y": lift,
            "far_foot_x": _half_turn_later(stride),
            "far_foot_y": _half_turn_later(lift),
            "near_hand_x": arm_x,
            "near_hand_y": (-0.82,) * KEYS,
            "far_hand_x": _half_turn_later(arm_x),
            "far_hand_y": (-0.82,) * KEYS,
        },
    )


MOVEMENTS: dict[str, Movement] = {
    "overhead_swing": _overhead_swing(),
    "side_swing": _side_swing(),
    "run_on_the_spot": _run_on_the_spot(),
    "jump": _jump(),
    "squat": _squat(),
    "arm_circles": _arm_circles(),
    "walk": _walk(),  # of passers-by; no class has it
}


@cache
def _curves(name: str) -> tuple[list[str], CubicSpline]:
    keys = MOVEMENTS[name].keys
    values = np.array([*keys.values()]).T
    closed = np.concatenate([values, values[:1]])
    return list(keys), CubicSpline(np.arange(KEYS + 1) / KEYS, closed, bc_type="periodic")


def poses(name: str, phase: np.ndarray, rest: dict[str, np.ndarray], amplitude: float = 1.0) -> dict[str, np.ndarray]:
    """The pose at each phase.

    Args:
        name: A key of `MOVEMENTS`.
        phase: Phases in cycles, any real numbers, shape (t,).
        rest: The pose from which the movement starts: an array of shape (t,) for every one of `FIELDS`.
        amplitude: Scales the movement.

    Returns:
        Field to values of shape (t,). Feet never sink below the ground.
    """
    driven, curves = _curves(name)
    moved = dict(zip(driven, curves(phase % 1.0).T, strict=True))
    pose = dict(rest)
    for field, values in moved.items():
        start = HAND_FOLLOWS_REST * rest[field] if field in HAND_FIELDS else rest[field]
        pose[field] = start + amplitude * values
    for field in FOOT_HEIGHTS:
        pose[field] = np.maximum(pose[field], rest[field])
    return pose
