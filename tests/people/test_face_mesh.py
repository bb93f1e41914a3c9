"""Tests of faces: geometry of a mesh, and what the models find in drawings of the soft style."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from inference.people.face_mesh import EYES, OVAL, FaceMesh, FaceMeshEstimator
from inference.people.turned_square import Floats
from inference.picture.photo import Pixels
from tools.portraits.draw import Portrait, draw
from tools.portraits.spec import sample_spec, solo

SEEDS = range(12)
SIZE = (384, 512)


@pytest.fixture(scope="module")
def estimator(photo_models: Path) -> FaceMeshEstimator:
    return FaceMeshEstimator.load(photo_models)


@cache
def portrait(seed: int) -> Portrait:
    return draw(solo(sample_spec(seed), "soft"), SIZE, with_masks=False)


def eyes_of(drawing: Portrait) -> Floats:
    """The person's right eye, which is left in the picture, and the left one."""
    return drawing.keypoints[[2, 1], :2]


def gap(mesh: FaceMesh, eyes: Floats) -> float:
    """The larger distance of an eye from where it is drawn, in face widths."""
    return float(np.linalg.norm(mesh.eyes - eyes, axis=1).max()) / mesh.width


def mesh_with(angle: float = 0.0, scale: float = 50.0, x: float = 300, y: float = 200) -> FaceMesh:
    """A face of a few known points: eyes at ±0.25, sides at ±0.5, nose below, turned and moved."""
    points = np.zeros((468, 3), dtype=np.float32)
    for ring, side in zip(EYES, (-0.25, 0.25), strict=True):
        points[list(ring), 0] = side
    points[234, 0], points[454, 0] = -0.5, 0.5
    points[4, 1] = 0.3
    points[[13, 14], 1] = 0.5
    points[[61, 291], :2] = (-0.1, 0.5), (0.1, 0.5)
    cos, sin = np.cos(angle), np.sin(angle)
    points[:, :2] = points[:, :2] @ np.array([[cos, sin], [-sin, cos]]) * scale + [x, y]
    return FaceMesh(points=points, score=1.0, canvas=(600, 400))


def test_the_parts_of_a_face_are_where_its_points_are() -> None:
    face = mesh_with()
    np.testing.assert_allclose(face.eyes, [(287.5, 200), (312.5, 200)], atol=1e-4)
    np.testing.assert_allclose(face.nose, (300, 215), atol=1e-4)
    np.testing.assert_allclose(face.mouth, (300, 225), atol=1e-4)
    assert face.width == pytest.approx(50)
    assert face.upright == 0
    assert face.oval.shape == (36, 2)
    assert len(set(OVAL)) == 36


@pytest.mark.parametrize("angle", [-2.5, -1.0, 0.0, 0.4, 1.5])
def test_the_frame_of_a_turned_face_has_the_same_coordinates(angle: float) -> None:
    face = mesh_with(angle)
    assert face.upright == pytest.approx(angle, abs=1e-5)
    frame = face.frame
    assert frame.shape == (2, 3)
    for place, expected in [
        (face.eyes[0], (-0.25, 0)), (face.eyes[1], (0.25, 0)), (face.nose, (0, 0.3)),
        (face.mouth, (0, 0.5)), (face.points[234, :2], (-0.5, 0)),
    ]:  # fmt: skip
        np.testing.assert_allclose(frame[:, :2] @ place + frame[:, 2], expected, atol=1e-4)


def test_a_head_turned_aside_keeps_its_width() -> None:
    face = mesh_with()
    points = face.points.copy()
    points[[234, 454], 0] = 285, 315
    points[[234, 454], 2] = -20, 20
    turned = FaceMesh(points=points, score=1.0, canvas=face.canvas)
    assert turned.width == pytest.approx(50)


def test_the_eyes_of_drawn_people_are_found(estimator: FaceMeshEstimator) -> None:
    right = 0
    for seed in SEEDS:
        found = estimator.find(portrait(seed).image)
        right += bool(found) and gap(found[0], eyes_of(portrait(seed))) < 0.1
    assert right >= 11


@pytest.mark.parametrize("seed", [1, 8])
@pytest.mark.parametrize("degrees", [-60, -35, 35, 60])
def test_a_tilted_head_is_found(estimator: FaceMeshEstimator, seed: int, degrees: int) -> None:
    side = 640
    turn = cv2.getRotationMatrix2D((SIZE[0] / 2, SIZE[1] / 2), -degrees, 1)
    turn[:, 2] += (side - np.array(SIZE)) / 2
    tilted = cv2.warpAffine(portrait(seed).image, turn, (side, side), borderValue=(128, 128, 128))
    before = estimator.find(portrait(seed).image)[0]
    face = estimator.find(np.asarray(tilted, dtype=np.uint8))[0]
    assert gap(face, eyes_of(portrait(seed)) @ turn[:, :2].T + turn[:, 2]) < 0.1
    change = np.degrees(face.upright - before.upright)
    assert change == pytest.approx(degrees, abs=4)


@pytest.mark.parametrize("seed", [2, 10])
@pytest.mark.parametrize(
    "part",
    [(0.0, 0.0, 1.0, 1.0), (-0.6, 0.3, 1.6, 2.0), (0.3, -0.6, 1.8, 1.6), (-0.6, -0.6, 1.6, 0.8)],
    ids=["fills the picture", "cut off above", "cut off at the left", "cut off below"],
)
def test_a_face_that_the_picture_cuts_is_found(
    estimator: FaceMeshEstimator, seed: int, part: tuple[float, ...]
) -> None:
    image = portrait(seed).image
    points = estimator.find(image)[0].points[:, :2]
    low, high = points.min(axis=0), points.max(axis=0)
    start = np.maximum(low + (high - low) * part[:2], 0).astype(int)
    end = (low + (high - low) * part[2:]).astype(int)
    cut = image[start[1] : end[1], start[0] : end[0]]
    scale = 400 / cut.shape[0]
    found = estimator.find(np.asarray(cv2.resize(cut, None, fx=scale, fy=scale), dtype=np.uint8))
    assert len(found) == 1
    assert gap(found[0], (eyes_of(portrait(seed)) - start) * scale) < 0.1


@pytest.mark.parametrize("factor", [1.0, 0.7, 0.5])
def test_several_and_small_faces_are_found_the_largest_first(
    estimator: FaceMeshEstimator, factor: float
) -> None:
    wide = np.full((700, 1000, 3), 150, dtype=np.uint8)
    people = ((9, 0.8 * factor, 560), (2, factor, 40))
    for seed, scale, left in people:
        small = cv2.resize(portrait(seed).image, None, fx=scale, fy=scale,
                           interpolation=cv2.INTER_AREA)  # fmt: skip
        wide[150 : 150 + small.shape[0], left : left + small.shape[1]] = small
    found = estimator.find(wide)
    assert len(found) == 2
    assert found[0].canvas == (1000, 700)
    for face, (seed, scale, left) in zip(found, reversed(people), strict=True):
        assert gap(face, eyes_of(portrait(seed)) * scale + (left, 150)) < 0.1


def test_a_large_picture_gives_the_same_face_at_its_scale(estimator: FaceMeshEstimator) -> None:
    image = portrait(1).image
    large = np.asarray(cv2.resize(image, None, fx=6, fy=6, interpolation=cv2.INTER_CUBIC))
    here, there = estimator.find(image)[0], estimator.find(large)[0]
    np.testing.assert_allclose(there.points[:, :2] / 6, here.points[:, :2], atol=here.width / 15)


@pytest.mark.parametrize(
    "shape", [(600, 800), (1, 1), (2, 900), (20_000, 30), (30, 20_000)], ids=str
)
def test_an_empty_picture_has_no_face(estimator: FaceMeshEstimator, shape: tuple[int, int]) -> None:
    assert estimator.find(np.full((*shape, 3), 128, dtype=np.uint8)) == ()


def test_noise_has_no_face(estimator: FaceMeshEstimator) -> None:
    noise: Pixels = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    assert estimator.find(noise) == ()


def test_two_threads_at_once_find_the_same(estimator: FaceMeshEstimator) -> None:
    pictures = [portrait(seed).image for seed in (1, 8, 1, 8, 1, 8)]
    expected = [estimator.find(one)[0].points for one in pictures]
    with ThreadPoolExecutor(2) as pool:
        for one, points in zip(pool.map(estimator.find, pictures), expected, strict=True):
            np.testing.assert_array_equal(one[0].points, points)
