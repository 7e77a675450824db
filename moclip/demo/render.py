"""Pictures of a clip: a painted place, something that passes by, the athlete, and a camera that drifts over them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from moclip.demo import props, scenes
from moclip.demo.canvas import Canvas, Point, pick, shade
from moclip.demo.figures import (
    CLOTHES,
    FAR_SIDE,
    FigureArtist,
    Outfit,
    Stand,
    draw_outfit,
    draw_rest,
    restless,
    skeleton,
)
from moclip.demo.movements import MOVEMENTS, poses
from moclip.demo.scenes import GROUND_Y
from moclip.demo.spec import Appearance

Rng = np.random.Generator

PAN = (0.11, 0.035)  # widest drift of the camera's centre, in units
ZOOM = 0.045
DRIFT_SEC = (2.6, 6.0)  # period of the drift
TRIPOD_SHARE = 0.2  # clips whose camera stands still
SPEED = (0.82, 1.22)
AMPLITUDE = (0.72, 1.12)
BODY_HEIGHT = (0.54, 0.76)


@dataclass(frozen=True)
class Picture:
    """Size of a picture in pixels; it is drawn `sharpness` times larger and averaged down."""

    width: int
    height: int
    sharpness: int = 2

    @property
    def unit_px(self) -> int:
        """Drawn pixels per world unit at zoom 1."""
        return self.height * self.sharpness


@dataclass(frozen=True)
class Style:
    """What the clips of a group share; `x` and `y` are where the athlete stands."""

    appearance: Appearance
    background: Image.Image
    outfit: Outfit
    height: float
    x: float
    y: float


def draw_style(appearance: Appearance, rng: Rng, picture: Picture) -> Style:
    """A random style: paints the background, dresses the athlete."""
    painter: scenes.Painter = getattr(scenes, appearance.scene)
    background = scenes.paint_scene(painter, rng, picture.width / picture.height, picture.unit_px)
    return dress(appearance, background, rng)


def dress(appearance: Appearance, background: Image.Image, rng: Rng) -> Style:
    """A random athlete in front of a given background."""
    outfit = draw_outfit(rng, appearance.dress)
    x, y = rng.uniform(-0.10, 0.10), GROUND_Y + rng.uniform(-0.02, 0.03)
    return Style(appearance, background, outfit, float(rng.uniform(*BODY_HEIGHT)), float(x), float(y))


@dataclass(frozen=True)
class Camera:
    """A slow periodic drift of centre and zoom, bounded by the margin of the painted world."""

    pan: Point
    zoom: float
    period_sec: float
    turn: float

    def at(self, time_sec: float) -> tuple[Point, float]:
        """Centre in world units, and zoom."""
        angle = 2 * np.pi * (time_sec / self.period_sec + self.turn)
        sway, breath = float(np.sin(angle)), float(np.cos(0.7 * angle))
        return (self.pan[0] * sway, self.pan[1] * breath), 1 + self.zoom * breath


def draw_camera(rng: Rng) -> Camera:
    """A random camera; a share of them stands still."""
    moving = rng.random() > TRIPOD_SHARE
    pan_x, pan_y, zoom = (rng.uniform(-1, 1, 3) * (*PAN, ZOOM) * moving).tolist()
    return Camera((pan_x, pan_y), zoom, float(rng.uniform(*DRIFT_SEC)), float(rng.random()))


@dataclass(frozen=True)
class Actor:
    """A figure and its pose in every frame (field to array over frames)."""

    stand: Stand
    outfit: Outfit
    pose: dict[str, np.ndarray]
    appearance: Appearance | None = None
    drift: float = 0.0  # world units per frame, to the right

    def draw(self, canvas: Canvas, frame: int) -> None:
        """Draw shadow, body and props, from back to front."""
        at = self.stand
        stand = Stand(at.x + self.drift * frame, at.y, at.height, at.facing)
        joints = skeleton({field: float(values[frame]) for field, values in self.pose.items()})
        artist = FigureArtist(canvas, stand, self.outfit)
        prop = self._prop()
        artist.shadow(joints)
        artist.arm(joints.far_arm, FAR_SIDE)
        if self.appearance and self.appearance.both_hands:
            prop(artist, joints.far_arm)
        artist.leg(joints.far_leg, FAR_SIDE)
        artist.leg(joints.near_leg, 1.0)
        artist.torso(joints)
        artist.head(joints)
        artist.arm(joints.near_arm, 1.0)
        prop(artist, joints.near_arm)

    def _prop(self) -> props.Prop:
        prop: props.Prop = getattr(props, self.appearance.prop if self.appearance else "empty")
        return prop


def _side(rng: Rng) -> int:
    return int(rng.choice((-1, 1)))


def draw_athlete(style: Style, movement: str, rng: Rng, times_sec: np.ndarray) -> Actor:
    """The style's athlete in a movement of random phase, speed, size, resting pose and side."""
    period_sec = MOVEMENTS[movement].period_sec / rng.uniform(*SPEED)
    phase = rng.random() + times_sec / period_sec
    x = style.x + float(rng.normal(0, 0.025))
    rest = restless(draw_rest(rng), rng, times_sec)
    pose = poses(movement, phase, rest, float(rng.uniform(*AMPLITUDE)))
    stand = Stand(x, style.y, style.height, _side(rng))
    return Actor(stand, style.outfit, pose, style.appearance)


Extra = Callable[[Canvas, int], None]


def _passer_by(rng: Rng, times_sec: np.ndarray) -> Extra:
    """Someone who walks past behind the athlete."""
    facing, height = _side(rng), float(rng.uniform(0.30, 0.42))
    rest = draw_rest(rng)
    rest |= {"near_foot_x": 0.0, "far_foot_x": 0.0, "lean": 0.04, "pelvis_y": -0.02}
    step_sec = float(np.mean(np.diff(times_sec)))
    speed = height * 0.60 * step_sec / MOVEMENTS["walk"].period_sec
    start = float(rng.uniform(-0.55, 0.55)) - facing * speed * len(times_sec) / 2
    pose = poses("walk", rng.random() + times_sec / MOVEMENTS["walk"].period_sec, restless(rest, rng, times_sec))
    stand = Stand(start, 0.5 * GROUND_Y + 0.1 * height, height, facing)
    return Actor(stand, draw_outfit(rng), pose, drift=facing * speed).draw


def _flag(rng: Rng, times_sec: np.ndarray) -> Extra:
    """A flag on a pole that waves in the wind."""
    x, side = float(rng.uniform(0.34, 0.55)) * _side(rng), _side(rng)
    top, length = float(rng.uniform(-0.36, -0.26)), float(rng.uniform(0.15, 0.22))
    color, other = pick(CLOTHES, rng), pick(CLOTHES, rng)
    turns = 2 * np.pi * (times_sec / float(rng.uniform(0.5, 0.9)) + rng.random())

    def draw(canvas: Canvas, frame: int) -> None:
        canvas.capsule((x, top - 0.02), (x, 0.22), 0.007, 0.009, (196, 198, 202))
        share = np.linspace(0, 1, 9)
        wave = top + 0.022 * share * np.sin(turns[frame] - 7 * share)
        xs = (x + side * length * share).tolist()
        for edge, height, fill in ((0.0, 0.13, color), (0.045, 0.04, other)):
            upper = list(zip(xs, (wave + edge).tolist(), strict=True))
            lower = list(zip(xs, (wave + edge + height).tolist(), strict=True))
            canvas.polygon(upper + lower[::-1], fill)

    return draw


def _balloon(rng: Rng, times_sec: np.ndarray) -> Extra:
    """A balloon that drifts across."""
    start = rng.uniform((-0.6, -0.38), (0.6, -0.05))
    step = rng.uniform((-0.006, -0.005), (0.006, 0.003)) * float(np.mean(np.diff(times_sec))) * 25
    color = pick(CLOTHES, rng)

    def draw(canvas: Canvas, frame: int) -> None:
        x, y = (start + step * frame).tolist()
        canvas.line([(x, y + 0.04), (x + 0.008, y + 0.13)], 0.003, (90, 90, 90, 200))
        canvas.oval((x, y), 0.038, 0.046, shade(color, 0.8))
        canvas.oval((x - 0.008, y - 0.008), 0.026, 0.032, color)
        canvas.oval((x - 0.014, y - 0.018), 0.006, 0.009, (255, 255, 255, 170))

    return draw


EXTRAS = (_passer_by, _passer_by, _flag, _balloon, None)  # none of them depends on the class


@dataclass(frozen=True)
class Clip:
    """Everything that moves in one clip, and the camera that films it."""

    style: Style
    athlete: Actor
    extra: Extra | None
    camera: Camera
    times_sec: np.ndarray

    def frame(self, index: int, picture: Picture) -> Image.Image:
        """Render one frame as an RGB image of the picture's size."""
        center, zoom = self.camera.at(float(self.times_sec[index]))
        view = self._backdrop(center, zoom, picture)
        canvas = Canvas(view, picture.unit_px * zoom, center)
        if self.extra:
            self.extra(canvas, index)
        self.athlete.draw(canvas, index)
        return view.reduce(picture.sharpness) if picture.sharpness > 1 else view

    def _backdrop(self, center: Point, zoom: float, picture: Picture) -> Image.Image:
        world = self.style.background
        size = picture.width * picture.sharpness, picture.height * picture.sharpness
        unit = world.height / (1 + 2 * scenes.MARGIN)  # of the painting, whatever it was made for
        half_x, half_y = unit * picture.width / picture.height / (2 * zoom), unit / (2 * zoom)
        x, y = world.width / 2 + center[0] * unit, world.height / 2 + center[1] * unit
        box = (x - half_x, y - half_y, x + half_x, y + half_y)
        return world.resize(size, Image.Resampling.BILINEAR, box=box)


def draw_clip(style: Style, movement: str, rng: Rng, frames: int, fps: int) -> Clip:
    """A random clip of a style and a movement."""
    times_sec = np.arange(frames) / fps
    athlete = draw_athlete(style, movement, rng, times_sec)
    extra = EXTRAS[int(rng.integers(len(EXTRAS)))]
    return Clip(style, athlete, extra and extra(rng, times_sec), draw_camera(rng), times_sec)


def render(clip: Clip, picture: Picture) -> Iterator[np.ndarray]:
    """All frames of a clip as uint8 arrays of shape (height, width, 3)."""
    for index in range(len(clip.times_sec)):
        yield np.asarray(clip.frame(index, picture))
