"""COCO key points of people in photographs, from BlazePose's points and the mesh of the face."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from inference.control.openpose_skeleton import Keypoints
from inference.people.body_landmarks import Body, face_of
from inference.people.face_mesh import SIDES, FaceMesh
from inference.people.person_regions import PersonRegions
from inference.people.turned_square import Floats
from inference.picture.geometry import Size

if TYPE_CHECKING:
    from inference.people.photo_reader import People

#: BlazePose's point for each of COCO's: nose, eyes, ears, shoulders, elbows, wrists, hips, knees,
#: ankles; of each pair the person's left one first.
BLAZE_OF_COCO = (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)
MIN_PRESENCE = 0.25  # below it a point is a guess, as shoulders are in close-ups
MARGIN = 0.02  # of the picture's longer side, by which a point may lie outside of it
LEAST_THEIRS = 0.5  # of a body's or a face's points, on the pixels of the person whose it is
HIDDEN = 0.2  # of the face's width: nearer to the nose than this an ear is behind the head


def to_coco(body: Body | None, face: FaceMesh | None) -> Keypoints:
    """COCO-17 key points of one person.

    Args:
        body: the person's body; without one, only the face has key points.
        face: the same person's face, whose eyes, nose and ears are more exact than the body's.

    Returns:
        (17, 3) float32: x, y in pixels from the picture's edge, score in 0–1. The score is the
        lower one of visibility and presence, and 0 for what is not seen.
    """
    coco = np.zeros((17, 3), dtype=np.float32)
    if body is not None:
        rows = body.points[list(BLAZE_OF_COCO)]
        coco[:, :2], coco[:, 2] = rows[:, :2], rows[:, 2:].min(axis=1)
        coco[rows[:, 3] < MIN_PRESENCE, 2] = 0
        _drop_outside(coco, body.canvas)
    if face is not None:
        coco[:5] = _of_face(face)
        _drop_outside(coco, face.canvas)
    return coco


def largest_person(people: People, size: Size) -> Keypoints:
    """COCO-17 key points of the largest person in a photograph.

    Args:
        people: those in the photograph.
        size: (width, height) of the photograph.

    Returns:
        (17, 3) float32: x and y in pixels of the photograph, score in 0–1; all 0 without anybody.
    """
    body = people.bodies[0] if people.bodies else None
    if body is not None:
        face = face_of(body, people.faces)
    else:
        face = people.faces[0] if people.faces else None
    return _scaled(to_coco(body, face), people, size)


def one_of_people(people: People, regions: PersonRegions, index: int, size: Size) -> Keypoints:
    """COCO-17 key points of one person in a photograph.

    Args:
        people: those in the photograph.
        regions: whose each pixel is.
        index: of the person in `regions`.
        size: (width, height) of the photograph.

    Returns:
        As `largest_person`; all 0 where neither the body nor the face was found.
    """

    def theirs(points: Floats) -> float:
        """Share of points, in pixels of the picture looked at, that lie on the person."""
        high, wide = regions.owner.shape
        columns, rows = (points[:, :2] * np.divide((wide, high), people.size)).astype(int).T
        inside = (columns >= 0) & (rows >= 0) & (columns < wide) & (rows < high)
        found = regions.owner[rows[inside], columns[inside]] == index
        return float(found.mean()) if len(found) else 0.0

    seen = {body: body.points[body.points[:, 3] >= MIN_PRESENCE] for body in people.bodies}
    body = max(people.bodies, key=lambda one: theirs(seen[one]), default=None)
    if body is not None and theirs(seen[body]) < LEAST_THEIRS:
        body = None
    face = max(people.faces, key=lambda one: theirs(one.oval), default=None)
    if face is not None and theirs(face.oval) < LEAST_THEIRS:
        face = None
    return _scaled(to_coco(body, face), people, size)


def _scaled(points: Keypoints, people: People, size: Size) -> Keypoints:
    """Key points in pixels of a photograph of this size."""
    points[:, :2] *= np.divide(size, people.size, dtype=np.float32)
    return points


def _of_face(face: FaceMesh) -> Keypoints:
    """Nose, eyes and ears, (5, 3); an ear behind a head that is turned aside has score 0."""
    right_ear, left_ear = face.points[list(SIDES), :2]
    right_eye, left_eye = face.eyes
    places = np.stack([face.nose, left_eye, right_eye, left_ear, right_ear])
    across = (face.frame[:, :2] @ (places - face.nose).T)[0]
    scores = np.full(5, face.score)
    scores[3] *= across[3] > HIDDEN
    scores[4] *= across[4] < -HIDDEN
    return np.column_stack([places, scores]).astype(np.float32)


def _drop_outside(coco: Keypoints, canvas: Size) -> None:
    """Set the score of points outside the picture to 0."""
    margin = MARGIN * max(canvas)
    inside = (coco[:, :2] >= -margin) & (coco[:, :2] <= np.array(canvas) + margin)
    coco[~inside.all(axis=1), 2] = 0
