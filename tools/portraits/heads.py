"""Draws face, hair, hats and glasses in the tilted frame of the head."""

from __future__ import annotations

import numpy as np

from tools.portraits.canvas import Canvas, Colour, mix, oval, smooth
from tools.portraits.figure import EAR, FACE, HAIR, HAT, SPECTACLES, Frame, ears_of, eyes_of
from tools.portraits.spec import COLOURS, HAIR_COLOURS, SKIN_TONES, PortraitSpec

INK: Colour = (30, 24, 34)
LIGHT: Colour = (255, 255, 255)
_FACE = [
    (-0.74, -0.8),
    (0, -1.1),
    (0.74, -0.8),
    (0.84, 0),
    (0.7, 0.62),
    (0.32, 1.04),
    (-0.32, 1.04),
    (-0.7, 0.62),
    (-0.84, 0),
]
_CAP = [
    (-0.88, 0.16),
    (-1.0, -0.4),
    (-0.78, -1.02),
    (0, -1.34),
    (0.78, -1.02),
    (1.0, -0.4),
    (0.88, 0.16),
    (0.72, -0.1),
    (0.62, -0.55),
    (0.2, -0.5),
    (-0.3, -0.66),
    (-0.64, -0.5),
    (-0.72, -0.1),
]


def draw_back_hair(canvas: Canvas, spec: PortraitSpec, head: Frame) -> None:
    """Draw the hair behind neck and shoulders."""
    colour = mix(HAIR_COLOURS[spec.hair_colour], INK, 0.22)
    if spec.hair == "long":
        shape = [
            (-0.8, -1.1),
            (0.8, -1.1),
            (1.2, 0),
            (1.22, 1.2),
            (1.05, 2.15),
            (-1.05, 2.15),
            (-1.22, 1.2),
            (-1.2, 0),
        ]
        canvas.fill(head.place(smooth(shape)), colour, HAIR)
    elif spec.hair == "bob":
        shape = [(-0.8, -1.1), (0.8, -1.1), (1.25, 0), (1.25, 1.12), (-1.25, 1.12), (-1.25, 0)]
        canvas.fill(head.place(smooth(shape)), colour, HAIR)
    elif spec.hair == "curly":
        for t in np.linspace(-0.22 * np.pi, 1.22 * np.pi, 13):
            curl = (np.cos(t) * 0.95, -0.2 - np.sin(t) * 0.92)
            canvas.fill(head.place(oval(curl, (0.4, 0.4))), colour, HAIR)
    elif spec.hair == "bun":
        canvas.fill(head.place(oval((0, -1.36), (0.42, 0.38))), colour, HAIR)
    elif spec.hair == "ponytail":
        side = -1 if spec.turn > 0 else 1
        tail = [
            (side * 0.5, -1.0),
            (side * 1.35, -0.9),
            (side * 1.6, 0.3),
            (side * 1.3, 1.3),
            (side * 1.05, 0.4),
            (side * 0.8, -0.3),
        ]
        canvas.fill(head.place(smooth(tail)), colour, HAIR)


def _front_hair(canvas: Canvas, spec: PortraitSpec, head: Frame) -> None:
    colour = HAIR_COLOURS[spec.hair_colour]
    if spec.hair == "bald":
        return
    canvas.fill(head.place(smooth(_CAP, rounds=2)), colour, HAIR)
    if spec.hair in ("long", "bob"):
        end = 1.5 if spec.hair == "long" else 0.85
        for side in (-1, 1):
            lock = [
                (side * 0.5, -0.9),
                (side * 0.98, -0.6),
                (side * 1.12, 0.4),
                (side * 1.02, end),
                (side * 0.84, end),
                (side * 0.76, 0.3),
                (side * 0.7, -0.3),
            ]
            canvas.fill(head.place(smooth(lock)), colour, HAIR)
    elif spec.hair == "quiff":
        tuft = [
            (-0.75, -0.75),
            (-0.6, -1.35),
            (0.1, -1.62),
            (0.85, -1.45),
            (0.75, -0.85),
            (0.2, -0.68),
        ]
        canvas.fill(head.place(smooth(tuft)), colour, HAIR)
    elif spec.hair == "curly":
        for x, y in ((-0.72, -0.62), (-0.38, -0.86), (0, -0.94), (0.38, -0.86), (0.72, -0.62)):
            canvas.fill(head.place(oval((x, y), (0.27, 0.27))), colour, HAIR)


def _eyes(canvas: Canvas, spec: PortraitSpec, head: Frame) -> None:
    hair = HAIR_COLOURS[spec.hair_colour]
    big = 1.22 if spec.age == "child" else 1.0
    for x, y in eyes_of(spec):
        white, iris = (0.155 * big, 0.115 * big), (0.085 * big, 0.1 * big)
        canvas.fill(head.place(oval((x, y), white)), (252, 252, 252))
        canvas.fill(head.place(oval((x + 0.03 * spec.turn, y), iris)), (54, 40, 40))
        canvas.fill(head.place(oval((x + 0.03, y - 0.035), (0.028, 0.028))), LIGHT)
        arc = [(x - 0.17, y - 0.06), (x, y - 0.15), (x + 0.17, y - 0.06)]
        if spec.person == "woman":
            canvas.line(head.place(smooth(arc, closed=False)), 0.055 * head.unit, INK)
        brow = [(x - 0.19, y - 0.25), (x, y - 0.32), (x + 0.19, y - 0.25)]
        wide = 0.06 if spec.person == "woman" else 0.09
        canvas.line(head.place(smooth(brow, closed=False)), wide * head.unit, mix(hair, INK, 0.45))


def _wrinkles(canvas: Canvas, spec: PortraitSpec, head: Frame) -> None:
    line = mix(SKIN_TONES[spec.skin], (90, 40, 40), 0.3)
    shift = 0.12 * spec.turn
    for y in (-0.52, -0.4):
        brow = [(shift - 0.3, y + 0.03), (shift, y), (shift + 0.3, y + 0.03)]
        canvas.line(head.place(smooth(brow, closed=False)), 0.035 * head.unit, line)
    for side in (-1, 1):
        fold = [(side * 0.22, 0.36), (side * 0.34, 0.5), (side * 0.35, 0.66)]
        place = np.array(fold) + np.array([shift * 1.6, 0])
        canvas.line(head.place(smooth(place, closed=False)), 0.035 * head.unit, line)


def _nose_and_mouth(canvas: Canvas, spec: PortraitSpec, head: Frame) -> None:
    skin = SKIN_TONES[spec.skin]
    line = mix(skin, (130, 40, 40), 0.4)
    shift = 0.22 * spec.turn
    for x in (-0.48, 0.48):
        canvas.fill(
            head.place(oval((x + shift * 0.7, 0.36), (0.15, 0.1))), mix(skin, (236, 96, 96), 0.22)
        )
    nose = [(shift - 0.02, 0.12), (shift + 0.1, 0.34), (shift - 0.06, 0.36)]
    canvas.line(head.place(smooth(nose, closed=False)), 0.05 * head.unit, line)
    if spec.beard:
        beard = [
            (-0.72, 0.2),
            (-0.6, 0.45),
            (0, 0.42),
            (0.6, 0.45),
            (0.72, 0.2),
            (0.7, 0.75),
            (0.3, 1.14),
            (-0.3, 1.14),
            (-0.7, 0.75),
        ]
        canvas.fill(
            head.place(smooth(beard)), mix(HAIR_COLOURS[spec.hair_colour], skin, 0.15), FACE
        )
    lips: Colour = (196, 60, 74) if spec.person == "woman" else mix(line, (150, 50, 50), 0.4)
    curve = 0.14 * spec.smile
    top = [
        (shift - 0.24, 0.62 - curve * 0.5),
        (shift, 0.62 + curve * 0.35),
        (shift + 0.24, 0.62 - curve * 0.5),
    ]
    if spec.smile > 0.55:
        low = [(shift + 0.13, 0.62 + curve * 1.2), (shift - 0.13, 0.62 + curve * 1.2)]
        canvas.fill(head.place(smooth(top + low, rounds=2)), LIGHT)
        canvas.line(
            head.place(smooth(top + low + top[:1], closed=False, rounds=2)), 0.05 * head.unit, lips
        )
    else:
        canvas.line(head.place(smooth(top, closed=False)), 0.075 * head.unit, lips)


def _glasses(canvas: Canvas, spec: PortraitSpec, head: Frame) -> None:
    unit, eyes, ears = head.unit, eyes_of(spec), ears_of(spec)
    dark = spec.glasses == "sunglasses"
    frame: Colour = (34, 30, 36) if spec.glasses != "round" else (120, 66, 30)
    canvas.line(head.place([eyes[0], eyes[1]]), 0.07 * unit, frame, SPECTACLES)
    for eye, ear in zip(eyes, ears, strict=True):
        canvas.line(head.place([eye, (ear[0], ear[1] - 0.12)]), 0.06 * unit, frame, SPECTACLES)
        lens = oval((0, 0), (0.27, 0.25))
        if spec.glasses != "round":
            lens = smooth([(-0.3, -0.22), (0.3, -0.22), (0.27, 0.24), (-0.27, 0.24)], rounds=1)
        rim = head.place(lens * 1.16 + eye)
        canvas.fill(rim, frame, SPECTACLES)
        glass = (58, 54, 66) if dark else mix(SKIN_TONES[spec.skin], (222, 242, 255), 0.5)
        canvas.fill(head.place(lens * 0.92 + eye), glass, SPECTACLES)


def _beanie(canvas: Canvas, colour: Colour, head: Frame, _turn: float) -> None:
    dome = [
        (-1.04, -0.45),
        (-0.98, -1.15),
        (-0.4, -1.62),
        (0.4, -1.62),
        (0.98, -1.15),
        (1.04, -0.45),
    ]
    canvas.fill(head.place(oval((0, -1.55), (0.24, 0.24))), mix(colour, LIGHT, 0.6), HAT)
    canvas.fill(head.place(smooth(dome, rounds=2)), colour, HAT)
    band = smooth([(-1.08, -0.72), (1.08, -0.72), (1.08, -0.36), (-1.08, -0.36)], rounds=2)
    canvas.fill(head.place(band), mix(colour, INK, 0.22), HAT)


def _cap(canvas: Canvas, colour: Colour, head: Frame, turn: float) -> None:
    side = 1 if turn >= 0 else -1
    dome = [(-1.02, -0.5), (-0.96, -1.15), (-0.35, -1.5), (0.35, -1.5), (0.96, -1.15), (1.02, -0.5)]
    canvas.fill(head.place(smooth(dome, rounds=2)), colour, HAT)
    visor = [
        (-0.85 * side, -0.62),
        (0.9 * side, -0.66),
        (1.65 * side, -0.42),
        (0.8 * side, -0.38),
        (-0.7 * side, -0.44),
    ]
    canvas.fill(head.place(smooth(visor, rounds=2)), mix(colour, INK, 0.28), HAT)
    canvas.fill(head.place(oval((0, -1.42), (0.09, 0.07))), mix(colour, INK, 0.28), HAT)


def _sun_hat(canvas: Canvas, colour: Colour, head: Frame, _turn: float) -> None:
    canvas.fill(head.place(oval((0, -0.55), (1.65, 0.3))), mix(colour, INK, 0.15), HAT)
    dome = [(-0.92, -0.55), (-0.8, -1.45), (0.8, -1.45), (0.92, -0.55)]
    canvas.fill(head.place(smooth(dome, rounds=2)), colour, HAT)
    band = [(-0.84, -0.72), (0.84, -0.72), (0.82, -0.9), (-0.82, -0.9)]
    canvas.fill(head.place(band), mix(colour, INK, 0.5), HAT)


def _top_hat(canvas: Canvas, colour: Colour, head: Frame, _turn: float) -> None:
    canvas.fill(head.place(oval((0, -0.58), (1.22, 0.2))), mix(colour, INK, 0.18), HAT)
    canvas.fill(head.place([(-0.78, -0.6), (-0.84, -1.8), (0.84, -1.8), (0.78, -0.6)]), colour, HAT)
    canvas.fill(head.place(oval((0, -1.8), (0.84, 0.1))), mix(colour, LIGHT, 0.15), HAT)
    canvas.fill(
        head.place([(-0.79, -0.68), (0.79, -0.68), (0.8, -0.95), (-0.8, -0.95)]),
        mix(colour, INK, 0.5),
        HAT,
    )


_HATS = {"beanie": _beanie, "cap": _cap, "sun hat": _sun_hat, "top hat": _top_hat}


def draw_head(canvas: Canvas, spec: PortraitSpec, head: Frame) -> None:
    """Draw ears, face, front hair, glasses and hat over body and back hair."""
    skin = SKIN_TONES[spec.skin]
    for k, ear in enumerate(ears_of(spec)):
        if abs(spec.turn) <= 0.45 or (k == 1) != (spec.turn > 0):
            canvas.fill(head.place(oval(ear, (0.16, 0.23))), mix(skin, (200, 90, 80), 0.18), EAR)
    canvas.fill(head.place(smooth(_FACE)), skin, FACE)
    if spec.age == "old":
        _wrinkles(canvas, spec, head)
    if spec.glasses in ("round", "square"):
        _glasses(canvas, spec, head)
    _eyes(canvas, spec, head)
    if spec.glasses == "sunglasses":
        _glasses(canvas, spec, head)
    _nose_and_mouth(canvas, spec, head)
    _front_hair(canvas, spec, head)
    if spec.hat != "none":
        _HATS[spec.hat](canvas, COLOURS[spec.hat_colour], head, spec.turn)
