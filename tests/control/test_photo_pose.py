"""Tests of bodies and of the COCO key points made of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from inference.control.photo_pose import PhotoPoseEstimator, overlap, to_coco
from inference.people.body_landmarks import Body, BodyEstimator, face_of, square_of
from inference.people.face_mesh import EYES, FaceMesh, FaceMeshEstimator
from inference.people.turned_square import Floats, TurnedSquare
from inference.picture.geometry import Box
from tools.portraits.draw import Portrait, draw
from tools.portraits.spec import sample_spec, solo

SEEDS = range(12)
SIZE = (384, 512)
# COCO's order with MediaPipe's number of each point.
NAMES = {
    "nose": 0, "left eye": 2, "right eye": 5, "left ear": 7, "right ear": 8, "left shoulder": 11,
    "right shoulder": 12, "left elbow": 13, "right elbow": 14, "left wrist": 15,
    "right wrist": 16, "left hip": 23, "right hip": 24, "left knee": 25, "right knee": 26,
    "left ankle": 27, "right ankle": 28,
}  # fmt: skip


@pytest.fixture(scope="module")
def bodies(photo_models: Path) -> BodyEstimator:
    return BodyEstimator.load(photo_models)


@pytest.fixture(scope="module")
def estimator(bodies: BodyEstimator, photo_models: Path) -> PhotoPoseEstimator:
    return PhotoPoseEstimator(bodies, FaceMeshEstimator.load(photo_models))


@cache
def portrait(seed: int) -> Portrait:
    return draw(solo(sample_spec(seed), "soft"), SIZE, with_masks=True)


def body_of(points: Floats | None = None, canvas: tuple[int, int] = (400, 600)) -> Body:
    """A body whose point k is at (10·k, 5·k), fully seen."""
    if points is None:
        k = np.arange(33, dtype=np.float32)
        points = np.stack([10 * k, 5 * k, np.ones(33), np.ones(33)], axis=1).astype(np.float32)
    square = TurnedSquare(x=200, y=300, side=500)
    mask = np.ones((256, 256), dtype=np.float32)
    return Body(points=points, score=1.0, square=square, mask=mask, canvas=canvas)


def face_at(x: float, y: float, width: float = 40, turn: float = 0.0) -> FaceMesh:
    """A face with its eyes, nose and sides; `turn` moves the nose towards a side, -0.5 to 0.5."""
    points = np.zeros((468, 3), dtype=np.float32)
    for ring, side in zip(EYES, (-0.25, 0.25), strict=True):
        points[list(ring), :2] = side, 0
    points[[234, 454], :2] = (-0.5, 0.1), (0.5, 0.1)
    points[4, :2] = turn, 0.3
    points[:, :2] = points[:, :2] * width + (x, y)
    return FaceMesh(points=points, score=0.95, canvas=(400, 600))


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


def test_a_body_takes_the_face_that_is_nearest_to_its_eyes() -> None:
    body = body_of()  # its eyes are midway at (35, 17.5)
    near, nearer, far = face_at(60, 20), face_at(40, 17), face_at(300, 300)
    assert face_of(body, [far, near, nearer]) is nearer
    assert face_of(body, [far]) is None
    assert face_of(body, []) is None


@pytest.mark.parametrize(
    ("extent", "share"),
    [((0, 0, 10, 10), 1), ((0, 0, 5, 10), 0.5), ((20, 0, 30, 10), 0), ((5, 5, 5, 5), 0)],
)
def test_the_overlap_is_intersection_over_union(extent: tuple[float, ...], share: float) -> None:
    box = Box(left=0, top=0, right=10, bottom=10)
    assert overlap(np.array(extent, np.float32), box) == pytest.approx(share)


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


def test_two_people_are_found_each_in_their_box(estimator: PhotoPoseEstimator) -> None:
    row = np.concatenate([portrait(9).image, portrait(11).image], axis=1)
    for seed, left in ((9, 0), (11, SIZE[0])):
        box = Box(left=left, top=0, right=left + SIZE[0], bottom=SIZE[1])
        found = estimator.find(row, box)
        assert found.shape == (17, 3)
        expected = portrait(seed).keypoints[:, :2] + (left, 0)
        width = np.linalg.norm(expected[5] - expected[6])
        for joint in (1, 2, 5, 6):
            assert found[joint, 2] > 0.5
            assert np.linalg.norm(found[joint, :2] - expected[joint]) < 0.3 * width


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


@pytest.mark.parametrize("seed", [2, 9])
def test_a_close_up_has_a_face_and_no_guessed_shoulders(
    estimator: PhotoPoseEstimator, seed: int
) -> None:
    drawing = portrait(seed)
    eyes = drawing.keypoints[[1, 2], :2]
    middle, reach = eyes.mean(axis=0), 1.3 * float(np.linalg.norm(eyes[1] - eyes[0]))
    left, top = np.maximum(middle - reach, 0).astype(int)
    right, bottom = (middle + reach).astype(int)
    close = cv2.resize(drawing.image[top:bottom, left:right], None, fx=4, fy=4)
    found = estimator.find(np.asarray(close), Box.whole((close.shape[1], close.shape[0])))
    assert (found[:3, 2] > 0.5).all()
    expected = (eyes - (left, top)) * 4
    np.testing.assert_allclose(found[1:3, :2], expected, atol=0.2 * reach)
    outside = np.abs(found[5:, :2] - np.array(close.shape[1::-1]) / 2).max(axis=1)
    assert not found[5:, 2][outside > max(close.shape)].any()


@pytest.mark.parametrize(
    "shape", [(600, 800), (1, 1), (2, 900), (20_000, 30), (30, 20_000)], ids=str
)
def test_an_empty_picture_has_nobody(
    estimator: PhotoPoseEstimator, bodies: BodyEstimator, shape: tuple[int, int]
) -> None:
    grey = np.full((*shape, 3), 128, dtype=np.uint8)
    assert bodies.find(grey) == ()
    assert not estimator.find(grey, Box.whole((shape[1], shape[0]))).any()


def test_two_threads_at_once_find_the_same(bodies: BodyEstimator) -> None:
    pictures = [portrait(seed).image for seed in (1, 8, 1, 8)]
    expected = [bodies.find(one)[0].points for one in pictures]
    with ThreadPoolExecutor(2) as pool:
        for one, points in zip(pool.map(bodies.find, pictures), expected, strict=True):
            np.testing.assert_array_equal(one[0].points, points)
