"""Reads people in a photograph: person, faces, bodies, and the parts of each person.

Small detectors of MediaPipe find people and faces; the human parser divides them into parts, in an
upright square round each head and in a larger one round each body.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

import cv2
import numpy as np

from inference.people.body_landmarks import Body, BodyEstimator, face_of
from inference.people.face_mesh import FaceMesh, FaceMeshEstimator
from inference.people.human_parser import HumanParser
from inference.people.part_cleaning import (
    without_false_hats,
    without_false_skin,
    without_islands,
    without_neck,
)
from inference.people.part_features import part_features
from inference.people.parts import Part
from inference.people.person_segmenter import PersonSegmenter
from inference.people.rims import RIMS, rim_contrast
from inference.people.turned_square import Floats, TurnedSquare, fading
from inference.picture.geometry import Size, fit_within
from inference.picture.photo import Pixels

if TYPE_CHECKING:
    import torch

# Longer sides, in pixels, of the picture that is looked at and of the maps of its parts.
LONGEST, GRID = 1280, 384
# Squares that are parsed: side, and centre below the point between the eyes, in face widths.
HEAD, BODY = (4.4, 0.25), (12.0, 3.6)
HEAD_SIDE, BODY_SIDE = 256, 320
EPSILON = 1e-4
# Factors of the odds of glasses, for faces with rims and without.
RIMMED, BARE = 3.0, 0.02
# Least share of the picture that people cover.
LEAST_PERSON = 0.002
WITHIN = 0.5  # least share of a face inside the mask of its body


@dataclass(frozen=True, kw_only=True, eq=False)
class People:
    """The people in a photograph.

    Attributes:
        faces, bodies: those found, the largest first, in pixels of the picture looked at.
        size: (width, height) of the picture looked at.
        parts: (parts, h, w), the probability of each `Part`; their sum is 1.
    """

    faces: tuple[FaceMesh, ...]
    bodies: tuple[Body, ...]
    size: Size
    parts: Floats = field(repr=False)

    @property
    def person(self) -> Floats:
        """(h, w) in 0–1, where people are."""
        return np.asarray(1 - self.parts[Part.BACKGROUND], np.float32)

    @property
    def anybody(self) -> bool:
        """Whether the photograph shows a person large enough to be meant."""
        return bool((self.person >= 0.5).mean() >= LEAST_PERSON)

    @property
    def pairs(self) -> list[tuple[Body | None, FaceMesh | None]]:
        """Each person's body and face, one of which may not have been found.

        A face inside the mask of a body is that body's, even where the body's own eyes are
        elsewhere, as in close-ups; a second body round the same face is no second person.
        """
        pairs: list[tuple[Body | None, FaceMesh | None]] = []
        left, size = list(self.faces), (self.parts.shape[2], self.parts.shape[1])
        for body in sorted(self.bodies, key=lambda one: face_of(one, self.faces) is None):
            face, inside = face_of(body, left), body.mask_on(size) >= 0.5
            around = [one for one in self.faces if inside[one.front_on(size)].mean() > WITHIN]
            if face is None and around:
                face = next((one for one in around if one in left), None)
                if face is None:
                    continue
            left = [one for one in left if one is not face]
            pairs.append((body, face))
        return [*pairs, *((None, face) for face in left)]


@dataclass(frozen=True, kw_only=True)
class PhotoReader:
    """Finds people and their parts in photographs. Not thread-safe.

    Attributes:
        words: the words that it answers.
    """

    words: frozenset[str]
    persons: PersonSegmenter
    faces: FaceMeshEstimator
    bodies: BodyEstimator
    parser: HumanParser

    @classmethod
    def load(
        cls, detectors: Path, parser: Path, device: torch.device, words: frozenset[str]
    ) -> Self:
        """Load MediaPipe's models and the parser from two local folders."""
        return cls(
            words=words,
            persons=PersonSegmenter.load(detectors),
            faces=FaceMeshEstimator.load(detectors),
            bodies=BodyEstimator.load(detectors),
            parser=HumanParser.load(parser, device),
        )

    def read(self, photo: Pixels) -> People:
        """Find the people in a photograph, (H, W, 3) uint8 RGB."""
        canvas = photo.shape[1], photo.shape[0]
        looked = fit_within(canvas, LONGEST)
        picture = np.asarray(cv2.resize(photo, looked, interpolation=cv2.INTER_AREA), np.uint8)
        faces = self.faces.find(picture)
        bodies = self.bodies.find(picture, faces)
        size = fit_within(looked, GRID)
        person = self.persons.find(picture, faces, bodies, size)
        view = _View(picture=picture, person=person, size=size)
        parts = self._parse_whole(view)
        for face in reversed(faces):
            glasses = RIMMED if rim_contrast(picture, face) >= RIMS else BARE
            for square, side in _squares(face):
                found = _with_odds(self._parse(view, square, side, face), glasses)
                parts = view.blend(parts, found, square)
        small = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
        parts = without_neck(_within(parts, person), faces, size[0] / looked[0])
        parts = without_false_skin(without_false_hats(parts, small), small)
        return People(faces=faces, bodies=bodies, size=looked, parts=without_islands(parts))

    def _parse_whole(self, view: _View) -> Floats:
        """The parts in the whole picture, without a face."""
        height, width = view.picture.shape[:2]
        square = TurnedSquare(x=width / 2, y=height / 2, side=float(max(width, height)))
        return view.paste(_with_odds(self._parse(view, square, BODY_SIDE, None), BARE), square)

    def _parse(self, view: _View, square: TurnedSquare, side: int, face: FaceMesh | None) -> Floats:
        picture = square.cut(view.picture, side, cv2.BORDER_REPLICATE)
        person = view.cut_person(square, side)
        if face is None:
            return self.parser.parse(part_features(picture, person, None, None))
        to_square = square.affine(side)
        oval = face.oval @ to_square[:, :2].T + to_square[:, 2]
        back = np.vstack([cv2.invertAffineTransform(to_square), [0, 0, 1]])
        frame = face.frame @ back
        return self.parser.parse(
            part_features(picture, person, frame.astype(np.float32), oval.astype(np.float32))
        )


@dataclass(frozen=True, kw_only=True)
class _View:
    """The picture that is looked at, where people are in it, and the size of the maps."""

    picture: Pixels
    person: Floats
    size: Size

    @property
    def canvas(self) -> Size:
        return self.picture.shape[1], self.picture.shape[0]

    def paste(self, values: Floats, square: TurnedSquare) -> Floats:
        """Maps (n, side, side) of a square over the whole picture, (n, h, w)."""
        return np.stack([square.paste(one, self.canvas, self.size) for one in values])

    def blend(self, parts: Floats, found: Floats, square: TurnedSquare) -> Floats:
        """Maps with those found in a square, which fades out at its border."""
        weight = square.paste(fading(found.shape[-1]), self.canvas, self.size)
        return np.asarray(parts + (self.paste(found, square) - parts) * weight, np.float32)

    def cut_person(self, square: TurnedSquare, side: int) -> Floats:
        """Where people are, in a square sampled at `side`²."""
        scale = self.size[0] / self.canvas[0]
        small = TurnedSquare(
            x=square.x * scale, y=square.y * scale, side=square.side * scale, angle=square.angle
        )
        gray = np.rint(self.person * 255).astype(np.uint8)
        return np.asarray(small.cut(gray, side, cv2.BORDER_REPLICATE) / 255, np.float32)


def _squares(face: FaceMesh) -> Iterator[tuple[TurnedSquare, int]]:
    """The squares to parse for a face with their resolutions, the larger one first."""
    x, y = (float(one) for one in face.eyes.mean(axis=0))
    side, below = BODY
    yield TurnedSquare(x=x, y=y + below * face.width, side=side * face.width), BODY_SIDE
    side, below = HEAD
    sin, cos = np.sin(face.upright), np.cos(face.upright)
    middle_x, middle_y = x - sin * below * face.width, y + cos * below * face.width
    yield (
        TurnedSquare(x=middle_x, y=middle_y, side=side * face.width, angle=face.upright),
        HEAD_SIDE,
    )


def _with_odds(parts: Floats, glasses: float) -> Floats:
    """Probabilities of parts, of sum 1, with that of glasses multiplied by a factor."""
    changed = parts.copy()
    changed[Part.GLASSES] *= glasses
    return np.asarray(changed / changed.sum(axis=0), np.float32)


def _within(parts: Floats, person: Floats) -> Floats:
    """Probabilities of parts, of sum 1, with the person as the mean of both opinions."""
    inside = parts[1:] / np.maximum(parts[1:].sum(axis=0), EPSILON)
    parsed = np.clip(parts[1:].sum(axis=0), EPSILON, 1 - EPSILON)
    seen = np.clip(person, EPSILON, 1 - EPSILON)
    odds = np.sqrt(parsed / (1 - parsed) * seen / (1 - seen))
    joined = odds / (1 + odds)
    return np.concatenate([1 - joined[None], inside * joined], dtype=np.float32)
