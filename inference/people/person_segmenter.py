"""Where people are in a photograph: MediaPipe's selfie segmentation and BlazePose's masks, joined.

The segmentation looks at the whole picture, mirrored too, and at a square round each small person,
so that small figures are not lost; where a face fills the picture, at a padded one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import cv2
import numpy as np

from inference.people.body_landmarks import MIN_PRESENCE, Body, face_of
from inference.people.face_mesh import FaceMesh
from inference.people.turned_square import Floats, TurnedSquare, fading
from inference.picture.geometry import Size
from inference.picture.photo import Pixels
from inference.runtime.tflite import TfliteModel, picture_tensor

MODEL = "selfie_segmentation.tflite"
SHOULDERS = [11, 12]
# A face wider than this share of the picture's shorter side is a close-up.
CLOSE_UP = 0.3
BORDER = 0.35
# Square in which a person is also looked at alone: side, and centre below the point between the
# eyes, in face widths; where it is smaller than `SMALL` of the picture's longer side.
CHEST, SMALL = (6.0, 1.5), 0.85


class PersonSegmenter:
    """Selfie segmentation and the masks of bodies. Thread-safe."""

    def __init__(self, model: TfliteModel) -> None:
        self._model = model

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load the model from a local folder."""
        return cls(TfliteModel.load(folder / MODEL))

    def find(
        self, picture: Pixels, faces: Sequence[FaceMesh], bodies: Sequence[Body], size: Size
    ) -> Floats:
        """Where people are.

        Args:
            picture: (H, W, 3) uint8 RGB.
            faces, bodies: those found in it.
            size: (width, height) of the result.

        Returns:
            (height, width) in 0–1.
        """
        person = self._on(picture, size)
        largest = max((face.width for face in faces), default=0.0)
        if largest > CLOSE_UP * min(picture.shape[:2]):
            return np.asarray((person + self._padded(picture, size)) / 2, np.float32)
        mirrored = self._on(np.ascontiguousarray(picture[:, ::-1]), size)[:, ::-1]
        person = np.asarray((person + mirrored) / 2, np.float32)
        hidden = (body.square for body in bodies if face_of(body, faces) is None)
        for square in (*map(_chest, faces), *map(_upright, hidden)):
            person = self._refined(picture, person, square)
        seen = [body for body in bodies if (body.points[SHOULDERS, 3] >= MIN_PRESENCE).all()]
        if not seen:
            return person
        return _joined(person, seen, size)

    def _run(self, picture: Pixels) -> Floats:
        """The model's map, (256, 256), of a picture of any shape."""
        small = cv2.resize(picture, self._model.input_size, interpolation=cv2.INTER_AREA)
        (output,) = self._model.run(picture_tensor(np.asarray(small, np.uint8))).values()
        return np.asarray(output.reshape(self._model.input_size[::-1]), np.float32)

    def _on(self, picture: Pixels, size: Size) -> Floats:
        found = cv2.resize(self._run(picture), size, interpolation=cv2.INTER_LINEAR)
        return np.asarray(found, np.float32)

    def _padded(self, picture: Pixels, size: Size) -> Floats:
        """As if the camera had been farther away."""
        high, wide = (round(side * BORDER) for side in picture.shape[:2])
        padded = cv2.copyMakeBorder(picture, high, high, wide, wide, cv2.BORDER_REPLICATE)
        found = self._run(np.asarray(padded, np.uint8))
        y, x = (round(len(found) * BORDER / (1 + 2 * BORDER)) for _ in range(2))
        inside = found[y : len(found) - y, x : len(found) - x]
        return np.asarray(cv2.resize(inside, size, interpolation=cv2.INTER_LINEAR), np.float32)

    def _refined(self, picture: Pixels, person: Floats, square: TurnedSquare) -> Floats:
        """The map, in a square round one person averaged with what is found in that alone."""
        canvas = picture.shape[1], picture.shape[0]
        if square.side > SMALL * max(canvas):
            return person
        size = person.shape[1], person.shape[0]
        found = self._run(square.cut(picture, 2 * self._model.input_size[0], cv2.BORDER_REPLICATE))
        near = square.paste(found, canvas, size)
        weight = square.paste(fading(len(found)), canvas, size)
        return np.asarray(person + 0.5 * (near - person) * weight, np.float32)


def _upright(square: TurnedSquare) -> TurnedSquare:
    return TurnedSquare(x=square.x, y=square.y, side=square.side)


def _chest(face: FaceMesh) -> TurnedSquare:
    """The square round a person's head and chest."""
    x, y = (float(one) for one in face.eyes.mean(axis=0))
    side, below = CHEST
    return TurnedSquare(x=x, y=y + below * face.width, side=side * face.width)


def _joined(person: Floats, bodies: Sequence[Body], size: Size) -> Floats:
    """Mean of the segmentation and the bodies' masks, within the bodies' regions."""
    masks = np.max([body.mask_on(size) for body in bodies], axis=0)
    ones = np.ones((64, 64), np.float32)
    covers = [body.square.paste(ones, body.canvas, size) for body in bodies]
    covered = np.max(covers, axis=0)
    return np.asarray(person + 0.5 * covered * (masks - person), np.float32)
