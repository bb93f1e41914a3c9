"""Tests of cleaning part maps."""

from __future__ import annotations

import numpy as np
import pytest

from inference.people.face_mesh import OVAL, SIDES, FaceMesh
from inference.people.part_cleaning import (
    LEAST,
    without_false_hats,
    without_false_skin,
    without_islands,
    without_neck,
)
from inference.people.parts import Part
from inference.people.turned_square import Floats
from tests.support.made_people import face_at

SIDE = 100
FACE = (slice(20, 60), slice(30, 70))  # 1,600 pixels


def part_map(**pieces: tuple[Part, Part, int]) -> Floats:
    """A face on background; each piece is a part, its second best and its side in pixels."""
    parts = np.full((len(Part), SIDE, SIDE), 0.01, np.float32)
    parts[Part.BACKGROUND] = 1
    parts[:, FACE[0], FACE[1]] = 0.01
    parts[Part.FACE][FACE] = 1
    for part, second, side in pieces.values():
        place = (slice(70, 70 + side), slice(10, 10 + side))
        parts[:, place[0], place[1]] = 0.01
        parts[part][place], parts[second][place] = 0.6, 0.3
    return np.asarray(parts / parts.sum(axis=0), np.float32)


@pytest.mark.parametrize(
    ("part", "side", "stays"),
    [
        (Part.SKIN, 5, False),
        (Part.SKIN, 9, True),
        (Part.HAIR, 4, False),
        (Part.HAIR, 8, True),
        (Part.HAT, 8, False),
        (Part.HAT, 12, True),
        (Part.GLASSES, 4, False),
        (Part.CLOTHES, 5, False),
        (Part.CLOTHES, 20, True),
        (Part.EAR, 1, False),
        (Part.EAR, 4, True),
    ],
    ids=lambda one: one.name.lower() if isinstance(one, Part) else str(one),
)
def test_a_piece_too_small_for_its_part_becomes_the_second_best(
    part: Part, side: int, stays: bool
) -> None:
    second = Part.BACKGROUND
    labels = without_islands(part_map(piece=(part, second, side))).argmax(axis=0)
    assert labels[70, 10] == (part if stays else second)
    assert (labels[FACE] == Part.FACE).all()


def test_probabilities_still_sum_to_one() -> None:
    cleaned = without_islands(part_map(piece=(Part.SKIN, Part.CLOTHES, 4)))
    np.testing.assert_allclose(cleaned.sum(axis=0), 1, atol=1e-6)


def test_without_a_head_nothing_changes() -> None:
    parts = np.zeros((len(Part), 8, 8), np.float32)
    parts[Part.CLOTHES] = 1
    np.testing.assert_array_equal(without_islands(parts), parts)


def test_background_is_never_an_island() -> None:
    assert Part.BACKGROUND not in LEAST


@pytest.mark.parametrize(
    ("hat", "hair", "hair_pixels", "stays"),
    [
        ((20, 20, 20), (22, 18, 20), 900, False),
        ((20, 20, 20), (32, 26, 24), 900, False),
        ((20, 20, 160), (20, 20, 20), 900, True),
        ((20, 20, 20), (200, 180, 120), 900, True),
        ((20, 20, 20), (20, 20, 20), 50, True),
        ((20, 20, 20), (20, 20, 20), 0, True),
    ],
    ids=["one colour", "nearly one", "blue on black", "black on blond", "little hair", "no hair"],
)
def test_a_hat_of_the_colour_of_the_hair_is_hair(
    hat: tuple[int, int, int], hair: tuple[int, int, int], hair_pixels: int, stays: bool
) -> None:
    picture = np.full((SIDE, SIDE, 3), 128, np.uint8)
    parts = np.full((len(Part), SIDE, SIDE), 0.01, np.float32)
    parts[Part.BACKGROUND] = 1
    rows = hair_pixels // 30
    for part, place, colour in (
        (Part.HAT, (slice(0, 20), slice(0, 30)), hat),
        (Part.HAIR, (slice(30, 30 + rows), slice(0, 30)), hair),
    ):
        parts[:, place[0], place[1]] = 0.01
        parts[part][place] = 1
        picture[place] = colour
    parts /= parts.sum(axis=0)
    labels = without_false_hats(parts, picture).argmax(axis=0)
    assert labels[10, 10] == (Part.HAT if stays else Part.HAIR)
    assert labels[90, 90] == Part.BACKGROUND


@pytest.mark.parametrize(
    ("colour", "stays"),
    [
        ((200, 150, 120), True),
        ((120, 84, 64), True),
        ((230, 175, 145), True),
        ((230, 230, 230), False),
        ((60, 60, 160), False),
    ],
    ids=["as the face", "in the shade", "in the light", "white", "blue"],
)
def test_skin_of_another_hue_than_the_face_is_something_else(
    colour: tuple[int, int, int], stays: bool
) -> None:
    picture = np.full((SIDE, SIDE, 3), 128, np.uint8)
    picture[FACE] = (200, 150, 120)
    picture[70:80, 10:20] = colour
    parts = part_map(piece=(Part.SKIN, Part.CLOTHES, 10))
    labels = without_false_skin(parts, picture).argmax(axis=0)
    assert labels[75, 15] == (Part.SKIN if stays else Part.CLOTHES)
    assert (labels[FACE] == Part.FACE).all()


def mesh(x: float, y: float, width: float) -> FaceMesh:
    """A face with an outline half as wide and as high as the face, from its eyes to its chin."""
    face = face_at(x, y, width)
    angle = np.linspace(0, 2 * np.pi, len(OVAL), endpoint=False)
    ring = np.stack([0.5 * np.cos(angle), 0.3 + 0.6 * np.sin(angle)], axis=1)
    sides = face.points[list(SIDES)].copy()  # they are on the outline too
    face.points[list(OVAL), :2] = ring * width + (x, y)
    face.points[list(SIDES)] = sides
    return face


@pytest.mark.parametrize(
    ("place", "stays"),
    [
        ((30, 50), True),  # between the eyes
        ((60, 50), True),  # mouth
        ((64, 50), True),  # chin, within the margin
        ((75, 50), False),  # neck
        ((60, 80), False),  # beside the jaw
        ((20, 50), True),  # forehead, above the outline
        ((98, 50), True),  # too far below to be this face's neck
    ],
)
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_below_the_jaw_a_face_is_skin(place: tuple[int, int], stays: bool, scale: float) -> None:
    parts = np.full((len(Part), SIDE, SIDE), 0.01, np.float32)
    parts[Part.FACE] = 1
    parts /= parts.sum(axis=0)
    face = mesh(50 / scale, 30 / scale, 40 / scale)
    cleaned = without_neck(parts, [face], scale)
    assert cleaned.argmax(axis=0)[place] == (Part.FACE if stays else Part.SKIN)
    np.testing.assert_allclose(cleaned.sum(axis=0), 1, rtol=1e-5)


def test_without_a_mesh_nothing_is_a_neck() -> None:
    parts = part_map()
    np.testing.assert_array_equal(without_neck(parts, [], 1.0), parts)
