"""The articulated figure: proportions, two-bone limbs, clothes, drawing.

Body coordinates: one body height is 1, x forward, y up, (0, 0) on the ground between the feet.
"""

import math
from dataclasses import dataclass

import numpy as np

from moclip.demo.canvas import Canvas, Color, Point, along, pick, shade
from moclip.demo.movements import FIELDS

# Lengths and radii in body heights, of a slightly stocky adult who stays readable at 90 pixels.
HIP_HEIGHT = 0.50
TORSO = 0.285
HEAD_ABOVE_SHOULDERS = 0.118
HEAD_RADIUS = 0.068
SHOULDER_HALF = 0.085
HIP_HALF = 0.045
THIGH, SHIN, ANKLE_HEIGHT = 0.245, 0.225, 0.035
UPPER_ARM, FOREARM = 0.165, 0.155
ARM = UPPER_ARM + FOREARM
FOOT = 0.085
THIGH_RADII, SHIN_RADII = (0.055, 0.038), (0.038, 0.024)
UPPER_ARM_RADII, FOREARM_RADII = (0.034, 0.027), (0.027, 0.020)
FIST_RADIUS, SHOE_RADIUS = 0.026, 0.025
FAR_SIDE = 0.80  # brightness of the limbs behind the body

SKINS: tuple[Color, ...] = (
    (244, 208, 177), (229, 184, 143), (198, 146, 104), (160, 108, 72), (112, 74, 50), (82, 54, 40),
)  # fmt: skip
HAIRS: tuple[Color, ...] = (
    (38, 28, 24), (78, 50, 30), (140, 92, 44), (206, 166, 90), (120, 44, 24), (150, 150, 152),
)  # fmt: skip
CLOTHES: tuple[Color, ...] = (
    (214, 48, 49), (36, 98, 196), (245, 245, 240), (250, 202, 44), (44, 150, 84), (40, 42, 54),
    (236, 120, 36), (124, 66, 172), (70, 186, 204), (232, 112, 152), (128, 132, 140),
)  # fmt: skip


@dataclass(frozen=True)
class DressCode:
    """What may be worn; sleeves and trousers as in `Outfit`."""

    headwear: tuple[str, ...] = ("none",)
    sleeves: tuple[float, ...] = (0.0, 0.55, 1.0, 2.0)
    trousers: tuple[float, ...] = (0.45, 0.8, 1.95)
    bare_chest: bool = False


ANY_DRESS = DressCode()


@dataclass(frozen=True)
class Outfit:
    """What a figure wears; lengths in bones that are covered (0 bare, 1 to the joint, 2 to the end)."""

    skin: Color
    hair: Color
    top: Color
    bottom: Color
    shoes: Color
    accent: Color
    sleeve: float
    trouser: float
    headwear: str = "none"
    bare_chest: bool = False


@dataclass(frozen=True)
class Stand:
    """Where a figure stands in the world: the ground point, body height, and which way it faces (1 right, -1 left)."""

    x: float
    y: float
    height: float
    facing: int

    def world(self, point: Point) -> Point:
        """Body coordinates to world coordinates."""
        return self.x + self.facing * self.height * point[0], self.y - self.height * point[1]


@dataclass(frozen=True)
class Limb:
    """Root, middle joint and end of an arm or a leg, in body coordinates."""

    root: Point
    joint: Point
    end: Point

    @property
    def angle(self) -> float:
        """Direction of the lower bone in radians, 0 forward, pi/2 up."""
        return math.atan2(self.end[1] - self.joint[1], self.end[0] - self.joint[0])


@dataclass(frozen=True)
class Skeleton:
    """All joints of one pose, in body coordinates."""

    pelvis: Point
    chest: Point
    head: Point
    near_arm: Limb
    far_arm: Limb
    near_leg: Limb
    far_leg: Limb


def two_bone(root: Point, target: Point, upper: float, lower: float, bend: int) -> Limb:
    """Inverse kinematics: the limb from `root` that reaches for `target`, stretched when it is too far.

    Args:
        root: Shoulder or hip.
        target: Wanted place of hand or ankle.
        upper: Length of the upper bone.
        lower: Length of the lower bone.
        bend: 1 puts the middle joint left of the line from root to target (y up), -1 right of it.
    """
    dx, dy = target[0] - root[0], target[1] - root[1]
    reach = min(max(math.hypot(dx, dy), abs(upper - lower) + 1e-4), upper + lower - 1e-4)
    line = math.atan2(dy, dx)
    inner = math.acos((upper**2 + reach**2 - lower**2) / (2 * upper * reach))
    turn = line + bend * inner
    joint = root[0] + upper * math.cos(turn), root[1] + upper * math.sin(turn)
    end = root[0] + reach * math.cos(line), root[1] + reach * math.sin(line)
    return Limb(root, joint, end)


def skeleton(pose: dict[str, float]) -> Skeleton:
    """Place all joints of a pose (a value for each of `FIELDS`)."""
    pelvis = pose["pelvis_x"], HIP_HEIGHT + pose["pelvis_y"]
    sin, cos = math.sin(pose["lean"]), math.cos(pose["lean"])
    chest = pelvis[0] + TORSO * sin, pelvis[1] + TORSO * cos
    head = chest[0] + HEAD_ABOVE_SHOULDERS * sin + 0.012, chest[1] + HEAD_ABOVE_SHOULDERS * cos
    return Skeleton(
        pelvis,
        chest,
        head,
        *(_arm(pose, side, chest, cos, sin) for side in ("near", "far")),
        *(_leg(pose, side, pelvis) for side in ("near", "far")),
    )


def _arm(pose: dict[str, float], side: str, chest: Point, cos: float, sin: float) -> Limb:
    half = -SHOULDER_HALF if side == "near" else SHOULDER_HALF
    shoulder = chest[0] + half * cos, chest[1] - half * sin
    hand = (
        shoulder[0] + ARM * pose[f"{side}_hand_x"],
        shoulder[1] + ARM * pose[f"{side}_hand_y"],
    )
    return two_bone(shoulder, hand, UPPER_ARM, FOREARM, bend=-1)


def _leg(pose: dict[str, float], side: str, pelvis: Point) -> Limb:
    hip = pelvis[0] + (-HIP_HALF if side == "near" else HIP_HALF), pelvis[1]
    ankle = pose[f"{side}_foot_x"], ANKLE_HEIGHT + pose[f"{side}_foot_y"]
    return two_bone(hip, ankle, THIGH, SHIN, bend=1)


SWAY = {
    "pelvis_x": 0.045,
    "pelvis_y": 0.015,
    "lean": 0.12,
    "near_hand_x": 0.30,
    "near_hand_y": 0.30,
    "far_hand_x": 0.30,
    "far_hand_y": 0.30,
}  # largest amplitudes
SWAY_HZ = (0.4, 1.4)
RESTING_ARMS: tuple[Point, ...] = (
    (0.12, -0.95), (0.30, -0.62), (0.52, -0.20), (-0.10, -0.70), (0.62, 0.30), (0.25, 0.85), (-0.60, -0.55),
)  # fmt: skip


def draw_rest(rng: np.random.Generator) -> dict[str, float]:
    """A random resting pose: crouch, lean, stance and where idle arms are held."""
    rest = dict.fromkeys(FIELDS, 0.0)
    rest["pelvis_y"] = float(rng.uniform(-0.045, 0.0))
    rest["lean"] = float(rng.normal(0.04, 0.06))
    rest["near_foot_x"] = float(-rng.uniform(0.05, 0.15))
    rest["far_foot_x"] = float(rng.uniform(0.06, 0.16))
    rest["far_foot_y"] = 0.018  # the far foot stands deeper in the picture
    for side in ("near", "far"):
        x, y = RESTING_ARMS[int(rng.integers(len(RESTING_ARMS)))]
        rest[f"{side}_hand_x"] = x + float(rng.normal(0, 0.06))
        rest[f"{side}_hand_y"] = y + float(rng.normal(0, 0.06))
    return rest


def draw_outfit(rng: np.random.Generator, dress: DressCode = DressCode()) -> Outfit:
    """Random skin, hair and clothes that keep to a dress code."""
    return Outfit(
        skin=pick(SKINS, rng, 8),
        hair=pick(HAIRS, rng, 8),
        top=pick(CLOTHES, rng),
        bottom=pick(CLOTHES, rng),
        shoes=pick(((240, 240, 240), (50, 50, 60), (206, 60, 50), (60, 110, 190)), rng),
        accent=pick(CLOTHES, rng),
        sleeve=float(rng.choice(dress.sleeves)),
        trouser=float(rng.choice(dress.trousers)),
        headwear=str(rng.choice(dress.headwear)),
        bare_chest=dress.bare_chest,
    )


def restless(rest: dict[str, float], rng: np.random.Generator, times_sec: np.ndarray) -> dict[str, np.ndarray]:
    """A resting pose that never quite rests: each moving part sways at a size and pace of its own."""
    swaying = {field: np.full(len(times_sec), value) for field, value in rest.items()}
    for field, largest in SWAY.items():
        turn = times_sec * rng.uniform(*SWAY_HZ) + rng.random()
        swaying[field] += rng.uniform(0, largest) * np.sin(2 * np.pi * turn)
    return swaying


class FigureArtist:
    """Draws one skeleton in one outfit at one stand, far limbs first."""

    def __init__(self, canvas: Canvas, stand: Stand, outfit: Outfit) -> None:
        self.canvas = canvas
        self.stand = stand
        self.outfit = outfit

    def bone(self, a: Point, b: Point, radii: tuple[float, float], color: Color) -> None:
        """One rounded bone, in body coordinates."""
        h = self.stand.height
        world = self.stand.world
        self.canvas.round_bone(world(a), world(b), radii[0] * h, radii[1] * h, color)

    def ball(self, center: Point, radius: float, color: Color) -> None:
        """One rounded ball, in body coordinates."""
        self.canvas.ball(self.stand.world(center), radius * self.stand.height, color)

    def patch(self, points: list[Point], color: Color) -> None:
        """A flat polygon, in body coordinates."""
        self.canvas.polygon([self.stand.world(point) for point in points], color)

    def _sheathed(
        self, limb: Limb, upper: tuple[float, float], lower: tuple[float, float],
        skin: Color, cloth: Color, covered: float,
    ) -> None:  # fmt: skip
        """A limb of skin, `covered` bones of it in cloth (1 ends at the middle joint, 2 at the end)."""
        self.bone(limb.joint, limb.end, lower, skin)
        self.bone(limb.root, limb.joint, upper, skin)
        wide = 1.10
        if covered > 1:
            cuff = along(limb.joint, limb.end, covered - 1)
            self.bone(limb.joint, cuff, (lower[0] * wide, lower[1] * wide * 1.15), cloth)
        if covered > 0:
            hem = along(limb.root, limb.joint, min(covered, 1.0))
            self.bone(limb.root, hem, (upper[0] * wide, upper[1] * wide * 1.1), cloth)

    def arm(self, limb: Limb, light: float) -> None:
        """An arm with its fist; `light` darkens the far one."""
        skin, cloth = shade(self.outfit.skin, light), shade(self.outfit.top, light)
        covered = 0.0 if self.outfit.bare_chest else self.outfit.sleeve
        self._sheathed(limb, UPPER_ARM_RADII, FOREARM_RADII, skin, cloth, covered)
        self.ball(limb.end, FIST_RADIUS, skin)

    def leg(self, limb: Limb, light: float) -> None:
        """A leg with its shoe, the toe pointing forward, or down while the foot is in the air."""
        lift = max(limb.end[1] - ANKLE_HEIGHT, 0.0)
        drop = min(lift * 0.35, 0.05)
        heel = limb.end[0] - 0.012, limb.end[1] - 0.008
        toe = limb.end[0] + FOOT, limb.end[1] - 0.010 - drop
        skin, cloth = shade(self.outfit.skin, light), shade(self.outfit.bottom, light)
        self._sheathed(limb, THIGH_RADII, SHIN_RADII, skin, cloth, self.outfit.trouser)
        barefoot = self.outfit.headwear == "swim_cap"
        shoe = skin if barefoot else shade(self.outfit.shoes, light)
        self.bone(heel, toe, (SHOE_RADIUS, SHOE_RADIUS * 0.72), shoe)

    def torso(self, joints: Skeleton) -> None:
        """Chest, waist and hips."""
        color = self.outfit.skin if self.outfit.bare_chest else self.outfit.top
        near, far = joints.near_arm.root, joints.far_arm.root
        waist = along(joints.pelvis, joints.chest, 0.35)
        hips = along(joints.pelvis, joints.chest, 0.06)
        left, right = (hips[0] - 0.045, hips[1]), (hips[0] + 0.045, hips[1])
        self.bone(left, right, (0.058, 0.055), self.outfit.bottom)
        self.bone(far, right, (0.040, 0.040), shade(color, 0.90))
        self.patch([near, far, (waist[0] + 0.062, waist[1]), (waist[0] - 0.062, waist[1])], color)
        self.bone(near, left, (0.046, 0.046), color)
        self.patch([near, far, along(far, right, 0.9), along(near, left, 0.9)], shade(color, 0.97))
        self.bone(left, right, (0.050, 0.048), self.outfit.bottom)

    def head(self, joints: Skeleton) -> None:
        """Neck, head, face, hair and headwear."""
        x, y = joints.head
        self.bone(joints.chest, joints.head, (0.032, 0.030), shade(self.outfit.skin, 0.92))
        self.ball((x - 0.010, y + 0.010), HEAD_RADIUS * 1.06, self.outfit.hair)
        self.bone((x + 0.008, y + 0.002), (x + 0.014, y - 0.026), (0.058, 0.044), self.outfit.skin)
        self.ball((x + 0.070, y - 0.010), 0.012, self.outfit.skin)
        for eye in (0.018, 0.052):
            center = self.stand.world((x + eye, y + 0.002))
            self.canvas.disc(center, 0.007 * self.stand.height, (38, 30, 30))
        self._fringe(x, y)
        HEADWEAR[self.outfit.headwear](self, x, y)

    def _fringe(self, x: float, y: float) -> None:
        self.bone((x - 0.035, y + 0.045), (x + 0.035, y + 0.050), (0.028, 0.018), self.outfit.hair)

    def shadow(self, joints: Skeleton) -> None:
        """Soft shadow on the ground: wide under spread feet, faint and small under a jumper."""
        near, far = joints.near_leg.end, joints.far_leg.end
        lift = max(min(near[1], far[1]) - ANKLE_HEIGHT, 0.0)
        middle = (near[0] + far[0]) / 2 + 0.05, 0.012
        rx = (0.13 + abs(far[0] - near[0]) / 2) * (1 - lift)
        h = self.stand.height
        fill = (12, 14, 24, round(150 * (1 - 1.6 * min(lift, 0.4))))
        self.canvas.soft_oval(self.stand.world(middle), rx * h, 0.042 * h, fill)


def _bare(artist: FigureArtist, x: float, y: float) -> None:
    """No headwear."""


def _cap(artist: FigureArtist, x: float, y: float) -> None:
    color = artist.outfit.accent
    artist.bone((x - 0.028, y + 0.040), (x + 0.022, y + 0.044), (0.044, 0.038), color)
    artist.bone((x + 0.030, y + 0.030), (x + 0.100, y + 0.022), (0.014, 0.010), color)


def _band(artist: FigureArtist, x: float, y: float) -> None:
    artist.bone((x - 0.055, y + 0.026), (x + 0.058, y + 0.032), (0.014, 0.014), artist.outfit.accent)


def _swim_cap(artist: FigureArtist, x: float, y: float) -> None:
    artist.bone((x - 0.020, y + 0.028), (x + 0.020, y + 0.034), (0.055, 0.048), artist.outfit.accent)
    artist.bone((x + 0.012, y + 0.004), (x + 0.058, y + 0.004), (0.013, 0.013), (34, 44, 70))


def _top_hat(artist: FigureArtist, x: float, y: float) -> None:
    felt = (34, 32, 42)
    artist.bone((x - 0.085, y + 0.052), (x + 0.090, y + 0.056), (0.012, 0.012), felt)
    corners = [(x - 0.05, y + 0.06), (x + 0.055, y + 0.06), (x + 0.06, y + 0.165), (x - 0.055, y + 0.165)]
    artist.patch(corners, felt)
    ribbon = [(x - 0.05, y + 0.065), (x + 0.055, y + 0.065), (x + 0.056, y + 0.09), (x - 0.051, y + 0.09)]
    artist.patch(ribbon, artist.outfit.accent)


HEADWEAR = {"none": _bare, "cap": _cap, "band": _band, "swim_cap": _swim_cap, "top_hat": _top_hat}
