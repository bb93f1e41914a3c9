"""Eight flat backgrounds; every public function draws one on an empty canvas."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tools.portraits.canvas import Canvas, Colour, Points, mix, oval, smooth
from tools.portraits.things import Thing

WHITE: Colour = (255, 255, 255)


def _ridge(canvas: Canvas, rng: np.random.Generator, base: float, rise: float) -> Points:
    """A hilly outline closed along the bottom; `base` and `rise` in fractions of the height."""
    x = np.linspace(-0.1, 1.1, 8) * canvas.width
    y = (base - rise * rng.random(8)) * canvas.height
    top = smooth(np.stack([x, y], axis=1), closed=False)
    w, h = canvas.width, canvas.height
    return np.concatenate([top, [(w * 1.1, h + 2), (-w * 0.1, h + 2)]])


def _wedge(canvas: Canvas, apex: tuple[float, float], half: float, colour: Colour) -> None:
    """An upright triangle `half` as wide as its apex is high above its foot, twice as tall."""
    x, y = apex
    canvas.fill(np.array([(x, y), (x + half, y + half * 1.7), (x - half, y + half * 1.7)]), colour)


def _fir(
    canvas: Canvas, foot: tuple[float, float], tall: float, colours: tuple[Colour, Colour]
) -> None:
    """A fir of three tiers, each with a second colour (light or snow) on its tip."""
    x, y = foot
    canvas.thing = Thing.TREE
    trunk = mix((90, 62, 44), colours[0], 0.2)
    canvas.box(x - tall * 0.05, y - tall * 0.2, x + tall * 0.05, y, trunk)
    for tier in range(3):
        half = tall * (0.3 - 0.06 * tier)
        apex = y - tall * (0.62 + 0.19 * tier)
        _wedge(canvas, (x, apex), half, colours[0])
        _wedge(canvas, (x, apex), half * 0.45, colours[1])


def space(canvas: Canvas, rng: np.random.Generator) -> None:
    """A starry sky with a ringed planet and a moon."""
    w, h, s = canvas.width, canvas.height, min(canvas.width, canvas.height)
    canvas.sky((10, 10, 38), (52, 24, 92))
    for _ in range(70):
        r = s * rng.choice([0.003, 0.004, 0.008])
        canvas.fill(
            oval((rng.random() * w, rng.random() * h), (r, r)),
            mix(WHITE, (255, 220, 150), rng.random()),
        )
    side = rng.choice([-1, 1])
    x = w * (0.5 + side * rng.uniform(0.3, 0.42))
    y = h * rng.uniform(0.12, 0.3)
    r = s * rng.uniform(0.1, 0.15)
    planet = [(232, 128, 72), (222, 92, 120), (90, 170, 200)][rng.integers(3)]
    canvas.fill(oval((x, y), (r, r)), planet)
    canvas.fill(oval((x, y + r * 0.25), (r * 0.95, r * 0.14)), mix(planet, WHITE, 0.3))
    t = np.linspace(-0.15 * np.pi, 1.15 * np.pi, 30)
    ring = np.stack(
        [x + np.cos(t) * r * 1.7, y + np.sin(t) * r * 0.42 - np.cos(t) * r * 0.3], axis=1
    )
    canvas.line(ring, r * 0.13, (240, 214, 168))
    mx = w * (0.5 - side * rng.uniform(0.3, 0.44))
    my = h * rng.uniform(0.2, 0.5)
    mr = s * rng.uniform(0.05, 0.07)
    canvas.fill(oval((mx, my), (mr, mr)), (206, 208, 222))
    for dx, dy, k in ((-0.3, -0.2, 0.25), (0.35, 0.3, 0.2), (0.1, -0.5, 0.15)):
        canvas.fill(oval((mx + dx * mr, my + dy * mr), (k * mr, k * mr)), (170, 172, 190))


def _flower(canvas: Canvas, centre: tuple[float, float], r: float, colour: Colour) -> None:
    turns = np.arange(5) * 2 * np.pi / 5
    for t in turns:
        petal = (centre[0] + np.sin(t) * r * 0.6, centre[1] - np.cos(t) * r * 0.6)
        canvas.fill(oval(petal, (r * 0.48, r * 0.48)), colour)
    canvas.fill(oval(centre, (r * 0.35, r * 0.35)), (252, 214, 70))


def garden(canvas: Canvas, rng: np.random.Generator) -> None:
    """A lawn with a hedge, a blossoming tree and flowers."""
    w, h, s = canvas.width, canvas.height, min(canvas.width, canvas.height)
    canvas.sky((150, 214, 244), (226, 244, 240))
    canvas.thing = Thing.PLANT
    hedge = h * rng.uniform(0.44, 0.5)
    for x in np.arange(-0.05, 1.1, 0.13):
        canvas.fill(
            oval((x * w, hedge + s * 0.05), (s * 0.11, s * rng.uniform(0.11, 0.15))), (70, 142, 70)
        )
    canvas.thing = Thing.GRASS
    canvas.box(0, hedge + s * 0.05, w, h, (134, 198, 86))
    side = rng.choice([-1, 1])
    x = w * (0.5 + side * 0.38)
    canvas.thing = Thing.TREE
    canvas.box(x - s * 0.025, h * 0.25, x + s * 0.025, hedge + s * 0.12, (122, 84, 60))
    for _ in range(9):
        leaf = (x + rng.normal(0, 0.08) * s, h * 0.2 + rng.normal(0, 0.06) * s)
        canvas.fill(
            oval(leaf, (s * 0.08, s * 0.07)), mix((248, 178, 204), (255, 214, 226), rng.random())
        )
    canvas.thing = Thing.FLOWER
    colours = ((228, 60, 84), (250, 160, 60), (240, 120, 190), WHITE, (150, 96, 210))
    for k in range(26):
        y = hedge + s * 0.08 + (h - hedge) * (k / 26)
        _flower(
            canvas, (rng.random() * w, y), s * (0.018 + 0.02 * k / 26), colours[rng.integers(5)]
        )


def _palm(canvas: Canvas, foot: tuple[float, float], tall: float, lean: float) -> None:
    x, y = foot
    canvas.thing = Thing.PALM
    top = (x + lean * tall, y - tall)
    canvas.line(
        smooth([foot, (x + lean * tall * 0.2, y - tall * 0.5), top], closed=False),
        tall * 0.07,
        (150, 106, 66),
    )
    for angle in np.deg2rad([-165, -130, -60, -15, 20, 160]):
        tip = (
            top[0] + np.cos(angle) * tall * 0.5,
            top[1] + np.sin(angle) * tall * 0.4 + tall * 0.12,
        )
        middle = ((top[0] + tip[0]) / 2, (top[1] + tip[1]) / 2 - tall * 0.16)
        under = (middle[0], middle[1] + tall * 0.13)
        canvas.fill(smooth([top, middle, tip, under]), (46, 140, 82))


def beach(canvas: Canvas, rng: np.random.Generator) -> None:
    """Sun, sea, sand and a palm."""
    w, h, s = canvas.width, canvas.height, min(canvas.width, canvas.height)
    canvas.sky((104, 196, 240), (214, 240, 246))
    side = rng.choice([-1, 1])
    sun = (w * (0.5 - side * rng.uniform(0.28, 0.4)), h * rng.uniform(0.1, 0.2))
    canvas.fill(oval(sun, (s * 0.1, s * 0.1)), (255, 236, 150))
    canvas.fill(oval(sun, (s * 0.075, s * 0.075)), (255, 214, 72))
    canvas.thing = Thing.SEA
    sea = h * rng.uniform(0.4, 0.46)
    canvas.box(0, sea, w, h, (32, 134, 196))
    for k in range(3):
        y = sea + s * (0.045 + 0.05 * k)
        canvas.box(0, y, w, y + s * 0.012, mix((32, 134, 196), WHITE, 0.4))
    shore = sea + s * 0.2
    wave = (
        [(-0.1 * w, h * 1.1)]
        + [(k * w / 5, shore + s * 0.03 * (k % 2)) for k in range(-1, 7)]
        + [(1.1 * w, h * 1.1)]
    )
    foam = smooth(wave)
    canvas.fill(foam, WHITE)
    canvas.thing = Thing.SAND
    canvas.fill(foam + np.array([0, s * 0.025]), (244, 216, 154))
    canvas.box(0, shore + s * 0.12, w, h, (244, 216, 154))
    _palm(
        canvas,
        (w * (0.5 + side * 0.42), shore + s * 0.12),
        s * rng.uniform(0.5, 0.58),
        -side * 0.12,
    )


def forest(canvas: Canvas, rng: np.random.Generator) -> None:
    """Tall trunks at three depths under a roof of leaves."""
    w, h, s = canvas.width, canvas.height, min(canvas.width, canvas.height)
    canvas.thing = Thing.TREE
    canvas.sky((178, 214, 150), (118, 170, 104))
    for depth, colour in enumerate([(112, 140, 90), (92, 92, 60), (84, 58, 40)]):
        canvas.thing = Thing.TREE
        count = (8, 5, 4)[depth]
        for k in range(count):
            x = w * (k + rng.uniform(0.1, 0.9)) / count
            half = s * (0.014 + 0.013 * depth)
            trunk = [
                (x - half, 0),
                (x + half, 0),
                (x + half * 1.5, h * (0.68 + 0.06 * depth)),
                (x - half * 1.5, h * (0.68 + 0.06 * depth)),
            ]
            canvas.fill(np.array(trunk, dtype=np.float64), colour)
        canvas.thing = Thing.GRASS
        ground = _ridge(canvas, rng, 0.66 + 0.08 * depth, 0.05)
        canvas.fill(ground, [(98, 146, 76), (70, 120, 62), (44, 92, 52)][depth])
    canvas.thing = Thing.TREE
    for k in range(16):
        leaf = (w * (k + rng.random()) / 16, h * rng.uniform(-0.02, 0.07))
        canvas.fill(
            oval(leaf, (s * 0.1, s * rng.uniform(0.06, 0.1))),
            mix((36, 92, 52), (72, 140, 66), rng.random()),
        )


def _tower(
    canvas: Canvas, left: float, wide: float, top: float, colours: tuple[Colour, Colour]
) -> None:
    canvas.box(left, top, left + wide, canvas.height, colours[0])
    step = min(canvas.width, canvas.height) * 0.05
    columns = max(2, int(wide / step))
    pitch = wide / columns
    for y in np.arange(top + step * 0.6, canvas.height, step * 1.2):
        for k in range(columns):
            x = left + pitch * (k + 0.25)
            canvas.box(x, y, x + pitch * 0.5, y + step * 0.6, colours[1])


def city(canvas: Canvas, rng: np.random.Generator) -> None:
    """Towers with lit windows at dusk."""
    w, h, s = canvas.width, canvas.height, min(canvas.width, canvas.height)
    canvas.sky((84, 84, 150), (250, 178, 140))
    canvas.thing = Thing.SKYSCRAPER
    for depth in range(2):
        x = -s * 0.05
        while x < w:
            wide = s * rng.uniform(0.13, 0.2)
            top = h * (rng.uniform(0.06, 0.3) if depth == 0 else rng.uniform(0.34, 0.52))
            wall: Colour = ((118, 112, 160), (58, 60, 98))[depth]
            lit: Colour = ((176, 164, 190), (255, 214, 120))[depth]
            _tower(canvas, x, wide, top, (mix(wall, (40, 40, 80), rng.uniform(0, 0.25)), lit))
            x += wide + s * 0.015


def mountains(canvas: Canvas, rng: np.random.Generator) -> None:
    """Snow-capped peaks over a green valley."""
    w, h, s = canvas.width, canvas.height, min(canvas.width, canvas.height)
    canvas.sky((86, 156, 226), (206, 228, 244))
    canvas.thing = Thing.MOUNTAIN
    for depth, rock in enumerate([(142, 152, 186), (100, 108, 148)]):
        for k in range(3):
            x = w * (k + rng.uniform(0.2, 0.8)) / 3 + (depth - 0.5) * s * 0.14
            top, half = h * (rng.uniform(0.1, 0.22) + 0.14 * depth), s * rng.uniform(0.3, 0.38)
            foot = top + half * 1.7
            canvas.fill(np.array([(x, top), (x + half, foot), (x - half, foot)]), rock)
            canvas.fill(
                np.array([(x, top), (x + half, foot), (x + half * 0.2, foot)]),
                mix(rock, (40, 44, 90), 0.25),
            )
            snow = [(0, 0), (0.3, 0.51), (0.12, 0.42), (0, 0.6), (-0.12, 0.42), (-0.3, 0.51)]
            canvas.fill(np.array(snow) * half + np.array([x, top]), (248, 250, 255))
    canvas.thing = Thing.GRASS
    for depth, grass in enumerate([(106, 160, 96), (74, 134, 80)]):
        canvas.fill(_ridge(canvas, rng, 0.68 + 0.12 * depth, 0.06), grass)


def snow(canvas: Canvas, rng: np.random.Generator) -> None:
    """White hills, snowy firs and falling flakes."""
    w, h, s = canvas.width, canvas.height, min(canvas.width, canvas.height)
    canvas.sky((158, 184, 212), (220, 230, 240))
    canvas.thing = Thing.HILL
    canvas.fill(_ridge(canvas, rng, 0.56, 0.06), (226, 234, 244))
    for x in (
        rng.uniform(0.04, 0.14),
        rng.uniform(0.2, 0.3),
        rng.uniform(0.72, 0.8),
        rng.uniform(0.88, 0.96),
    ):
        _fir(
            canvas,
            (w * x, h * rng.uniform(0.58, 0.66)),
            s * rng.uniform(0.34, 0.46),
            ((58, 110, 104), (244, 248, 252)),
        )
    canvas.thing = Thing.HILL
    canvas.fill(_ridge(canvas, rng, 0.7, 0.05), (244, 247, 252))
    canvas.thing = None
    for _ in range(60):
        r = s * rng.uniform(0.006, 0.012)
        canvas.fill(oval((rng.random() * w, rng.random() * h), (r, r)), WHITE)


def library(canvas: Canvas, rng: np.random.Generator) -> None:
    """Shelves full of books."""
    w, h, s = canvas.width, canvas.height, min(canvas.width, canvas.height)
    canvas.thing = Thing.BOOKCASE
    canvas.sky((74, 44, 30), (74, 44, 30))
    spines: tuple[Colour, ...] = (
        (166, 58, 48),
        (206, 150, 70),
        (62, 104, 96),
        (60, 72, 120),
        (216, 196, 160),
        (124, 72, 96),
    )
    shelf = s * 0.2
    for bottom in np.arange(shelf * rng.uniform(0.5, 1), h + shelf, shelf):
        x = 0.0
        while x < w:
            wide, tall = s * rng.uniform(0.028, 0.05), shelf * rng.uniform(0.6, 0.82)
            spine = spines[rng.integers(len(spines))]
            canvas.box(x, bottom - tall, x + wide, bottom, spine)
            canvas.box(
                x,
                bottom - tall * 0.75,
                x + wide,
                bottom - tall * 0.65,
                mix(spine, (255, 230, 170), 0.5),
            )
            x += wide + s * 0.004
        canvas.box(0, bottom, w, bottom + s * 0.022, (132, 84, 52))
    for x in (0.0, w * rng.uniform(0.42, 0.58), w - s * 0.03):
        canvas.box(x, 0, x + s * 0.03, h, (120, 74, 46))


SCENE_DRAWERS: dict[str, Callable[[Canvas, np.random.Generator], None]] = {
    "space": space,
    "garden": garden,
    "beach": beach,
    "forest": forest,
    "city": city,
    "mountains": mountains,
    "snow": snow,
    "library": library,
}


def draw_scene(canvas: Canvas, scene: str, seed: int) -> None:
    """Draw the named backdrop; raises KeyError for an unknown name."""
    SCENE_DRAWERS[scene](canvas, np.random.default_rng(seed))
