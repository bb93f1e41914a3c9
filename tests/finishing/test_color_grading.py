"""Tests of colour grading: tone curves, contrast, saturation and hues of each look."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from inference.errors import InvalidRecipe
from inference.finishing.color_grading import LOOKS, grade, monotone
from inference.picture.photo import Pixels

VELVIA, PORTRA, EKTAR = "Film Velvia", "Film Portra", "Ektar"
GRAYS = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 3, axis=2)
# Foliage, sky, water, brick, sand, a lemon, a violet: as they come in photographs.
COLOURS = [
    (80, 130, 60), (110, 160, 220), (60, 140, 130), (180, 60, 50), (200, 160, 110), (200, 190, 70),
    (120, 80, 160),
]  # fmt: skip
SKIN = [
    (255, 219, 172), (236, 188, 180), (241, 194, 125), (224, 172, 105), (198, 134, 66),
    (141, 85, 36), (120, 72, 60), (92, 60, 40),
]  # fmt: skip

every_look = pytest.mark.parametrize("look", LOOKS)


def swatches(*colours: tuple[int, int, int]) -> Pixels:
    return np.array([colours], dtype=np.uint8)


def lab(picture: Pixels) -> np.ndarray:
    """(n, 3): L*, chroma, hue in degrees."""
    scaled = cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2Lab).reshape(-1, 3)
    lightness, a, b = scaled.T
    return np.stack([lightness, np.hypot(a, b), np.rad2deg(np.arctan2(b, a))], axis=1)


def test_the_looks_have_the_names_of_the_prompt_block() -> None:
    assert list(LOOKS) == [VELVIA, PORTRA, EKTAR]


@every_look
def test_gray_stays_neutral_within_what_the_look_says(look: str) -> None:
    apart = np.ptp(grade(GRAYS, look).astype(int), axis=2)
    tolerance = {VELVIA: 1, PORTRA: 13, EKTAR: 7}[look]
    assert apart.max() <= LOOKS[look].gray_tolerance == tolerance <= apart.max() + 1


@every_look
def test_the_tone_curves_rise(look: str) -> None:
    assert (np.diff(LOOKS[look].exact_curves(), axis=0) > 0).all()
    assert (np.diff(grade(GRAYS, look).astype(int), axis=0) >= 0).all()


@pytest.mark.parametrize(
    ("look", "black", "middle", "white"),
    [
        (VELVIA, (0, 0, 0), (129, 129, 129), (255, 255, 255)),
        (PORTRA, (18, 14, 12), (143, 139, 131), (254, 251, 244)),
        (EKTAR, (0, 0, 0), (132, 130, 128), (255, 255, 255)),
    ],
)
def test_black_middle_and_white(
    look: str, black: tuple[int, ...], middle: tuple[int, ...], white: tuple[int, ...]
) -> None:
    """Portra lifts its shadows, warmer than neutral; the others keep both ends."""
    curves, grays = LOOKS[look].curves(), grade(GRAYS, look)[:, 0].astype(int)
    for level, expected in ((0, black), (128, middle), (255, white)):
        assert tuple(curves[level]) == expected
        np.testing.assert_allclose(grays[level], expected, atol=1)


def test_contrast_of_mid_tones() -> None:
    """Velvia > Ektar > as it was > Portra."""
    spans = {look: np.ptp(grade(GRAYS, look)[64:193].mean(axis=2)) for look in LOOKS}
    assert spans[VELVIA] > spans[EKTAR] > 192 - 64 > spans[PORTRA]


@pytest.mark.parametrize("colour", COLOURS, ids=str)
def test_saturation(colour: tuple[int, int, int]) -> None:
    """Velvia > Ektar > as it was > Portra; brick and sand are near skin, which Portra spares."""
    chroma = {look: lab(grade(swatches(colour), look))[0, 1] for look in LOOKS}
    before = lab(swatches(colour))[0, 1]
    assert chroma[VELVIA] > chroma[EKTAR] > 1.05 * before
    assert chroma[PORTRA] < before * (1.1 if colour == (200, 160, 110) else 1.0)


@pytest.mark.parametrize(
    ("look", "colour", "deeper"),
    [
        (VELVIA, (80, 130, 60), 5),
        (VELVIA, (70, 110, 180), 5),
        (VELVIA, (198, 134, 66), -3),
        (EKTAR, (70, 110, 180), 2),
        (PORTRA, (198, 134, 66), -8),
    ],
    ids=str,
)
def test_how_much_deeper_a_colour_gets(
    look: str, colour: tuple[int, int, int], deeper: float
) -> None:
    """Velvia's greens and blues lose lightness; skin does not, and gains some in Portra."""
    fall = lab(swatches(colour))[0, 0] - lab(grade(swatches(colour), look))[0, 0]
    assert deeper <= fall < deeper + 7


@pytest.mark.parametrize("colour", SKIN, ids=str)
@pytest.mark.parametrize(("look", "most"), [(VELVIA, 13), (PORTRA, 17), (EKTAR, 10)])
def test_skin_keeps_its_hue(look: str, most: float, colour: tuple[int, int, int]) -> None:
    """Within so many degrees, and within those that skin has; the palest skin moves most."""
    before, after = lab(swatches(colour))[0], lab(grade(swatches(colour), look))[0]
    assert abs(after[2] - before[2]) <= most
    assert 30 <= after[2] <= 92


@pytest.mark.parametrize("colour", [(190, 40, 45), (170, 60, 70)], ids=str)
def test_ektar_has_warm_reds(colour: tuple[int, int, int]) -> None:
    turned = lab(grade(swatches(colour), EKTAR))[0, 2] - lab(swatches(colour))[0, 2]
    assert 2 < turned < 10


def test_portra_has_warm_shadows() -> None:
    red, green, blue = grade(GRAYS, PORTRA)[40, 0].astype(int)
    assert red > green > blue
    assert green > 40


@every_look
def test_a_pixel_does_not_depend_on_its_neighbours(look: str) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (300, 7, 3), dtype=np.uint8)
    picture.flags.writeable = False
    graded = grade(picture, look)
    assert (graded.shape, graded.dtype) == (picture.shape, np.uint8)
    assert not np.shares_memory(graded, picture)
    np.testing.assert_array_equal(graded, grade(picture, look))
    apart = np.concatenate([grade(picture[k : k + 1], look) for k in range(300)])
    np.testing.assert_allclose(apart.astype(int), graded, atol=1)


@pytest.mark.parametrize("name", ["", "film velvia", "Sepia"])
def test_another_name_is_refused_with_those_that_there_are(name: str) -> None:
    with pytest.raises(InvalidRecipe, match="one of Film Velvia, Film Portra, Ektar") as error:
        grade(GRAYS, name)
    assert error.value.field == "color_grading"


@pytest.mark.parametrize(
    "points",
    [
        ((0, 0), (255, 255)),
        ((0, 10), (128, 20), (255, 250)),
        ((0, 0), (10, 200), (20, 201), (255, 255)),
        ((0, 0), (32, 19), (80, 68), (128, 129), (176, 190), (224, 238), (255, 255)),
    ],
    ids=str,
)
def test_a_curve_goes_through_its_points_and_never_beyond_them(
    points: tuple[tuple[int, int], ...],
) -> None:
    curve = monotone(points)
    assert curve.shape == (256,)
    for level, expected in points:
        assert curve[level] == pytest.approx(expected, abs=1e-3)
    assert (np.diff(curve) > 0).all()
    if len(points) == 2:
        np.testing.assert_allclose(curve, np.arange(256), atol=1e-3)
