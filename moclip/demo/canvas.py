"""Drawing in world units on a Pillow image: shapes, colours, texture.

World unit: one frame height at zoom 1. x right, y down, (0, 0) at the centre of the scene.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

Color = tuple[int, ...]
Point = tuple[float, float]

SHADE = 0.76  # dark side of a rounded shape, relative to its lit side
LIGHT = (-0.30, -0.34)  # where the light comes from, in radii
LIT_RADIUS = 0.66
GRAIN_CELLS = ((0.007, 0.6), (0.02, 0.8), (0.08, 0.5))  # size in units, share of the strength


def mix(a: Color, b: Color, share: float) -> Color:
    """Blend two colours; `share` 0 gives `a`, 1 gives `b`."""
    return tuple(round(p + (q - p) * share) for p, q in zip(a[:3], b[:3], strict=True))


def shade(color: Color, factor: float) -> Color:
    """Darken (factor < 1) or brighten a colour; alpha is kept."""
    return (*(min(255, round(part * factor)) for part in color[:3]), *color[3:])


def vary(color: Color, rng: np.random.Generator, spread: int = 14) -> Color:
    """The colour with each part moved by at most `spread`."""
    moved = np.clip(np.array(color[:3]) + rng.integers(-spread, spread + 1, 3), 0, 255)
    return tuple(int(part) for part in moved)


def pick(colors: Sequence[Color], rng: np.random.Generator, spread: int = 14) -> Color:
    """One of the colours, slightly varied."""
    return vary(colors[int(rng.integers(len(colors)))], rng, spread)


def along(a: Point, b: Point, share: float) -> Point:
    """The point at `share` of the way from `a` to `b`."""
    return a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share


class Canvas:
    """An image with a camera: the world point `center` lies in its middle, a unit is `unit_px` wide."""

    def __init__(self, image: Image.Image, unit_px: float, center: Point = (0.0, 0.0)) -> None:
        self.image = image
        self.unit_px = unit_px
        self._left = image.width / 2 - center[0] * unit_px
        self._top = image.height / 2 - center[1] * unit_px
        self._draw = ImageDraw.Draw(image, "RGBA")

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom edge of the image in world units."""
        u = self.unit_px
        left, top = -self._left / u, -self._top / u
        return left, top, left + self.image.width / u, top + self.image.height / u

    def _px(self, point: Point) -> Point:
        return self._left + point[0] * self.unit_px, self._top + point[1] * self.unit_px

    def polygon(self, points: Sequence[Point], fill: Color) -> None:
        """A filled polygon."""
        self._draw.polygon([self._px(point) for point in points], fill=fill)

    def box(self, left: float, top: float, right: float, bottom: float, fill: Color) -> None:
        """A filled upright rectangle."""
        self._draw.rectangle((*self._px((left, top)), *self._px((right, bottom))), fill=fill)

    def line(self, points: Sequence[Point], width: float, fill: Color) -> None:
        """An open line; at least one pixel wide."""
        width_px = max(1, round(width * self.unit_px))
        self._draw.line([self._px(point) for point in points], fill=fill, width=width_px)

    def oval(self, center: Point, rx: float, ry: float, fill: Color) -> None:
        """A filled upright ellipse."""
        x, y = self._px(center)
        rx_px, ry_px = rx * self.unit_px, ry * self.unit_px
        self._draw.ellipse((x - rx_px, y - ry_px, x + rx_px, y + ry_px), fill=fill)

    def disc(self, center: Point, radius: float, fill: Color) -> None:
        """A filled circle."""
        self.oval(center, radius, radius, fill)

    def ring(self, center: Point, rx: float, ry: float, width: float, fill: Color) -> None:
        """The outline of an upright ellipse."""
        x, y = self._px(center)
        rx_px, ry_px = rx * self.unit_px, ry * self.unit_px
        width_px = max(1, round(width * self.unit_px))
        edges = (x - rx_px, y - ry_px, x + rx_px, y + ry_px)
        self._draw.ellipse(edges, outline=fill, width=width_px)

    def capsule(self, a: Point, b: Point, ra: float, rb: float, fill: Color) -> None:
        """Two discs and all between them: a bone with flesh, `ra` wide at `a`, `rb` at `b`."""
        dx, dy = b[0] - a[0], b[1] - a[1]
        length = max((dx * dx + dy * dy) ** 0.5, 1e-9)
        nx, ny = -dy / length, dx / length
        self.polygon(
            [
                (a[0] + nx * ra, a[1] + ny * ra),
                (b[0] + nx * rb, b[1] + ny * rb),
                (b[0] - nx * rb, b[1] - ny * rb),
                (a[0] - nx * ra, a[1] - ny * ra),
            ],
            fill,
        )
        self.disc(a, ra, fill)
        self.disc(b, rb, fill)

    def round_bone(self, a: Point, b: Point, ra: float, rb: float, fill: Color) -> None:
        """A capsule that looks round: a dark one with a lit one on its light side."""
        self.capsule(a, b, ra, rb, shade(fill, SHADE))
        lit_a = a[0] + LIGHT[0] * ra, a[1] + LIGHT[1] * ra
        lit_b = b[0] + LIGHT[0] * rb, b[1] + LIGHT[1] * rb
        self.capsule(lit_a, lit_b, ra * LIT_RADIUS, rb * LIT_RADIUS, fill)

    def ball(self, center: Point, radius: float, fill: Color) -> None:
        """A disc that looks round."""
        self.disc(center, radius, shade(fill, SHADE))
        lit = center[0] + LIGHT[0] * radius, center[1] + LIGHT[1] * radius
        self.disc(lit, radius * LIT_RADIUS, fill)

    def soft_oval(self, center: Point, rx: float, ry: float, fill: Color, layers: int = 5) -> None:
        """An ellipse whose edge fades out; the alpha of `fill` is that of its middle."""
        alpha = round(fill[3] / layers)
        for layer in range(layers):
            size = 1 - layer / (layers + 1)
            self.oval(center, rx * size, ry * size, (*fill[:3], alpha))

    def gradient(self, top: float, bottom: float, upper: Color, lower: Color) -> None:
        """A full-width band whose colour runs from `upper` to `lower`."""
        first, last = round(self._px((0, top))[1]), round(self._px((0, bottom))[1])
        share = np.linspace(0, 1, max(last - first, 1))[:, None]
        rows = np.array(upper[:3]) * (1 - share) + np.array(lower[:3]) * share
        band = Image.fromarray(np.ascontiguousarray(rows[:, None, :].round().astype(np.uint8)))
        self.image.paste(band.resize((self.image.width, len(rows))), (0, first))


def tilted_oval(center: Point, rx: float, ry: float, angle: float, count: int = 20) -> list[Point]:
    """Corners of an ellipse whose `rx` axis points along `angle` (radians)."""
    turn = np.linspace(0, 2 * np.pi, count, endpoint=False)
    x, y = rx * np.cos(turn), ry * np.sin(turn)
    cos, sin = np.cos(angle), np.sin(angle)
    xs = center[0] + x * cos - y * sin
    ys = center[1] + x * sin + y * cos
    return list(zip(xs.tolist(), ys.tolist(), strict=True))


def add_grain(image: Image.Image, rng: np.random.Generator, strength: float, unit_px: float) -> Image.Image:
    """Texture at three scales over the whole image: what motion search holds on to in every scene."""
    width, height = image.size
    grain = np.zeros((height, width), dtype=np.float32)
    for cell, share in GRAIN_CELLS:
        cell_px = max(1, round(cell * unit_px))
        shape = (height // cell_px + 2, width // cell_px + 2)
        coarse = Image.fromarray(rng.standard_normal(shape, dtype=np.float32))
        grain += share * np.asarray(coarse.resize((width, height), Image.Resampling.BILINEAR))
    textured = np.asarray(image, dtype=np.float32) + 255 * strength * grain[:, :, None]
    return Image.fromarray(np.clip(textured, 0, 255).astype(np.uint8))
