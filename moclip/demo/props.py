"""Things that a figure holds: drawn in its hand, turned with its forearm."""

import math
from collections.abc import Callable

from moclip.demo.canvas import Point, shade, tilted_oval
from moclip.demo.figures import FIST_RADIUS, FigureArtist, Limb

Prop = Callable[[FigureArtist, Limb], None]


def _ahead(origin: Point, angle: float, distance: float) -> Point:
    return origin[0] + distance * math.cos(angle), origin[1] + distance * math.sin(angle)


def racket(artist: FigureArtist, arm: Limb) -> None:
    """A tennis racket that continues the forearm."""
    angle = arm.angle + 0.25
    grip, throat = _ahead(arm.end, angle, -0.03), _ahead(arm.end, angle, 0.10)
    middle = _ahead(arm.end, angle, 0.185)
    artist.bone(grip, throat, (0.013, 0.011), (40, 38, 44))
    rim = tilted_oval(middle, 0.098, 0.074, angle)
    bed = tilted_oval(middle, 0.080, 0.057, angle)
    artist.ball(arm.end, FIST_RADIUS, artist.outfit.skin)
    artist.patch(rim, artist.outfit.accent)
    artist.patch(bed, (238, 238, 226, 215))
    string = (120, 122, 126, 150)
    for offset in (-0.04, 0.0, 0.04):
        ends = [_ahead(_ahead(middle, angle, offset), angle + math.pi / 2, s * 0.05) for s in (-1, 1)]
        world = [artist.stand.world(end) for end in ends]
        artist.canvas.line(world, 0.004, string)


def glove(artist: FigureArtist, arm: Limb) -> None:
    """A boxing glove with a white cuff."""
    color = artist.outfit.accent
    cuff = _ahead(arm.end, arm.angle, -0.035)
    artist.bone(cuff, _ahead(arm.end, arm.angle, -0.012), (0.032, 0.034), (240, 240, 236))
    artist.bone(arm.end, _ahead(arm.end, arm.angle, 0.028), (0.047, 0.050), color)
    artist.ball(_ahead(arm.end, arm.angle + 1.2, 0.035), 0.022, shade(color, 0.9))


def cane(artist: FigureArtist, arm: Limb) -> None:
    """A dancer's black cane with white tips, held near one end."""
    angle = arm.angle + 0.55
    tail, tip = _ahead(arm.end, angle, -0.08), _ahead(arm.end, angle, 0.27)
    artist.bone(tail, tip, (0.012, 0.012), (36, 34, 40))
    artist.bone(_ahead(arm.end, angle, 0.23), tip, (0.013, 0.013), (246, 246, 240))
    artist.ball(tail, 0.019, (246, 246, 240))
    artist.ball(arm.end, FIST_RADIUS, artist.outfit.skin)


def dumbbell(artist: FigureArtist, arm: Limb) -> None:
    """A dumbbell across the fist."""
    across = arm.angle + math.pi / 2
    ends = [_ahead(arm.end, across, side * 0.062) for side in (-1, 1)]
    artist.bone(ends[0], ends[1], (0.012, 0.012), (200, 204, 210))
    for end in ends:
        plate = [_ahead(end, arm.angle, side * 0.032) for side in (-1, 1)]
        artist.bone(plate[0], plate[1], (0.026, 0.026), (58, 60, 70))


def cricket_bat(artist: FigureArtist, arm: Limb) -> None:
    """A willow bat that continues the forearm: dark grip, pale blade."""
    angle = arm.angle + 0.25
    shoulder, toe = _ahead(arm.end, angle, 0.075), _ahead(arm.end, angle, 0.265)
    artist.bone(_ahead(arm.end, angle, -0.04), shoulder, (0.013, 0.013), artist.outfit.accent)
    artist.ball(arm.end, FIST_RADIUS, artist.outfit.skin)
    artist.bone(shoulder, toe, (0.026, 0.034), (236, 206, 148))
    artist.bone(shoulder, _ahead(toe, angle, -0.02), (0.008, 0.008), (206, 168, 108))


def empty(artist: FigureArtist, arm: Limb) -> None:
    """Nothing in the hand."""
