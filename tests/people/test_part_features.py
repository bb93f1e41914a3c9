"""Tests of the human parser's input channels on a picture of four flat colours."""

from __future__ import annotations

import numpy as np
import pytest

from inference.people.part_features import CHANNELS, Floats, part_features
from inference.picture.photo import Pixels

WIDTH, HEIGHT = 120, 160
FACE = 40.0  # the face's width; the point between the eyes is at (60, 60)
FRAME = np.array([[1 / FACE, 0, -60 / FACE], [0, 1 / FACE, -60 / FACE]], np.float32)
OVAL = np.array([(44, 48), (76, 48), (76, 100), (44, 100)], np.float32)
GROUND, HAIR, SKIN, CLOTHES = (40, 150, 60), (70, 40, 20), (230, 180, 150), (30, 50, 190)
# A pixel (x, y) of each colour.
PLACES = {"ground": (10, 80), "hair": (60, 28), "skin": (60, 75), "clothes": (60, 130)}
COLOUR, PERSON, ACROSS, DOWN, INSIDE_FACE = slice(0, 3), 3, 4, 5, 6
# The channel with the colour model of each.
LIKE = {"skin": 7, "hair": 8, "clothes": 9, "ground": 10}


def picture() -> Pixels:
    image = np.full((HEIGHT, WIDTH, 3), GROUND, dtype=np.uint8)
    for top, bottom, colour in ((10, 44, HAIR), (44, 105, SKIN), (105, HEIGHT, CLOTHES)):
        image[top:bottom, 25:95] = colour
    return image


def person() -> Floats:
    found = np.zeros((HEIGHT, WIDTH), np.float32)
    found[10:, 25:95] = 1
    return found


@pytest.fixture(scope="module")
def features() -> Floats:
    return part_features(picture(), person(), FRAME, OVAL)


def test_there_is_one_plane_for_each_channel_in_minus_one_to_one(features: Floats) -> None:
    assert features.shape == (CHANNELS, HEIGHT, WIDTH)
    assert features.dtype == np.float32
    assert np.abs(features).max() <= 1


@pytest.mark.parametrize(("value", "expected"), [(0, -1), (255, 1), (51, -0.6)])
def test_colours_run_from_black_to_white(value: int, expected: float) -> None:
    image = np.full((8, 8, 3), (0, value, 255), dtype=np.uint8)
    found = part_features(image, np.zeros((8, 8), np.float32), None, None)
    np.testing.assert_allclose(found[COLOUR, 4, 4], (-1, expected, 1), atol=1e-6)


@pytest.mark.parametrize(("sure", "expected"), [(0, -1), (0.5, 0), (1, 1)])
def test_the_person_runs_from_nobody_to_somebody(sure: float, expected: float) -> None:
    people = np.full((8, 8), sure, np.float32)
    found = part_features(np.zeros((8, 8, 3), np.uint8), people, None, None)
    np.testing.assert_allclose(found[PERSON], expected)


@pytest.mark.parametrize(
    ("pixel", "across", "down"),
    [
        ((59, 59), -0.5 / 40 / 3, -0.5 / 40 / 3),
        ((79, 59), 19.5 / 40 / 3, -0.5 / 40 / 3),
        ((60, 99), 0.5 / 40 / 3, 39.5 / 40 / 3),
        ((0, 0), -59.5 / 40 / 3, -59.5 / 40 / 3),
    ],
)
def test_face_coordinates_are_in_thirds_of_face_widths_from_between_the_eyes(
    features: Floats, pixel: tuple[int, int], across: float, down: float
) -> None:
    x, y = pixel
    np.testing.assert_allclose(features[[ACROSS, DOWN], y, x], (across, down), atol=1e-5)


def test_far_from_the_face_its_coordinates_end() -> None:
    near = FRAME * 10  # a face of 4 pixels
    found = part_features(picture(), person(), near, OVAL)
    np.testing.assert_array_equal(found[[ACROSS, DOWN], 0, 0], (-1, -1))
    np.testing.assert_array_equal(found[[ACROSS, DOWN], HEIGHT - 1, WIDTH - 1], (1, 1))


@pytest.mark.parametrize(
    ("pixel", "inside"), [((60, 75), 1), ((45, 50), 1), ((42, 75), 0), ((60, 103), 0)]
)
def test_the_outline_of_the_face_is_filled(
    features: Floats, pixel: tuple[int, int], inside: int
) -> None:
    assert features[INSIDE_FACE, pixel[1], pixel[0]] == inside


@pytest.mark.parametrize("model", LIKE)
@pytest.mark.parametrize("place", PLACES)
def test_a_colour_model_knows_its_own_colour_and_no_other(
    features: Floats, model: str, place: str
) -> None:
    x, y = PLACES[place]
    likeness = features[LIKE[model], y, x]
    assert likeness == pytest.approx(1, abs=0.01) if model == place else likeness < 0.05


@pytest.mark.parametrize(("frame", "oval"), [(None, None), (FRAME, None), (None, OVAL)])
def test_without_a_face_its_channels_are_zero(frame: Floats | None, oval: Floats | None) -> None:
    found = part_features(picture(), person(), frame, oval)
    assert not found[ACROSS : LIKE["clothes"] + 1].any()
    assert found[LIKE["ground"], 80, 10] == pytest.approx(1, abs=0.01)


def test_of_too_few_pixels_no_colour_is_learned() -> None:
    tiny = np.array([(58, 58), (61, 58), (61, 61), (58, 61)], np.float32)
    everywhere = np.ones((HEIGHT, WIDTH), np.float32)
    found = part_features(picture(), everywhere, FRAME * 20, tiny)
    for channel in LIKE.values():
        assert not found[channel].any()


@pytest.mark.parametrize("far", [1e9, -1e9])
def test_a_face_far_outside_the_picture_is_no_trouble(far: float) -> None:
    frame = np.array([[1, 0, -far], [0, 1, -far]], np.float32)
    found = part_features(picture(), person(), frame, OVAL + np.float32(far))
    assert np.isfinite(found).all()
    assert not found[INSIDE_FACE].any()
