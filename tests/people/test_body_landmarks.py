"""Tests of bodies: their regions and masks, and what the models find in drawings."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from inference.people.body_landmarks import Body, BodyEstimator, face_of, square_of
from inference.people.face_mesh import FaceMeshEstimator
from tests.support.made_people import body_of, face_at
from tools.portraits.draw import Portrait, draw
from tools.portraits.spec import sample_spec, solo

SEEDS = range(12)
SIZE = (384, 512)


@pytest.fixture(scope="module")
def bodies(photo_models: Path) -> BodyEstimator:
    return BodyEstimator.load(photo_models)


@cache
def portrait(seed: int) -> Portrait:
    return draw(solo(sample_spec(seed), "soft"), SIZE, with_masks=True)


@pytest.mark.parametrize(
    ("centre", "above", "side", "angle"),
    [
        ((100, 200), (100, 100), 250, 0.0),
        ((100, 200), (200, 200), 250, np.pi / 2),
        ((100, 200), (0, 200), 250, -np.pi / 2),
        ((100, 200), (140, 170), 125, np.arctan2(40, 30)),
        ((7, 7), (7, 7), 1, None),
    ],
    ids=["upright", "head right", "head left", "leaning", "no length"],
)
def test_the_region_is_turned_so_that_the_head_is_up(
    centre: tuple[float, float], above: tuple[float, float], side: float, angle: float | None
) -> None:
    square = square_of(np.array(centre, np.float32), np.array(above, np.float32))
    assert (square.x, square.y) == centre
    assert square.side == pytest.approx(side)
    if angle is not None:
        assert square.angle == pytest.approx(angle, abs=1e-6)
        top = square.to_picture(np.array([[0.5, 0.1]], dtype=np.float32))[0]
        np.testing.assert_allclose(top, above, atol=1e-3)


def test_a_body_takes_the_face_that_is_nearest_to_its_eyes() -> None:
    body = body_of()  # its eyes are midway at (35, 17.5)
    near, nearer, far = face_at(60, 20), face_at(40, 17), face_at(300, 300)
    assert face_of(body, [far, near, nearer]) is nearer
    assert face_of(body, [far]) is None
    assert face_of(body, []) is None


def test_the_mask_of_a_turned_region_lies_where_the_person_is() -> None:
    mask = np.zeros((256, 256), dtype=np.float32)
    mask[:64, 96:160] = 1  # at the head's end of the region
    square = square_of(np.array([200, 300], np.float32), np.array([280, 300], np.float32))
    body = Body(points=body_of().points, score=1.0, square=square, mask=mask, canvas=(400, 600))
    found = body.mask_on((200, 300))
    assert found.shape == (300, 200)
    rows, columns = np.nonzero(found > 0.5)
    # The region is 200 wide and its upper quarter lies to the right: x 250–300, y 275–325.
    assert (columns.min(), columns.max() + 1) == (125, 150)
    assert rows.min() in (137, 138)
    assert rows.max() + 1 in (162, 163)
    np.testing.assert_allclose(body.region[0], [300, 200], atol=1e-3)


def test_drawn_people_have_their_shoulders_and_a_mask(bodies: BodyEstimator) -> None:
    shoulders = masks = 0
    for seed in SEEDS:
        drawing = portrait(seed)
        found = bodies.find(drawing.image)
        if not found:
            continue
        left, right = drawing.keypoints[5:7, :2]
        apart = np.linalg.norm(found[0].points[[11, 12], :2] - [left, right], axis=1)
        shoulders += apart.max() < 0.2 * np.linalg.norm(right - left)
        mask, drawn = found[0].mask_on(SIZE) > 0.5, drawing.masks["person"]
        masks += (mask & drawn).sum() > 0.6 * (mask | drawn).sum()
    assert shoulders >= 8
    assert masks >= 8


def test_a_face_without_a_body_leads_to_one(bodies: BodyEstimator, photo_models: Path) -> None:
    row = np.concatenate([portrait(5).image, portrait(8).image], axis=1)
    faces = FaceMeshEstimator.load(photo_models).find(row)
    assert len(faces) == 2
    assert len(bodies.find(row)) == 1
    found = bodies.find(row, faces)
    assert sorted(body.points[0, 0] > SIZE[0] for body in found) == [False, True]
    assert [one.square.side for one in found] == sorted(
        (one.square.side for one in found), reverse=True
    )


def test_two_threads_at_once_find_the_same(bodies: BodyEstimator) -> None:
    pictures = [portrait(seed).image for seed in (1, 8, 1, 8)]
    expected = [bodies.find(one)[0].points for one in pictures]
    with ThreadPoolExecutor(2) as pool:
        for one, points in zip(pool.map(bodies.find, pictures), expected, strict=True):
            np.testing.assert_array_equal(one[0].points, points)


@pytest.mark.parametrize(
    "shape", [(600, 800), (1, 1), (2, 900), (20_000, 30), (30, 20_000)], ids=str
)
def test_an_empty_picture_has_nobody(bodies: BodyEstimator, shape: tuple[int, int]) -> None:
    assert bodies.find(np.full((*shape, 3), 128, dtype=np.uint8)) == ()
