"""The six places: each painted once per group, wider than the picture so that the camera can wander."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from moclip.demo.canvas import Canvas, Color, add_grain, mix, pick, shade

GROUND_Y = 0.37  # where figures stand, at depth 1
NEAR = 0.72  # depth at which floors end, in front of the figures
FAR = 60.0
MARGIN = 0.20  # world painted beyond each edge of the picture
GRAIN = (0.020, 0.034)
HAZE = (0.0, 0.48)  # share of the average colour
BLUR = (0.003, 0.018)  # radius in units
CHALK = (244, 244, 238)

Painter = Callable[[Canvas, np.random.Generator], None]


@dataclass(frozen=True)
class Floor:
    """A flat floor in perspective: depth 1 is where the figures stand, infinity is the horizon."""

    horizon_y: float
    vanish_x: float

    def at(self, x: float, depth: float) -> tuple[float, float]:
        """World point of the floor point that lies `x` to the right, at `depth`."""
        scale = 1 / depth
        return self.vanish_x + (x - self.vanish_x) * scale, self.y(depth)

    def y(self, depth: float) -> float:
        """World height of a depth."""
        return self.horizon_y + (GROUND_Y - self.horizon_y) / depth

    def quad(self, canvas: Canvas, xs: tuple[float, float], depths: tuple[float, float], fill: Color) -> None:
        """A rectangle that lies on the floor."""
        (left, right), (front, back) = xs, depths
        corners = [(left, front), (right, front), (right, back), (left, back)]
        canvas.polygon([self.at(*corner) for corner in corners], fill)


def _floor(rng: np.random.Generator, high: float = -0.12, low: float = -0.02) -> Floor:
    return Floor(float(rng.uniform(high, low)), float(rng.uniform(-0.25, 0.25)))


def _crowd(canvas: Canvas, rng: np.random.Generator, top: float, bottom: float, light: float) -> None:
    """Rows of spectators: heads and shoulders, brighter toward the front."""
    left, _, right, _ = canvas.extent
    rows = 8
    for row in range(rows):
        y = top + (bottom - top) * (row + 0.6) / rows
        for x in np.arange(left, right, 0.055) + rng.uniform(0, 0.05):
            brightness = light * (0.55 + 0.45 * row / rows)
            shirt = tuple(int(part) for part in rng.integers(60, 220, 3))
            spot = float(x) + float(rng.normal(0, 0.006)), y + float(rng.normal(0, 0.005))
            canvas.oval((spot[0], spot[1] + 0.035), 0.024, 0.026, shade(shirt, brightness))
            canvas.disc(spot, 0.013, shade((214, 170, 136), brightness))


def _trees(canvas: Canvas, rng: np.random.Generator, base_y: float, height: float) -> None:
    left, _, right, _ = canvas.extent
    leaf = pick(((46, 98, 52), (70, 118, 48), (34, 84, 66), (120, 108, 44)), rng)
    for layer in (0.72, 0.86, 1.0):
        for x in np.arange(left, right, 0.09):
            size = height * float(rng.uniform(0.45, 0.75)) * (1.6 - layer)
            spot = float(x + rng.normal(0, 0.03)), base_y - size * 0.5
            canvas.oval(spot, size * 0.75, size, shade(leaf, layer + float(rng.normal(0, 0.05))))


def _sky(canvas: Canvas, rng: np.random.Generator, bottom: float) -> None:
    left, top, right, _ = canvas.extent
    zenith = pick(((84, 152, 226), (126, 170, 214), (236, 158, 110), (150, 160, 176)), rng)
    canvas.gradient(top, bottom, zenith, mix(zenith, (250, 246, 236), 0.7))
    for _ in range(int(rng.integers(2, 6))):
        x, y = float(rng.uniform(left, right)), float(rng.uniform(top + 0.05, bottom - 0.12))
        for puff in rng.normal(0, 1, (6, 2)):
            spot = x + 0.06 * float(puff[0]), y + 0.012 * float(puff[1])
            canvas.soft_oval(spot, 0.08, 0.03, (252, 252, 252, 120))


def _boards(canvas: Canvas, rng: np.random.Generator, top: float, bottom: float) -> None:
    """Advertising boards with stripes that only look like words."""
    left, _, right, _ = canvas.extent
    x = left
    while x < right:
        width = float(rng.uniform(0.22, 0.42))
        ground = pick(((30, 70, 150), (230, 230, 226), (190, 40, 44), (30, 110, 80), (240, 190, 40)), rng)
        ink = CHALK if sum(ground) < 420 else (40, 44, 60)
        canvas.box(x, top, x + width - 0.006, bottom, ground)
        start = x + width * 0.2
        while start < x + width * 0.75:
            letter = float(rng.uniform(0.008, 0.022))
            canvas.box(start, top + (bottom - top) * 0.3, start + letter, bottom - (bottom - top) * 0.28, ink)
            start += letter + 0.010
        x += width


def tennis_court(canvas: Canvas, rng: np.random.Generator) -> None:
    """Hard or clay court with white lines, a net across it, boards and trees behind."""
    left, _, right, bottom = canvas.extent
    floor = _floor(rng)
    wall_y = floor.y(5.0)
    court = pick(((44, 108, 168), (60, 136, 84), (196, 98, 60), (104, 84, 160)), rng)
    surround = mix(court, pick(((40, 110, 70), (150, 80, 56), (50, 70, 110)), rng), 0.65)
    _sky(canvas, rng, wall_y)
    _trees(canvas, rng, wall_y - 0.03, float(rng.uniform(0.12, 0.24)))
    canvas.box(left, wall_y - 0.16, right, wall_y, pick(((28, 70, 52), (30, 54, 92), (50, 60, 66)), rng))
    _boards(canvas, rng, wall_y - 0.075, wall_y)
    canvas.gradient(wall_y, bottom, shade(surround, 0.9), shade(surround, 1.06))
    wide = float(rng.uniform(1.0, 1.5))
    floor.quad(canvas, (-wide, wide), (NEAR, 3.6), court)
    line = 0.022
    for x in (-wide, -wide * 0.76, wide * 0.76, wide):
        floor.quad(canvas, (x - line, x + line), (NEAR, 3.6), CHALK)
    service = float(rng.uniform(1.12, 1.3))
    floor.quad(canvas, (-line, line), (service, 3.0), CHALK)
    for depth in (service, 3.0, 3.55):
        floor.quad(canvas, (-wide, wide), (depth, depth * 1.035), CHALK)
    _net(canvas, floor, wide * 1.15, depth=1.75)


def _net(canvas: Canvas, floor: Floor, half: float, depth: float) -> None:
    (left, y), (right, _) = floor.at(-half, depth), floor.at(half, depth)
    top = y - 0.25 / depth
    canvas.box(left, top, right, y, (20, 24, 30, 70))
    for x in np.arange(left, right, 0.018):
        canvas.line([(float(x), top), (float(x), y)], 0.003, (20, 22, 26, 150))
    for row in np.arange(top, y, 0.018):
        canvas.line([(left, float(row)), (right, float(row))], 0.003, (20, 22, 26, 150))
    canvas.box(left, top - 0.012, right, top + 0.008, CHALK)
    for x in (left, right):
        canvas.capsule((x, top - 0.02), (x, y), 0.011, 0.011, (60, 64, 70))


def boxing_ring(canvas: Canvas, rng: np.random.Generator) -> None:
    """A ring with ropes and corner posts, spectators in the dark behind it, lamps above."""
    _, top, _, bottom = canvas.extent
    floor = _floor(rng, -0.04, 0.04)
    back = floor.y(1.7)
    dark = pick(((26, 24, 38), (40, 22, 26), (18, 34, 44)), rng, 6)
    canvas.gradient(top, back, shade(dark, 0.6), shade(dark, 1.7))
    _crowd(canvas, rng, back - 0.46, back - 0.02, float(rng.uniform(0.5, 0.9)))
    _lamps(canvas, top + MARGIN + 0.05)
    mat = pick(((204, 206, 212), (120, 152, 196), (196, 186, 160), (90, 110, 140)), rng)
    canvas.gradient(back, bottom, shade(mat, 0.82), shade(mat, 1.05))
    emblem = pick(((190, 50, 54), (40, 80, 170), (230, 180, 40)), rng)
    canvas.oval((floor.vanish_x * 0.5, floor.y(1.12)), 0.36, 0.055, mix(mat, emblem, 0.6))
    _ropes(canvas, rng, back)


def _lamps(canvas: Canvas, y: float) -> None:
    left, _, right, _ = canvas.extent
    canvas.box(left, y - 0.035, right, y - 0.02, (70, 72, 80))
    for x in np.linspace(left, right, 8):
        canvas.soft_oval((float(x), y + 0.03), 0.12, 0.12, (255, 244, 210, 150), layers=10)
        canvas.box(float(x) - 0.035, y - 0.02, float(x) + 0.035, y + 0.005, (56, 58, 66))
        canvas.oval((float(x), y + 0.006), 0.030, 0.010, (255, 252, 236))


def _ropes(canvas: Canvas, rng: np.random.Generator, back: float) -> None:
    left, _, right, _ = canvas.extent
    corners = float(rng.uniform(-0.60, -0.48)), float(rng.uniform(0.48, 0.60))
    colors = [(206, 44, 48), (240, 240, 236), (42, 84, 180)]
    rng.shuffle(colors)
    for height, color in zip((0.12, 0.22, 0.32), colors, strict=True):
        ends = [(left, back - height + 0.14), (corners[0], back - height), (corners[1], back - height)]
        canvas.line([*ends, (right, back - height + 0.14)], 0.020, shade(color, 0.7))
        raised = [(x, y - 0.004) for x, y in [*ends, (right, back - height + 0.14)]]
        canvas.line(raised, 0.011, color)
    for x, color in zip(corners, ((200, 40, 44), (40, 80, 180)), strict=True):
        canvas.capsule((x, back - 0.36), (x, back + 0.02), 0.016, 0.018, (74, 78, 88))
        for height in (0.12, 0.22, 0.32):
            canvas.round_bone((x, back - height - 0.03), (x, back - height + 0.03), 0.032, 0.032, color)
    canvas.line(
        [(left, back + 0.26), (corners[0], back), (corners[1], back), (right, back + 0.26)], 0.010, (90, 94, 104)
    )


def stage(canvas: Canvas, rng: np.random.Generator) -> None:
    """A theatre stage: heavy curtains, planks, spotlights and their pools of light."""
    left, top, right, _ = canvas.extent
    floor = _floor(rng, -0.10, 0.0)
    back = floor.y(2.0)
    velvet = pick(((150, 24, 38), (90, 30, 110), (26, 60, 120), (24, 96, 84)), rng, 10)
    backdrop = pick(((36, 28, 54), (58, 34, 30), (20, 44, 60), (70, 58, 90)), rng, 8)
    canvas.gradient(top, back, shade(backdrop, 0.7), shade(backdrop, 1.5))
    canvas.soft_oval((floor.vanish_x, back - 0.18), 0.55, 0.34, (255, 226, 170, 120), layers=24)
    _planks(canvas, rng, floor, 2.0, pick(((150, 98, 56), (116, 78, 52), (176, 128, 80)), rng))
    for x in rng.uniform(left + 0.2, right - 0.2, int(rng.integers(2, 4))):
        foot = float(rng.uniform(-0.35, 0.35))
        beam = [(float(x), top), (foot + 0.20, GROUND_Y), (foot - 0.20, GROUND_Y)]
        canvas.polygon(beam, (255, 244, 200, 26))
        canvas.soft_oval((foot, GROUND_Y), 0.26, 0.055, (255, 240, 190, 90), layers=10)
    inner = float(rng.uniform(0.40, 0.52))
    _curtain(canvas, left, -inner, floor.y(1.3), velvet)
    _curtain(canvas, inner, right, floor.y(1.3), velvet)
    _valance(canvas, velvet, top + MARGIN + 0.02)


def _planks(canvas: Canvas, rng: np.random.Generator, floor: Floor, back: float, wood: Color) -> None:
    _, _, _, bottom = canvas.extent
    canvas.gradient(floor.y(back), bottom, shade(wood, 0.75), shade(wood, 1.1))
    width = 0.13
    for x in np.arange(-3.0, 3.0, width):
        tone = float(rng.uniform(0.86, 1.14))
        floor.quad(canvas, (float(x), float(x) + width), (NEAR, back), (*shade(wood, tone)[:3], 150))
        floor.quad(canvas, (float(x), float(x) + 0.008), (NEAR, back), shade(wood, 0.55))


def _curtain(canvas: Canvas, left: float, right: float, bottom: float, velvet: Color) -> None:
    _, top, _, _ = canvas.extent
    step = 0.008
    for x in np.arange(left, right, step):
        fold = 0.72 + 0.34 * float(np.sin(x * 62 + 1.5 * np.sin(x * 17)))
        canvas.box(float(x), top, float(x) + step, bottom + 0.006 * fold, shade(velvet, fold))
    canvas.box(left, bottom - 0.03, right, bottom - 0.014, (214, 172, 74, 190))


def _valance(canvas: Canvas, velvet: Color, y: float) -> None:
    left, top, right, _ = canvas.extent
    canvas.box(left, top, right, y, shade(velvet, 0.82))
    for x in np.arange(left, right, 0.16):
        canvas.oval((float(x) + 0.08, y), 0.082, 0.045, shade(velvet, 0.92))
        canvas.oval((float(x) + 0.08, y - 0.012), 0.074, 0.040, velvet)


def pool(canvas: Canvas, rng: np.random.Generator) -> None:
    """A swimming pool with lane ropes; the figure stands on the springboard in front of it."""
    left, top, right, bottom = canvas.extent
    floor = _floor(rng, -0.22, -0.15)
    back = floor.y(4.2)
    wall = pick(((206, 222, 226), (232, 220, 196), (176, 204, 214), (222, 206, 214)), rng)
    canvas.gradient(top, back, shade(wall, 1.04), shade(wall, 0.86))
    _tiles(canvas, wall, top, back)
    _windows(canvas, rng, back)
    water = pick(((34, 146, 196), (52, 176, 196), (30, 112, 180), (84, 186, 214)), rng)
    canvas.box(left, back, right, bottom, shade(wall, 0.95))
    edge = floor.y(1.42)
    canvas.gradient(back + 0.018, edge, shade(water, 1.15), shade(water, 0.88))
    _ripples(canvas, rng, floor, (back + 0.02, edge), water)
    for x in (-2.1, -1.25, -0.4, 0.45, 1.3, 2.15):
        _lane_rope(canvas, floor, x + floor.vanish_x, pick(((226, 60, 52), (240, 200, 50)), rng))
    deck = pick(((214, 204, 186), (188, 196, 200), (206, 178, 150)), rng)
    canvas.gradient(edge, bottom, shade(deck, 0.92), shade(deck, 1.05))
    _paving(canvas, floor, shade(deck, 0.82))
    canvas.box(left, edge, right, edge + 0.022, pick(((40, 90, 150), (240, 240, 240), (200, 70, 60)), rng))
    _springboard(canvas, rng)


def _paving(canvas: Canvas, floor: Floor, joint: Color) -> None:
    for x in np.arange(-1.6, 1.6, 0.16):
        canvas.line([floor.at(float(x), NEAR), floor.at(float(x), 1.4)], 0.004, joint)
    for depth in np.geomspace(0.8, 1.36, 6):
        canvas.line([floor.at(-2.0, float(depth)), floor.at(2.0, float(depth))], 0.004, joint)


def _tiles(canvas: Canvas, wall: Color, top: float, bottom: float) -> None:
    left, _, right, _ = canvas.extent
    for y in np.arange(bottom, top, -0.045):
        canvas.line([(left, float(y)), (right, float(y))], 0.003, (*shade(wall, 0.86)[:3], 150))
    for x in np.arange(left, right, 0.06):
        canvas.line([(float(x), top), (float(x), bottom)], 0.003, (*shade(wall, 0.86)[:3], 150))


def _windows(canvas: Canvas, rng: np.random.Generator, back: float) -> None:
    left, _, right, _ = canvas.extent
    light = pick(((214, 236, 250), (250, 232, 196), (180, 210, 236)), rng)
    for x in np.arange(left + float(rng.uniform(0, 0.2)), right, float(rng.uniform(0.24, 0.34))):
        canvas.box(float(x), back - 0.36, float(x) + 0.17, back - 0.16, (96, 112, 122))
        canvas.box(float(x) + 0.008, back - 0.352, float(x) + 0.162, back - 0.168, light)
        canvas.line([(float(x) + 0.085, back - 0.36), (float(x) + 0.085, back - 0.16)], 0.007, (96, 112, 122))


def _ripples(canvas: Canvas, rng: np.random.Generator, floor: Floor, rows: tuple[float, float], water: Color) -> None:
    left, _, right, _ = canvas.extent
    for _ in range(170):
        y = float(rng.uniform(*rows))
        near = (y - floor.horizon_y) / (GROUND_Y - floor.horizon_y)
        x, width = float(rng.uniform(left, right)), 0.10 * near * float(rng.uniform(0.5, 1.3))
        glint = mix(water, (255, 255, 255), float(rng.uniform(0.25, 0.6)))
        canvas.oval((x, y), width, 0.006 * near, (*glint, 150))


def _lane_rope(canvas: Canvas, floor: Floor, x: float, color: Color) -> None:
    depth, index = 1.46, 0
    while depth < 4.0:
        spot = floor.at(x, depth)
        canvas.oval(spot, 0.020 / depth, 0.013 / depth, color if index % 2 else CHALK)
        depth *= 1.035
        index += 1


def _springboard(canvas: Canvas, rng: np.random.Generator) -> None:
    color = pick(((236, 236, 230), (80, 160, 200), (240, 206, 90)), rng)
    half = float(rng.uniform(0.36, 0.5))
    top, thick = GROUND_Y - 0.035, 0.035
    canvas.soft_oval((0.0, GROUND_Y + 0.115), half * 1.05, 0.03, (10, 20, 30, 120))
    for x in (-half * 0.7, half * 0.7):
        canvas.capsule((x, GROUND_Y), (x, GROUND_Y + 0.11), 0.020, 0.026, (120, 128, 136))
    board = [(-half, top), (half, top), (half + 0.05, GROUND_Y + 0.04), (-half - 0.05, GROUND_Y + 0.04)]
    canvas.polygon(board, color)
    canvas.box(-half - 0.05, GROUND_Y + 0.04, half + 0.05, GROUND_Y + 0.04 + thick, shade(color, 0.62))
    for x in np.arange(-half, half, 0.05):
        canvas.line([(float(x), top + 0.006), (float(x) * 1.1, GROUND_Y + 0.034)], 0.004, (*shade(color, 0.8)[:3], 160))


def gym(canvas: Canvas, rng: np.random.Generator) -> None:
    """A weight room: mirrors, dumbbell rack, rubber floor with mats."""
    left, top, right, bottom = canvas.extent
    floor = _floor(rng, -0.10, 0.02)
    back = floor.y(1.9)
    wall = pick(((206, 206, 200), (92, 104, 124), (190, 120, 86), (120, 140, 110), (226, 214, 180)), rng)
    canvas.gradient(top, back, shade(wall, 0.92), wall)
    stripe = pick(((230, 80, 50), (40, 120, 200), (240, 200, 60), (60, 60, 66)), rng)
    canvas.box(left, back - 0.44, right, back - 0.40, stripe)
    _mirrors(canvas, rng, back, wall)
    rubber = pick(((66, 68, 74), (84, 76, 72), (60, 74, 90)), rng)
    canvas.gradient(back, bottom, shade(rubber, 0.85), shade(rubber, 1.25))
    canvas.box(left, back - 0.025, right, back, shade(wall, 0.55))
    for _ in range(260):
        depth = float(rng.uniform(NEAR, 1.85))
        spot = floor.at(float(rng.uniform(-2, 2)), depth)
        canvas.oval(spot, 0.006 / depth, 0.003 / depth, (*pick(((200, 200, 200), stripe), rng), 160))
    mat = float(rng.uniform(0.45, 0.7))
    floor.quad(canvas, (-mat, mat), (0.86, 1.28), shade(mix(rubber, stripe, 0.45), 0.95))
    _rack(canvas, rng, float(rng.uniform(-0.62, -0.36)), back)
    _rack(canvas, rng, float(rng.uniform(0.34, 0.60)), back)


def _mirrors(canvas: Canvas, rng: np.random.Generator, back: float, wall: Color) -> None:
    left, _, right, _ = canvas.extent
    glass = mix(wall, (190, 210, 220), 0.6)
    width = float(rng.uniform(0.28, 0.4))
    for x in np.arange(left + float(rng.uniform(0, width)), right, width):
        x0, x1 = float(x), float(x) + width - 0.02
        canvas.box(x0, back - 0.36, x1, back - 0.05, shade(glass, 0.72))
        canvas.box(x0 + 0.008, back - 0.352, x1 - 0.008, back - 0.058, glass)
        streak = [
            (x0 + 0.05, back - 0.352),
            (x0 + 0.12, back - 0.352),
            (x0 + 0.07, back - 0.058),
            (x0 + 0.02, back - 0.058),
        ]
        canvas.polygon(streak, (255, 255, 255, 70))


def _rack(canvas: Canvas, rng: np.random.Generator, x: float, back: float) -> None:
    half, foot = 0.19, back + 0.055
    steel = pick(((60, 62, 70), (150, 40, 44), (210, 214, 218)), rng)
    for side in (-half, half):
        canvas.capsule((x + side, foot - 0.28), (x + side, foot), 0.010, 0.012, steel)
    for shelf in (0.06, 0.15, 0.24):
        y = foot - shelf
        canvas.box(x - half, y, x + half, y + 0.014, shade(steel, 0.8))
        for spot in np.arange(x - half + 0.035, x + half - 0.01, 0.062):
            plate = pick(((40, 42, 48), (52, 54, 62), (150, 60, 50)), rng, 6)
            for end in (-0.017, 0.017):
                canvas.round_bone((float(spot) + end, y - 0.016), (float(spot) + end, y - 0.036), 0.012, 0.012, plate)


def lawn(canvas: Canvas, rng: np.random.Generator) -> None:
    """A cricket field: mown stripes, a pale pitch with wickets, boundary boards, pavilion, trees."""
    left, _, right, bottom = canvas.extent
    floor = _floor(rng)
    edge = floor.y(9.0)
    _sky(canvas, rng, edge)
    _trees(canvas, rng, edge - 0.01, float(rng.uniform(0.14, 0.26)))
    _pavilion(canvas, rng, float(rng.uniform(-0.5, 0.5)), edge)
    grass = pick(((84, 148, 62), (104, 160, 72), (70, 130, 70), (140, 158, 76)), rng)
    canvas.gradient(edge, bottom, shade(grass, 0.92), shade(grass, 1.05))
    slant = float(rng.uniform(0.35, 0.6))
    for x in np.arange(-12.0, 12.0, 2 * slant):
        floor.quad(canvas, (float(x), float(x) + slant), (NEAR, 9.0), shade(grass, 1.12))
    _boards(canvas, rng, edge - 0.03, edge + 0.012)
    canvas.line([(left, edge + 0.04), (right, edge + 0.04)], 0.008, CHALK)
    pitch = mix(grass, (214, 190, 132), 0.75)
    middle = float(rng.uniform(-0.15, 0.15))
    floor.quad(canvas, (middle - 0.55, middle + 0.55), (NEAR, 3.4), pitch)
    for depth in (1.16, 2.9):
        floor.quad(canvas, (middle - 0.6, middle + 0.6), (depth, depth * 1.03), CHALK)
    _wicket(canvas, floor, middle + float(rng.choice((-0.62, 0.62))), 1.25)
    _wicket(canvas, floor, middle, 3.0)


def _pavilion(canvas: Canvas, rng: np.random.Generator, x: float, edge: float) -> None:
    wall = pick(((240, 236, 226), (206, 180, 150)), rng)
    roof = pick(((150, 60, 46), (70, 90, 110), (60, 100, 70)), rng)
    canvas.box(x - 0.16, edge - 0.10, x + 0.16, edge, wall)
    canvas.polygon(
        [(x - 0.19, edge - 0.10), (x + 0.19, edge - 0.10), (x + 0.10, edge - 0.17), (x - 0.10, edge - 0.17)], roof
    )
    for window in (-0.11, -0.04, 0.03, 0.10):
        canvas.box(x + window - 0.018, edge - 0.075, x + window + 0.018, edge - 0.035, (70, 90, 110))


def _wicket(canvas: Canvas, floor: Floor, x: float, depth: float) -> None:
    foot_x, foot_y = floor.at(x, depth)
    size = 1 / depth
    canvas.soft_oval((foot_x, foot_y), 0.07 * size, 0.014 * size, (20, 30, 20, 130))
    for offset in (-0.034, 0.0, 0.034):
        stump = foot_x + offset * size
        canvas.round_bone((stump, foot_y - 0.26 * size), (stump, foot_y), 0.010 * size, 0.010 * size, (238, 206, 140))
    canvas.box(
        foot_x - 0.046 * size, foot_y - 0.275 * size, foot_x + 0.046 * size, foot_y - 0.258 * size, (150, 80, 40)
    )


def paint_scene(painter: Painter, rng: np.random.Generator, aspect: float, unit_px: float) -> Image.Image:
    """Paint a place with a margin around the picture.

    Args:
        painter: One of the scenes above.
        rng: Decides colours and layout.
        aspect: Width over height of the picture.
        unit_px: Pixels per picture height.

    Returns:
        An RGB image of (aspect + 2 margins) x (1 + 2 margins) units.
    """
    size = round((aspect + 2 * MARGIN) * unit_px), round((1 + 2 * MARGIN) * unit_px)
    canvas = Canvas(Image.new("RGB", size), unit_px)
    painter(canvas, rng)
    return add_grain(_through_lens(canvas, rng), rng, float(rng.uniform(*GRAIN)), unit_px)


def _through_lens(canvas: Canvas, rng: np.random.Generator) -> Image.Image:
    """Haze, blur and exposure that differ from group to group.

    Block matching answers to contrast: were it typical of a place, motion vectors would give the place away.
    """
    image = canvas.image
    average = image.resize((1, 1), Image.Resampling.BOX).resize(image.size)
    hazy = Image.blend(image, average, float(rng.uniform(*HAZE)))
    blurred = hazy.filter(ImageFilter.BoxBlur(float(rng.uniform(*BLUR)) * canvas.unit_px))
    exposure = float(rng.uniform(0.86, 1.10))
    return blurred.point(lambda value: min(255, value * exposure))
