"""Draws neck, arms and six kinds of clothes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tools.portraits.canvas import Canvas, Colour, Points, mix, oval, smooth
from tools.portraits.figure import CLOTH, LIMB, NECK, Figure
from tools.portraits.spec import COLOURS, SKIN_TONES, PortraitSpec

INK: Colour = (24, 22, 44)
LIGHT: Colour = (255, 255, 255)


def shade(colour: Colour) -> Colour:
    """A tone with contrast to `colour`: darker, or lighter if it is nearly black."""
    return mix(colour, LIGHT, 0.22) if sum(colour) < 200 else mix(colour, INK, 0.25)


def _torso(spec: PortraitSpec, figure: Figure, wide: float) -> Points:
    b = spec.build * wide
    bottom = 9.0
    right = [
        (0.4, -0.06),
        (1.2 * b, 0.12),
        (1.6 * b, 0.4),
        (1.55 * b, 0.95),
        (1.22 * b, 1.5),
        (1.1 * b, 2.6),
        (1.3 * b, bottom),
    ]
    left = [(-x, y) for x, y in reversed(right)]
    return figure.body.place(smooth(right + left))


def _neck(canvas: Canvas, spec: PortraitSpec, figure: Figure) -> None:
    skin = SKIN_TONES[spec.skin]
    line = np.stack([figure.head.at(0, 0.7), figure.body.at(0, 0.05)])
    canvas.line(line, 0.66 * figure.body.unit, mix(skin, INK, 0.14), NECK)


def _neckline(
    canvas: Canvas, spec: PortraitSpec, figure: Figure, axes: tuple[float, float]
) -> None:
    skin = SKIN_TONES[spec.skin]
    canvas.fill(figure.body.place(oval((0, 0), axes)), mix(skin, INK, 0.05), NECK)


def _t_shirt(canvas: Canvas, spec: PortraitSpec, figure: Figure) -> None:
    edge = shade(COLOURS[spec.clothes_colour])
    canvas.fill(figure.body.place(oval((0, 0), (0.58, 0.5))), edge, CLOTH)
    _neckline(canvas, spec, figure, (0.5, 0.41))
    _neck(canvas, spec, figure)


def _suit(canvas: Canvas, spec: PortraitSpec, figure: Figure) -> None:
    colour = COLOURS[spec.clothes_colour]
    place = figure.body.place
    shirt: Colour = (250, 250, 250) if spec.clothes_colour != "white" else (120, 150, 190)
    canvas.fill(
        place([(-0.5, -0.1), (0.5, -0.1), (0.36, 0.8), (0, 1.9), (-0.36, 0.8)]), shirt, CLOTH
    )
    _neck(canvas, spec, figure)
    tie = (
        COLOURS["red"] if spec.clothes_colour not in ("red", "pink", "orange") else COLOURS["black"]
    )
    canvas.fill(place([(-0.12, 0.2), (0.12, 0.2), (0.17, 1.1), (0, 1.6), (-0.17, 1.1)]), tie, CLOTH)
    for side in (-1, 1):
        collar = [(side * 0.42, -0.22), (side * 0.02, 0.25), (side * 0.34, 0.5), (side * 0.56, 0)]
        canvas.fill(place(collar), mix(shirt, INK, 0.08), CLOTH)
        lapel = [
            (side * 0.46, -0.12),
            (side * 0.95, 0.5),
            (side * 0.72, 0.85),
            (0, 2.05),
            (side * 0.3, 0.9),
        ]
        canvas.fill(place(lapel), shade(colour), CLOTH)
    canvas.line(place([(0, 2.05), (0, 9)]), 0.05 * figure.body.unit, shade(colour), CLOTH)


def _dress(canvas: Canvas, spec: PortraitSpec, figure: Figure) -> None:
    colour = COLOURS[spec.clothes_colour]
    skin = mix(SKIN_TONES[spec.skin], INK, 0.05)
    b = spec.build
    bare = [
        (-1.3 * b, -0.1),
        (1.3 * b, -0.1),
        (1.7 * b, 0.5),
        (1.35 * b, 0.85),
        (0.45, 0.85),
        (0, 1.15),
        (-0.45, 0.85),
        (-1.35 * b, 0.85),
        (-1.7 * b, 0.5),
    ]
    inside = figure.body.place(smooth(bare, rounds=1))
    canvas.fill(inside, skin, NECK)
    canvas.fill(_torso(spec, figure, 0.99) * 1.0, skin, NECK)
    bodice = [
        (-1.12 * b, 0.75),
        (-0.5, 0.7),
        (0, 1.05),
        (0.5, 0.7),
        (1.12 * b, 0.75),
        (1.18 * b, 1.5),
        (0.98 * b, 2.5),
        (1.5 * b, 9),
        (-1.5 * b, 9),
        (-0.98 * b, 2.5),
        (-1.18 * b, 1.5),
    ]
    canvas.fill(figure.body.place(smooth(bodice, rounds=2)), colour, CLOTH)
    for side in (-1, 1):
        canvas.line(
            figure.body.place([(side * 0.75, 0.1), (side * 0.8, 0.95)]),
            0.17 * figure.body.unit,
            colour,
            CLOTH,
        )
    canvas.line(
        figure.body.place([(-b, 2.4), (b, 2.4)]), 0.2 * figure.body.unit, shade(colour), CLOTH
    )
    _neck(canvas, spec, figure)


def _hoodie(canvas: Canvas, spec: PortraitSpec, figure: Figure) -> None:
    colour = COLOURS[spec.clothes_colour]
    place, unit = figure.body.place, figure.body.unit
    canvas.fill(
        place(
            smooth(
                [(-0.75, -0.62), (0.75, -0.62), (1.1, 0.1), (0.5, 0.75), (-0.5, 0.75), (-1.1, 0.1)]
            )
        ),
        shade(colour),
        CLOTH,
    )
    _neckline(canvas, spec, figure, (0.42, 0.36))
    _neck(canvas, spec, figure)
    for side in (-1, 1):
        canvas.line(
            place([(side * 0.28, 0.5), (side * 0.32, 1.35)]),
            0.07 * unit,
            mix(colour, LIGHT, 0.75),
            CLOTH,
        )
    pocket = [(-0.7, 2.2), (0.7, 2.2), (0.95, 3.3), (-0.95, 3.3)]
    canvas.fill(place(pocket), shade(colour), CLOTH)


def _spacesuit(canvas: Canvas, spec: PortraitSpec, figure: Figure) -> None:
    colour = COLOURS[spec.clothes_colour]
    place, unit = figure.body.place, figure.body.unit
    metal: Colour = (186, 190, 202)
    canvas.fill(place(oval((0, 0), (0.98, 0.46))), mix(metal, INK, 0.35), CLOTH)
    canvas.fill(place(oval((0, -0.05), (0.86, 0.34))), mix(colour, INK, 0.55), CLOTH)
    _neck(canvas, spec, figure)
    rim = np.linspace(-0.1 * np.pi, 1.1 * np.pi, 24)
    canvas.line(
        place(np.stack([np.cos(rim) * 0.92, np.sin(rim) * 0.42], axis=1)), 0.17 * unit, metal, CLOTH
    )
    for side in (-1, 1):
        canvas.line(
            place([(side * 1.15, 0.45), (side * 0.8, 1.5), (side * 0.8, 9)]),
            0.13 * unit,
            shade(colour),
            CLOTH,
        )
    canvas.fill(place([(-0.5, 1.0), (0.5, 1.0), (0.5, 1.8), (-0.5, 1.8)]), metal, CLOTH)
    for x, light in ((-0.28, "red"), (0.0, "yellow"), (0.28, "green")):
        canvas.fill(place(oval((x, 1.25), (0.1, 0.1))), COLOURS[light], CLOTH)
    canvas.fill(
        place([(-0.38, 1.5), (0.38, 1.5), (0.38, 1.64), (-0.38, 1.64)]), (70, 80, 110), CLOTH
    )


def _sweater(canvas: Canvas, spec: PortraitSpec, figure: Figure) -> None:
    colour = COLOURS[spec.clothes_colour]
    place, unit = figure.body.place, figure.body.unit
    _neck(canvas, spec, figure)
    canvas.line(place([(-0.3, -0.08), (0.3, -0.08)]), 0.4 * unit, shade(colour), CLOTH)
    zigzag = np.array(
        [(x, 1.25 + 0.16 * (k % 2)) for k, x in enumerate(np.linspace(-1.15, 1.15, 11))]
    )
    for drop in (0.0, 0.34):
        canvas.line(place(zigzag + np.array([0, drop])), 0.1 * unit, mix(colour, LIGHT, 0.6), CLOTH)


_CLOTHES: dict[str, Callable[[Canvas, PortraitSpec, Figure], None]] = {
    "t-shirt": _t_shirt,
    "suit": _suit,
    "dress": _dress,
    "hoodie": _hoodie,
    "spacesuit": _spacesuit,
    "sweater": _sweater,
}
_SLEEVES = {"t-shirt": (0.62, 0.6), "dress": (0.0, 0.0), "spacesuit": (2.0, 0.78)}
"""Per kind of clothes: how far the sleeve reaches (1 elbow, 2 wrist) and how thick it is."""


def _draw_arm(canvas: Canvas, spec: PortraitSpec, figure: Figure, arm: Points) -> None:
    unit, skin = figure.body.unit, SKIN_TONES[spec.skin]
    colour = COLOURS[spec.clothes_colour]
    reach, thick = _SLEEVES.get(spec.clothes, (2.0, 0.62))
    canvas.line(arm, 0.5 * unit, mix(skin, INK, 0.22), LIMB)
    canvas.line(arm, 0.44 * unit, skin, LIMB)
    canvas.fill(oval(arm[2] + (arm[2] - arm[1]) * 0.1, (0.29 * unit, 0.29 * unit)), skin, LIMB)
    if reach == 0:
        return
    sleeve = arm if reach == 2 else np.stack([arm[0], arm[0] + (arm[1] - arm[0]) * reach])
    sleeve = sleeve.copy()
    sleeve[-1] -= (sleeve[-1] - sleeve[-2]) * 0.12
    canvas.line(sleeve, (thick + 0.08) * unit, shade(colour), CLOTH)
    canvas.line(sleeve, thick * unit, colour, CLOTH)


def _pattern(canvas: Canvas, spec: PortraitSpec, figure: Figure) -> NDArray[np.bool_]:
    """Where the pattern of the cloth is on, at the canvas's own resolution."""
    a = np.deg2rad(figure.body.degrees)
    x, y = np.moveaxis((canvas.grid() - figure.body.origin) / figure.body.unit, -1, 0)
    across, down = np.cos(a) * x + np.sin(a) * y, np.cos(a) * y - np.sin(a) * x
    if spec.pattern == "stripes":
        return np.asarray(down % 0.5 < 0.2)
    if spec.pattern == "checks":
        return np.asarray((across % 0.6 < 0.3) ^ (down % 0.6 < 0.3))
    shifted = across + 0.25 * (np.floor(down / 0.5) % 2)
    return np.asarray((shifted % 0.5 - 0.25) ** 2 + (down % 0.5 - 0.25) ** 2 < 0.12**2)


def draw_body(canvas: Canvas, spec: PortraitSpec, figure: Figure) -> None:
    """Draw torso, neck and arms; the head is drawn over them."""
    wide = 1.1 if spec.clothes == "spacesuit" else 1.0
    canvas.fill(_torso(spec, figure, wide), COLOURS[spec.clothes_colour], CLOTH)
    if spec.pattern != "plain":
        colour = COLOURS[spec.clothes_colour]
        canvas.weave(CLOTH, _pattern(canvas, spec, figure), mix(shade(colour), LIGHT, 0.3))
    _CLOTHES[spec.clothes](canvas, spec, figure)
    for arm in figure.arms:
        _draw_arm(canvas, spec, figure, arm)
