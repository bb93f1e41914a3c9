"""Tests of the COCO key points made of bodies and faces."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from inference.control.openpose_skeleton import Keypoints
from inference.control.photo_pose import largest_person, one_of_people, to_coco
from inference.people.body_landmarks import Body, BodyEstimator
from inference.people.face_mesh import FaceMesh, FaceMeshEstimator
from inference.people.parts import Part
from inference.people.person_regions import PersonRegions, Place
from inference.people.photo_reader import People
from inference.picture.geometry import Size
from inference.picture.photo import Pixels
from tests.support.made_people import body_of, face_at
from tools.portraits.draw import Portrait, draw
from tools.portraits.spec import sample_spec, solo

SIZE = (384, 512)
# COCO's order with MediaPipe's number of each point.
NAMES = {
    "nose": 0, "left eye": 2, "right eye": 5, "left ear": 7, "right ear": 8, "left shoulder": 11,
    "right shoulder": 12, "left elbow": 13, "right elbow": 14, "left wrist": 15,
    "right wrist": 16, "left hip": 23, "right hip": 24, "left knee": 25, "right knee": 26,
    "left ankle": 27, "right ankle": 28,
}  # fmt: skip


def people_of(
    bodies: tuple[Body, ...] = (), faces: tuple[FaceMesh, ...] = (), size: Size = (400, 600)
) -> People:
    """People without their parts."""
    parts = np.zeros((len(Part), 3, 2), np.float32)
    return People(faces=faces, bodies=bodies, size=size, parts=parts)


@cache
def portrait(seed: int) -> Portrait:
    return draw(solo(sample_spec(seed), "soft"), SIZE, with_masks=True)


@pytest.mark.parametrize(("row", "name"), enumerate(NAMES))
def test_each_key_point_is_taken_from_its_landmark(row: int, name: str) -> None:
    source = NAMES[name]
    points = to_coco(body_of(), None)
    assert points.dtype == np.float32
    np.testing.assert_allclose(points[row], [10 * source, 5 * source, 1])


@pytest.mark.parametrize(
    ("visibility", "presence", "score"),
    [(0.9, 0.8, 0.8), (0.3, 0.9, 0.3), (1.0, 0.24, 0.0), (1.0, 0.26, 0.26), (0.1, 1.0, 0.1)],
)
def test_the_score_is_the_lower_one_and_a_guess_has_none(
    visibility: float, presence: float, score: float
) -> None:
    body = body_of()
    points = body.points.copy()
    points[11, 2:] = visibility, presence
    assert to_coco(body_of(points), None)[5, 2] == pytest.approx(score)


@pytest.mark.parametrize(
    ("x", "y", "seen"),
    [(0, 0, True), (400, 600, True), (-10, 300, True), (-14, 300, False), (200, 614, False)],
)
def test_a_point_far_outside_the_picture_is_not_seen(x: float, y: float, seen: bool) -> None:
    points = body_of().points.copy()
    points[15, :2] = x, y
    assert (to_coco(body_of(points), None)[9, 2] > 0) == seen


def test_eyes_nose_and_ears_are_those_of_the_face() -> None:
    points = to_coco(body_of(), face_at(100, 50))
    expected = [(100, 62), (110, 50), (90, 50), (120, 54), (80, 54)]
    np.testing.assert_allclose(points[:5, :2], expected, atol=1e-3)
    np.testing.assert_allclose(points[:5, 2], 0.95)
    np.testing.assert_array_equal(points[5:], to_coco(body_of(), None)[5:])


@pytest.mark.parametrize(("turn", "ears"), [(0, (1, 1)), (0.4, (0, 1)), (-0.4, (1, 0))])
def test_the_ear_behind_a_turned_head_is_not_seen(turn: float, ears: tuple[int, int]) -> None:
    points = to_coco(None, face_at(100, 50, turn=turn))
    assert tuple(points[3:5, 2] > 0) == ears


def test_a_face_alone_has_no_body_and_nobody_has_no_points() -> None:
    alone = to_coco(None, face_at(100, 50))
    assert (alone[:5, 2] > 0).all()
    assert not alone[5:].any()
    assert not to_coco(None, None).any()


def test_the_largest_person_is_the_first_body_with_its_own_face() -> None:
    body = body_of()  # its eyes are midway at (35, 17.5)
    far, own = face_at(300, 300, width=90), face_at(40, 17)
    found = largest_person(people_of((body, body_of()), (far, own)), (400, 600))
    np.testing.assert_array_equal(found, to_coco(body, own))
    alone = largest_person(people_of((body,), (far,)), (400, 600))
    np.testing.assert_array_equal(alone, to_coco(body, None))


def test_without_a_body_it_is_the_largest_face_and_without_both_there_are_no_points() -> None:
    faces = face_at(300, 300, width=90), face_at(40, 17)
    found = largest_person(people_of(faces=faces), (400, 600))
    np.testing.assert_array_equal(found, to_coco(None, faces[0]))
    nobody = largest_person(people_of(), (400, 600))
    assert nobody.shape == (17, 3)
    assert not nobody.any()


HALVES = PersonRegions(
    owner=np.repeat(np.repeat(np.array([[0, 1]], np.uint8), 30, axis=0), 20, axis=1),
    places=(Place(x=0.2, y=0, area=0.3), Place(x=0.8, y=0, area=0.4)),
)


def at(x: float) -> Body:
    """A body, all of whose points are near x."""
    points = np.ones((33, 4), np.float32)
    points[:, :2] = x, 300
    return body_of(points)


@pytest.mark.parametrize(
    ("bodies", "faces", "index", "body", "face"),
    [
        ((50, 350), (60, 340), 0, 50, 60),
        ((50, 350), (60, 340), 1, 350, 340),
        ((350, 50), (340, 60), 0, 50, 60),
        ((350,), (60, 340), 0, None, 60),
        ((50, 350), (60,), 1, 350, None),
        ((350,), (340,), 0, None, None),
        ((), (), 1, None, None),
    ],
)
def test_the_key_points_of_one_person_are_those_on_its_pixels(
    bodies: tuple[float, ...],
    faces: tuple[float, ...],
    index: int,
    body: float | None,
    face: float | None,
) -> None:
    read = people_of(tuple(map(at, bodies)), tuple(face_at(x, 200) for x in faces))
    found = one_of_people(read, HALVES, index, (400, 600))
    expected = to_coco(
        None if body is None else at(body), None if face is None else face_at(face, 200)
    )
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("size", [(400, 600), (1000, 1500), (100, 151)], ids=str)
def test_key_points_are_in_pixels_of_the_photograph(size: Size) -> None:
    body = body_of()
    found = largest_person(people_of((body,)), size)
    scale = np.array(size) / (400, 600)
    np.testing.assert_allclose(found[:, :2], to_coco(body, None)[:, :2] * scale, rtol=1e-5)
    assert found.dtype == np.float32


# --- with the models ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def estimators(photo_models: Path) -> tuple[FaceMeshEstimator, BodyEstimator]:
    return FaceMeshEstimator.load(photo_models), BodyEstimator.load(photo_models)


def found_in(picture: Pixels, estimators: tuple[FaceMeshEstimator, BodyEstimator]) -> Keypoints:
    faces = estimators[0].find(picture)
    bodies = estimators[1].find(picture, faces)
    size = (picture.shape[1], picture.shape[0])
    return largest_person(people_of(bodies, faces, size), size)


@pytest.mark.parametrize("seed", [9, 11])
def test_the_key_points_of_a_drawing_are_where_they_are_drawn(
    estimators: tuple[FaceMeshEstimator, BodyEstimator], seed: int
) -> None:
    found, expected = found_in(portrait(seed).image, estimators), portrait(seed).keypoints
    width = np.linalg.norm(expected[5, :2] - expected[6, :2])
    for joint in (1, 2, 5, 6):
        assert found[joint, 2] > 0.5
        assert np.linalg.norm(found[joint, :2] - expected[joint, :2]) < 0.3 * width


@pytest.mark.parametrize("seed", [2, 9])
def test_a_close_up_has_a_face_and_no_guessed_shoulders(
    estimators: tuple[FaceMeshEstimator, BodyEstimator], seed: int
) -> None:
    drawing = portrait(seed)
    eyes = drawing.keypoints[[1, 2], :2]
    middle, reach = eyes.mean(axis=0), 1.3 * float(np.linalg.norm(eyes[1] - eyes[0]))
    left, top = np.maximum(middle - reach, 0).astype(int)
    right, bottom = (middle + reach).astype(int)
    close = cv2.resize(drawing.image[top:bottom, left:right], None, fx=4, fy=4)
    found = found_in(np.asarray(close, np.uint8), estimators)
    assert (found[:3, 2] > 0.5).all()
    expected = (eyes - (left, top)) * 4
    np.testing.assert_allclose(found[1:3, :2], expected, atol=0.2 * reach)
    outside = np.abs(found[5:, :2] - np.array(close.shape[1::-1]) / 2).max(axis=1)
    assert not found[5:, 2][outside > max(close.shape)].any()
