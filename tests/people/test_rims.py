"""Tests of seeing glasses by their rims."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from inference.people.face_mesh import EYES, SIDES, FaceMesh
from inference.people.rims import RIMS, rim_contrast
from inference.picture.photo import Pixels

SIDE = 400
WIDTH = 160
LEFT, RIGHT = (160, 180), (240, 180)
SKIN, DARK = (200, 160, 140), (50, 40, 40)


def face(degrees: float = 0.0) -> FaceMesh:
    """A face with its eyes at `LEFT` and `RIGHT`, turned round the picture's middle."""
    points = np.zeros((468, 3), np.float32)
    for ring, eye in zip(EYES, (LEFT, RIGHT), strict=True):
        points[list(ring), :2] = eye
    points[list(SIDES), :2] = (200 - WIDTH / 2, 190), (200 + WIDTH / 2, 190)
    matrix = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), -degrees, 1)
    points[:, :2] = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    return FaceMesh(points=points, score=1.0, canvas=(SIDE, SIDE))


def picture(drawn: str, degrees: float = 0.0) -> Pixels:
    """Skin with dark eyes, and rims or a bridge on it."""
    canvas = np.full((SIDE, SIDE, 3), SKIN, np.uint8)
    for eye in (LEFT, RIGHT):
        cv2.ellipse(canvas, eye, (14, 8), 0, 0, 360, DARK, -1)
    if "left" in drawn:
        cv2.circle(canvas, LEFT, 32, DARK, 4)
    if "right" in drawn:
        cv2.circle(canvas, RIGHT, 32, DARK, 4)
    if "bridge" in drawn:
        cv2.line(canvas, (192, 178), (208, 178), DARK, 5)
    if "beard" in drawn:
        canvas[300:] = DARK
    matrix = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), -degrees, 1)
    return np.asarray(cv2.warpAffine(canvas, matrix, (SIDE, SIDE), borderValue=SKIN), np.uint8)


@pytest.mark.parametrize(
    ("drawn", "glasses"),
    [
        ("nothing", False),
        ("left right bridge", True),
        ("left right", False),
        ("left bridge", False),
        ("bridge", False),
        ("beard", False),
        ("left right bridge beard", True),
    ],
)
def test_glasses_have_two_rims_and_a_bridge(drawn: str, glasses: bool) -> None:
    assert (rim_contrast(picture(drawn), face()) >= RIMS) == glasses


@pytest.mark.parametrize("degrees", [-40, -15, 20, 60])
def test_the_head_may_be_tilted(degrees: float) -> None:
    assert rim_contrast(picture("left right bridge", degrees), face(degrees)) >= RIMS
    assert rim_contrast(picture("nothing", degrees), face(degrees)) < RIMS


@pytest.mark.parametrize("light", [0.4, 0.7, 1.2])
def test_the_light_does_not_matter(light: float) -> None:
    lit = (picture("left right bridge") * light).clip(0, 255).astype(np.uint8)
    assert rim_contrast(lit, face()) >= RIMS


def test_a_black_picture_has_no_rims() -> None:
    assert rim_contrast(np.zeros((SIDE, SIDE, 3), np.uint8), face()) == 0
