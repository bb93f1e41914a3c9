"""People in photographs: BlazePose (arXiv:2006.10204), 33 points and a mask of each person.

Coordinates are in pixels from the picture's left and top edge.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.people.blaze_detector import (
    BlazeDetector,
    Detection,
    Layout,
    shrink,
    sigmoid,
    suppress,
    tiles,
    whole,
)
from inference.people.face_mesh import FaceMesh
from inference.people.turned_square import Floats, TurnedSquare
from inference.picture.geometry import Size
from inference.picture.photo import Pixels
from inference.runtime.tflite import TfliteModel, picture_tensor

DETECTOR, LANDMARKS = "pose_detection.tflite", "pose_landmark_full.tflite"
LAYOUT = Layout(
    grids=((8, 2), (16, 2), (32, 6)), black=-1.0, boxes="Identity", scores="Identity_1"
)  # fmt: skip
MIN_PRESENCE = 0.5
MIN_SUPPORT = 0.6  # of the points in the picture, on the mask
FACE_REACH = 1.0  # face widths between the eyes of a face and those of its body
# Where the body of a face is searched, in face widths: below the eyes, and a side.
FACE_TO_BODY, SURROUNDINGS = 1.5, 7.0
REACH = 2.5  # side of the region, in distances of its centre from the point above the head
MIN_SHARE = 0.8  # of the picture's longer side: where all regions are smaller, more are searched
TILE = 0.6  # side of a tile, of the picture's mean side
POINTS = 33  # the model's further six are its own
MAX_BODIES = 8
# Shoulders, arms and legs; the width of their lines, as a share of the trunk's longer side; how
# much of the trunk lies well inside it.
LINES = (
    (11, 12), (11, 13), (13, 15), (12, 14), (14, 16), (23, 25), (25, 27), (24, 26), (26, 28),
)  # fmt: skip
LINE_WIDTH, INNER_TRUNK = 0.1, 0.7
SAME_BODY = 0.08  # mean distance of two bodies' points, in sides of the region of one person


@dataclass(frozen=True, kw_only=True, eq=False)
class Body:
    """A person in a picture.

    Attributes:
        points: (33, 4): x, y in pixels of the picture, visibility and presence in 0–1. Points may
            lie outside the picture; their presence is low there.
        score: the landmark model's confidence that there is a person, in 0–1.
        square: the region that the landmark model looked at.
        mask: (256, 256), the person's probability in the region, in 0–1.
        canvas: (width, height) of the picture.
    """

    points: Floats = field(repr=False)
    score: float
    square: TurnedSquare
    mask: Floats = field(repr=False)
    canvas: Size

    @property
    def region(self) -> Floats:
        """(4, 2): corners of the region, from its upper left, clockwise as seen in it."""
        return self.square.corners

    def mask_on(self, size: Size) -> Floats:
        """The mask of this person alone, over the whole picture.

        Args:
            size: (width, height) of the map.

        Returns:
            (height, width) in 0–1; 0 outside the region.
        """
        return self.square.paste(self.mask, self.canvas, size)

    def lines_on(self, size: Size) -> NDArray[np.bool_]:
        """The middle of the limbs and the trunk, where they are seen and the mask agrees.

        Args:
            size: (width, height) of the map.

        Returns:
            (height, width).
        """
        drawn = np.zeros(size[::-1], np.uint8)
        points = self.points[:, :2] * (size[0] / self.canvas[0])
        seen = self.points[:, 2:].min(axis=1) >= MIN_PRESENCE
        trunk = points[[11, 12, 24, 23]]
        sides = np.linalg.norm(trunk[[0, 0]] - trunk[[1, 3]], axis=1)
        width = max(1, round(LINE_WIDTH * float(sides.max())))
        if seen[[11, 12, 24, 23]].all():
            inner = trunk.mean(axis=0) + INNER_TRUNK * (trunk - trunk.mean(axis=0))
            cv2.fillConvexPoly(drawn, cv2.convexHull(np.rint(inner).astype(np.int32)), (1,))
        for start, end in LINES:
            if seen[start] and seen[end]:
                ends = np.rint(points[[start, end]]).astype(int).tolist()
                cv2.line(drawn, ends[0], ends[1], (1,), width)
        return np.asarray((drawn > 0) & (self.mask_on(size) >= MIN_PRESENCE))


class BodyEstimator:
    """Finds people. Thread-safe."""

    def __init__(self, detector: TfliteModel, landmarks: TfliteModel) -> None:
        self._detector = BlazeDetector(detector, LAYOUT)
        self._landmarks = landmarks

    @classmethod
    def load(cls, folder: Path) -> BodyEstimator:
        """Load both models from a local folder."""
        return cls(TfliteModel.load(folder / DETECTOR), TfliteModel.load(folder / LANDMARKS))

    def find(self, picture: Pixels, faces: Sequence[FaceMesh] = ()) -> tuple[Body, ...]:
        """The people in a picture, the largest first; at most eight.

        Args:
            picture: (H, W, 3) uint8 RGB.
            faces: the faces in it, the largest first: where one has no body yet, people are
                searched once more round it.
        """
        small, scale = shrink(picture)
        bodies: list[Body] = []
        for one in self._detect(small)[:MAX_BODIES]:
            body = self._body(picture, _region(one, scale))
            if body is not None and not any(_is_same(body, other) for other in bodies):
                bodies.append(body)
        for face in faces[: MAX_BODIES - len(bodies)]:
            if not any(face_of(body, [face]) for body in bodies):
                bodies += self._round(picture, face)
        return tuple(sorted(bodies, key=lambda it: -it.square.side))

    def _detect(self, picture: Pixels) -> list[Detection]:
        """People in the whole picture and in tiles of it; tiles find the smaller ones."""
        size = (picture.shape[1], picture.shape[0])
        found = self._detector.find(picture, whole(size))
        if all(_region(one).side < MIN_SHARE * max(size) for one in found):
            for tile in tiles(size, TILE):
                found += self._detector.find(picture, tile)
        return suppress(found)

    def _round(self, picture: Pixels, face: FaceMesh) -> list[Body]:
        """The body of a face, or nothing."""
        x, y = face.eyes.mean(axis=0) + FACE_TO_BODY * face.width * _down(face)
        square = TurnedSquare(x=float(x), y=float(y), side=SURROUNDINGS * face.width)
        found = suppress(self._detector.find(picture, square))
        bodies = (self._body(picture, _region(one)) for one in found)
        return [one for one in bodies if one is not None and face_of(one, [face])][:1]

    def _body(self, picture: Pixels, square: TurnedSquare) -> Body | None:
        """The person in a square in which they are upright; `None` where the model sees nobody."""
        side = self._landmarks.input_size[0]
        found = self._landmarks.run(picture_tensor(square.cut(picture, side)))
        score = float(found["Identity_1"].ravel()[0])
        if score < MIN_PRESENCE:
            return None
        rows = found["Identity"].reshape(-1, 5)[:POINTS]
        points = np.concatenate(
            [square.to_picture(rows[:, :2] / np.float32(side)), sigmoid(rows[:, 3:])], axis=1
        )
        mask = sigmoid(found["Identity_2"][0, :, :, 0])
        canvas = (picture.shape[1], picture.shape[0])
        body = Body(points=points, score=score, square=square, mask=mask, canvas=canvas)
        return body if _support(body) >= MIN_SUPPORT else None


def face_of(body: Body, faces: Iterable[FaceMesh]) -> FaceMesh | None:
    """The face whose eyes are nearest to the body's, if they are near enough."""
    eyes = body.points[[2, 5], :2].mean(axis=0)
    apart = [(float(np.linalg.norm(one.eyes.mean(axis=0) - eyes)) / one.width, one)
             for one in faces]  # fmt: skip
    near = min(apart, key=lambda it: it[0], default=None)
    return near[1] if near is not None and near[0] < FACE_REACH else None


def square_of(centre: Floats, above: Floats) -> TurnedSquare:
    """The region of a person from two points of the detector.

    Args:
        centre: (2,), between the hips.
        above: (2,), on the circle round the whole person, in the direction of the head.
    """
    dx, dy = (float(one) for one in above - centre)
    side = max(REACH * float(np.hypot(dx, dy)), 1.0)
    angle = float(np.arctan2(dx, -dy))
    return TurnedSquare(x=float(centre[0]), y=float(centre[1]), side=side, angle=angle)


def _region(found: Detection, scale: Floats | float = 1.0) -> TurnedSquare:
    centre, above = found.points[:2] * scale
    return square_of(centre, above)


def _down(face: FaceMesh) -> Floats:
    """Direction from the eyes to the chin, (2,)."""
    return np.array([-np.sin(face.upright), np.cos(face.upright)], dtype=np.float32)


def _support(body: Body) -> float:
    """Share of the points in the picture that lie on the mask; low where nobody is."""
    x, y, _, presence = body.points.T
    within = (x >= 0) & (y >= 0) & (x < body.canvas[0]) & (y < body.canvas[1])
    seen = body.points[within & (presence >= MIN_PRESENCE), :2]
    side = len(body.mask)
    matrix = body.square.affine(side)
    columns, rows = np.clip(seen @ matrix[:, :2].T + matrix[:, 2], 0, side - 1).astype(int).T
    return float((body.mask[rows, columns] > 0.5).mean()) if len(seen) else 0.0


def _is_same(a: Body, b: Body) -> bool:
    apart = np.linalg.norm(a.points[:, :2] - b.points[:, :2], axis=1).mean()
    return bool(apart < SAME_BODY * max(a.square.side, b.square.side))
