"""Joints of a drawn person, and the numbers of the part map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tools.portraits.canvas import Points
from tools.portraits.spec import PortraitSpec, people_of

BACKDROP, FACE, NECK, EAR, HAIR, CLOTH, HAT, SPECTACLES, LIMB = range(9)
COMPANION = 16
"""What is added to the part numbers of the second person."""

WORDS: dict[str, tuple[int, ...]] = {
    "foreground": (FACE, NECK, EAR, HAIR, CLOTH, HAT, SPECTACLES, LIMB),
    "person": (FACE, NECK, EAR, HAIR, CLOTH, HAT, SPECTACLES, LIMB),
    "head": (FACE, EAR, HAIR, HAT, SPECTACLES),
    "face": (FACE, SPECTACLES),
    "hair": (HAIR,),
    "clothes": (CLOTH,),
    "hat": (HAT,),
    "glasses": (SPECTACLES,),
    "skin": (FACE, NECK, EAR, LIMB),
    "background": (BACKDROP,),
}
"""The parts each word covers; `head` takes in hair and hat but not the neck."""


def rotate(points: NDArray[np.float64], degrees: float) -> Points:
    """Turn points (n, 2) clockwise as seen in the picture, about the origin."""
    a = np.deg2rad(degrees)
    turn = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
    return np.asarray(points @ turn, dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A tilted coordinate system: an origin in pixels, a unit in pixels, an angle."""

    origin: Points
    unit: float
    degrees: float

    def place(self, points: Sequence[Sequence[float]] | Points) -> Points:
        """Local points (n, 2) to pixels."""
        local = np.asarray(points, dtype=np.float64).reshape(-1, 2)
        return rotate(local * self.unit, self.degrees) + self.origin

    def at(self, x: float, y: float) -> Points:
        """One local point to pixels, (2,)."""
        return np.asarray(self.place([(x, y)])[0])


@dataclass(frozen=True, kw_only=True)
class Figure:
    """The joints of one person in pixels; rows of `arms` are shoulder, elbow, wrist.

    `head` has its origin at the middle of the face and its unit is half the head's height;
    `body` has its origin where the neck meets the shoulders and the same unit.
    """

    head: Frame
    body: Frame
    arms: tuple[Points, Points]
    hips: Points


def figure_of(spec: PortraitSpec, size: tuple[int, int]) -> Figure:
    """Place the joints of `spec` in a picture of `size` = (width, height)."""
    width, height = size
    unit = spec.head_size * min(size) / 2
    centre = np.array([spec.head_x * width, spec.head_y * height])
    head = Frame(origin=centre, unit=unit, degrees=spec.tilt)
    base = centre + rotate(np.array([[spec.lean * unit, spec.neck * unit]]), spec.tilt)[0]
    body = Frame(origin=base, unit=unit, degrees=spec.shoulder_slope)
    arms = []
    for side, (upper, fore) in zip((-1, 1), spec.arms, strict=True):
        shoulder = body.at(side * 1.42 * spec.build, 0.42)
        elbow = shoulder + 1.75 * unit * _down(upper, side)
        wrist = elbow + 1.5 * unit * _down(fore, side)
        arms.append(np.stack([shoulder, elbow, wrist]))
    hips = body.place([(-0.85, 3.7), (0.85, 3.7)])
    return Figure(head=head, body=body, arms=(arms[0], arms[1]), hips=hips)


def _down(degrees: float, side: int) -> Points:
    a = np.deg2rad(degrees)
    return np.array([side * np.sin(a), np.cos(a)])


def eyes_of(spec: PortraitSpec) -> Points:
    """The eyes in the head's frame, (2, 2): the picture's left one first."""
    shift = 0.2 * spec.turn
    return np.array([(shift - 0.31, 0.04), (shift + 0.31, 0.04)])


def ears_of(spec: PortraitSpec) -> Points:
    """The ears in the head's frame, (2, 2): the picture's left one first."""
    shift = -0.06 * spec.turn
    return np.array([(shift - 0.78, 0.12), (shift + 0.78, 0.12)])


def keypoints_of(spec: PortraitSpec, size: tuple[int, int]) -> NDArray[np.float32]:
    """COCO-17 key points (17, 3) of the main person: x, y in pixels and 1 where visible, else 0.

    The person's left is the picture's right. The far ear of a turned head and points outside the
    picture are invisible; an ear under hair counts as visible, as in COCO.
    """
    spec = people_of(spec)[0]
    figure = figure_of(spec, size)
    points = np.zeros((17, 3), np.float32)
    points[:, 2] = 1
    points[0, :2] = figure.head.at(0.24 * spec.turn, 0.32)
    points[[2, 1], :2] = figure.head.place(eyes_of(spec))
    points[[4, 3], :2] = figure.head.place(ears_of(spec))
    for column, arm in ((6, figure.arms[0]), (5, figure.arms[1])):
        points[[column, column + 2, column + 4], :2] = arm
    points[[12, 11], :2] = figure.hips
    points[13:, 2] = 0
    if abs(spec.turn) > 0.45:
        points[3 if spec.turn > 0 else 4, 2] = 0
    inside = (points[:, :2] >= 0).all(1) & (points[:, 0] < size[0]) & (points[:, 1] < size[1])
    points[:, 2] *= inside
    points[points[:, 2] == 0, :2] = 0
    return points
