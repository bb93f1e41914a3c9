"""Faces in photographs: BlazeFace (arXiv:1907.05047) and a mesh of 468 points (arXiv:1907.06724).

Coordinates are in pixels from the picture's left and top edge.
"""

from __future__ import annotations

from collections.abc import Iterable
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
from inference.people.turned_square import Affine, Floats, TurnedSquare
from inference.picture.geometry import Size
from inference.picture.photo import Pixels
from inference.runtime.tflite import TfliteModel, picture_tensor

DETECTOR, LANDMARKS = "face_detection_short_range.tflite", "face_landmark.tflite"
LAYOUT = Layout(
    grids=((8, 2), (16, 6)), black=-1.0, boxes="regressors", scores="classificators"
)  # fmt: skip
# True faces are near 1, also cut off ones, but not always in the detector's own crop.
MIN_PRESENCE, MIN_FIRST_PRESENCE = 0.75, 0.1
CROP = 1.5  # side of the crop, in longer sides of the face's box
BORDER = 0.35
TURN = np.pi / 4
TILES = (0.6, 0.3)  # sides of the tiles, of the picture's mean side
MIN_SHARE = 0.12  # of the picture's longer side: where all faces are smaller, more are searched
MAX_FACES = 16
NECK = 1.1  # face widths below the middle of the face

#: Points of the outline, clockwise from the middle of the forehead as seen in the picture.
OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
#: Points round each eye: the person's right one, which is left in the picture, then the left one.
EYES = (
    (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246),
    (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466),
)
NOSE, LIPS, SIDES = 4, (13, 14, 61, 291), (234, 454)


@dataclass(frozen=True, kw_only=True, eq=False)
class FaceMesh:
    """A face in a picture.

    Attributes:
        points: (468, 3): x, y in pixels of the picture; z in the same unit, smaller is nearer.
        score: the landmark model's confidence that there is a face, in 0–1.
        canvas: (width, height) of the picture.
    """

    points: Floats = field(repr=False)
    score: float
    canvas: Size

    @property
    def oval(self) -> Floats:
        """(36, 2): outline of the face, from the forehead's middle; the hair is outside."""
        return self.points[list(OVAL), :2]

    @property
    def eyes(self) -> Floats:
        """(2, 2): centres of the person's right eye, which is left in the picture, and left eye."""
        return np.stack([self.points[list(ring), :2].mean(axis=0) for ring in EYES])

    @property
    def nose(self) -> Floats:
        """(2,): tip of the nose."""
        return self.points[NOSE, :2]

    @property
    def mouth(self) -> Floats:
        """(2,): centre of the mouth."""
        return np.asarray(self.points[list(LIPS), :2].mean(axis=0))

    @property
    def width(self) -> float:
        """Width of the face in pixels, between the points before the ears, also of a turned head.

        It is the distance in space, so that a head turned aside has nearly the width it has from
        the front.
        """
        one, other = self.points[list(SIDES)]
        return max(float(np.linalg.norm(other - one)), 1e-3)

    @property
    def upright(self) -> float:
        """Angle of the line from the right to the left eye, in radians; 0 is an upright head.

        Positive is clockwise in the picture.
        """
        across = self.eyes[1] - self.eyes[0]
        return float(np.arctan2(across[1], across[0]))

    @property
    def frame(self) -> Affine:
        """(2, 3): maps pixels of the picture to coordinates of the face.

        The origin is midway between the eyes, the unit is `width`, x runs along the eyes' line
        (to the right in the picture for an upright head), y downwards to the chin.
        """
        cos, sin = np.cos(self.upright) / self.width, np.sin(self.upright) / self.width
        x, y = (float(one) for one in self.eyes.mean(axis=0))
        return np.array([[cos, sin, -cos * x - sin * y], [-sin, cos, sin * x - cos * y]])

    def front_on(self, size: Size) -> NDArray[np.bool_]:
        """The face and a little of the neck, as far as they are surely this person's.

        Args:
            size: (width, height) of the map, which covers the picture.

        Returns:
            (height, width).
        """
        below = np.array([-np.sin(self.upright), np.cos(self.upright)]) * self.width * NECK
        outline = np.concatenate([self.oval, [self.oval.mean(axis=0) + below]])
        hull = cv2.convexHull((outline * (size[0] / self.canvas[0])).astype(np.float32))
        drawn = np.zeros(size[::-1], np.uint8)
        cv2.fillConvexPoly(drawn, np.rint(hull).astype(np.int32), (1,))
        return np.asarray(drawn > 0)


class FaceMeshEstimator:
    """Finds faces and their meshes. Thread-safe."""

    def __init__(self, detector: TfliteModel, landmarks: TfliteModel) -> None:
        self._detector = BlazeDetector(detector, LAYOUT)
        self._landmarks = landmarks

    @classmethod
    def load(cls, folder: Path) -> FaceMeshEstimator:
        """Load both models from a local folder."""
        return cls(TfliteModel.load(folder / DETECTOR), TfliteModel.load(folder / LANDMARKS))

    def find(self, picture: Pixels) -> tuple[FaceMesh, ...]:
        """The faces in a picture, (H, W, 3) uint8 RGB, the largest first."""
        small, scale = shrink(picture)
        meshes = self._meshes(picture, self._detect(small), scale)
        if not meshes:
            meshes = self._meshes(picture, self._detect_odd(small), scale)
        return tuple(sorted(meshes, key=lambda it: -_area(it.oval)))[:MAX_FACES]

    def _detect(self, picture: Pixels) -> list[Detection]:
        """Upright faces in the whole picture and in tiles of it; smaller tiles find small faces."""
        size = (picture.shape[1], picture.shape[0])
        found = self._detector.find(picture, whole(size))
        for share in TILES:
            if share == max(TILES) or all(one.side < MIN_SHARE * max(size) for one in found):
                for tile in tiles(size, share):
                    found += self._detector.find(picture, tile)
        return suppress(found)

    def _detect_odd(self, picture: Pixels) -> list[Detection]:
        """Faces that fill the picture or are turned far."""
        size = (picture.shape[1], picture.shape[0])
        wider = whole(size, BORDER)
        found = self._detector.find(picture, wider, cv2.BORDER_REPLICATE)
        for angle in (-TURN, TURN):
            turned = TurnedSquare(x=wider.x, y=wider.y, side=wider.side, angle=angle)
            found += self._detector.find(picture, turned)
        return suppress(found)

    def _meshes(self, picture: Pixels, found: Iterable[Detection], scale: Floats) -> list[FaceMesh]:
        meshes: list[FaceMesh] = []
        for one in found:
            eyes = one.points[:2] * scale
            middle = (one.box[:2] + one.box[2:]) * (scale * np.float32(0.5))
            square = _square(middle, one.side * float(scale.mean()), eyes)
            mesh = self._mesh(picture, square)
            if mesh.score >= MIN_FIRST_PRESENCE:
                mesh = self._mesh(picture, _square_of(mesh))
            if mesh.score >= MIN_PRESENCE and not any(_is_same(mesh, it) for it in meshes):
                meshes.append(mesh)
        return meshes

    def _mesh(self, picture: Pixels, square: TurnedSquare) -> FaceMesh:
        """The face in a square in which it is upright; its score is low where there is none."""
        side = self._landmarks.input_size[0]
        crop = square.cut(picture, side, cv2.BORDER_REPLICATE)
        found = self._landmarks.run(picture_tensor(crop))
        score = float(sigmoid(found["conv2d_31"]).ravel()[0])
        points = found["conv2d_21"].reshape(-1, 3) / np.float32(side)
        placed = np.concatenate([square.to_picture(points[:, :2]), points[:, 2:] * square.side], 1)
        return FaceMesh(points=placed.astype(np.float32), score=score,
                        canvas=(picture.shape[1], picture.shape[0]))  # fmt: skip


def _square(middle: Floats, side: float, eyes: Floats) -> TurnedSquare:
    """The crop round a face, turned so that its eyes are level."""
    dx, dy = (float(one) for one in eyes[1] - eyes[0])
    x, y = (float(one) for one in middle)
    return TurnedSquare(x=x, y=y, side=max(CROP * side, 1.0), angle=float(np.arctan2(dy, dx)))


def _square_of(mesh: FaceMesh) -> TurnedSquare:
    """The crop round a face whose mesh is known."""
    cos, sin = np.cos(mesh.upright), np.sin(mesh.upright)
    to_level = np.array([[cos, -sin], [sin, cos]])
    level = mesh.points[:, :2] @ to_level
    low, high = level.min(axis=0), level.max(axis=0)
    middle = np.asarray((low + high) / 2 @ to_level.T, dtype=np.float32)
    return _square(middle, float((high - low).max()), mesh.eyes)


def _area(polygon: Floats) -> float:
    return float(cv2.contourArea(polygon))


def _is_same(a: FaceMesh, b: FaceMesh) -> bool:
    apart = np.linalg.norm(a.eyes.mean(axis=0) - b.eyes.mean(axis=0))
    return bool(apart < 0.5 * max(a.width, b.width))
