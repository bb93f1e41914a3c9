"""Tests of the steps of reading people, with a parser whose answer depends on the place alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from inference.people.face_mesh import FaceMesh
from inference.people.human_parser import HumanParser, ParsingNetwork
from inference.people.part_features import REACH
from inference.people.part_words import PARTS
from inference.people.parts import Part
from inference.people.photo_reader import People, PhotoReader
from inference.picture.photo import Pixels
from tests.people.test_photo_reader import parser_folder, portrait

# Left, top, right, bottom in face widths from the point between the eyes.
Box = tuple[float, float, float, float]
PLACES: tuple[tuple[Part, Box], ...] = (
    (Part.FACE, (-0.5, -0.5, 0.5, 0.9)),
    (Part.HAIR, (-0.6, -0.8, 0.6, -0.5)),
    (Part.HAT, (-0.6, -1.15, 0.6, -0.8)),
    (Part.SKIN, (-0.3, 1.5, 0.3, 1.9)),
    (Part.HAT, (0.4, 1.5, 0.48, 1.58)),
)
GLASSES: Box = (-0.4, -0.12, 0.4, 0.12)
BLACK, BLUE, WHITE = (18, 16, 18), (30, 40, 170), (235, 235, 235)


class ByPlace(ParsingNetwork):
    """Parts by the face's coordinates, clothes elsewhere on a person; glasses at odds of e to 1."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        across, down, person = (F.avg_pool2d(x[:, k], 2) for k in (4, 5, 3))
        logits = torch.zeros(len(x), len(Part), *across.shape[1:])
        logits[:, Part.BACKGROUND] = torch.where(person > 0, -8.0, 8.0)
        logits[:, Part.CLOTHES] = 3.0
        if not (x[:, 6] > 0).any():
            return logits
        for part, box in (*PLACES, (Part.GLASSES, GLASSES)):
            left, top, right, bottom = (side / REACH for side in box)
            inside = (across >= left) & (across < right) & (down >= top) & (down < bottom)
            logits[:, part] = torch.where(
                inside, torch.tensor(9.0 if part == Part.GLASSES else 8.0), logits[:, part]
            )
        return logits


@pytest.fixture(scope="module")
def reader(photo_models: Path) -> PhotoReader:
    device = torch.device("cpu")
    real = PhotoReader.load(photo_models, parser_folder(), device, frozenset(PARTS))
    return replace(real, parser=HumanParser(ByPlace(), device))


@pytest.fixture(scope="module")
def face(reader: PhotoReader) -> FaceMesh:
    return reader.faces.find(portrait(9).image)[0]


def pixels_of(face: FaceMesh, box: Box) -> np.ndarray:
    """Corners of a box in pixels of the picture, (4, 2)."""
    left, top, right, bottom = box
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    back = cv2.invertAffineTransform(face.frame)
    return np.asarray(corners @ back[:, :2].T + back[:, 2])


def painted(face: FaceMesh, *areas: tuple[Box, tuple[int, int, int]]) -> Pixels:
    """The drawing with areas of one colour."""
    picture = portrait(9).image.copy()
    for box, colour in areas:
        cv2.fillPoly(picture, [np.rint(pixels_of(face, box)).astype(np.int32)], colour)
    return picture


def part_at(people: People, face: FaceMesh, box: Box) -> Part:
    """The most likely part in the middle of a box."""
    x, y = pixels_of(face, box).mean(axis=0) * people.parts.shape[2] / people.size[0]
    return Part(int(people.parts[:, int(y), int(x)].argmax()))


@pytest.mark.parametrize(("part", "box"), [PLACES[0], PLACES[1], PLACES[2]], ids=str)
def test_parts_lie_where_the_parser_sees_them_from_the_face(
    reader: PhotoReader, face: FaceMesh, part: Part, box: Box
) -> None:
    picture = painted(face, (PLACES[1][1], BLACK), (PLACES[2][1], BLUE))
    assert part_at(reader.read(picture), face, box) == part


@pytest.mark.parametrize(("colour", "part"), [(BLACK, Part.HAIR), (BLUE, Part.HAT)])
def test_a_hat_of_the_hairs_colour_is_hair(
    reader: PhotoReader, face: FaceMesh, colour: tuple[int, int, int], part: Part
) -> None:
    picture = painted(face, (PLACES[1][1], BLACK), (PLACES[2][1], colour))
    assert part_at(reader.read(picture), face, PLACES[2][1]) == part


@pytest.mark.parametrize(("as_face", "part"), [(True, Part.SKIN), (False, Part.CLOTHES)])
def test_skin_has_the_hue_of_the_face(
    reader: PhotoReader, face: FaceMesh, as_face: bool, part: Part
) -> None:
    inside = portrait(9).masks["face"]
    skin = np.median(portrait(9).image[inside], axis=0).astype(int)
    colour = (int(skin[0]), int(skin[1]), int(skin[2])) if as_face else WHITE
    picture = painted(face, (PLACES[3][1], colour))
    assert part_at(reader.read(picture), face, PLACES[3][1]) == part


def test_a_hat_of_a_few_pixels_on_the_chest_is_an_island(
    reader: PhotoReader, face: FaceMesh
) -> None:
    picture = painted(face, (PLACES[1][1], BLACK), (PLACES[2][1], BLUE))
    assert part_at(reader.read(picture), face, PLACES[4][1]) == Part.CLOTHES


@pytest.mark.parametrize("rims", [False, True])
def test_glasses_count_where_rims_are(reader: PhotoReader, face: FaceMesh, rims: bool) -> None:
    picture = portrait(9).image.copy()
    if rims:
        for eye in face.eyes:
            centre = round(float(eye[0])), round(float(eye[1]))
            cv2.circle(picture, centre, round(0.19 * face.width), WHITE, 4)
        left, right = (np.rint(eye).astype(int) for eye in face.eyes)
        inner = round(0.17 * face.width)
        cv2.line(
            picture, (int(left[0]) + inner, int(left[1])), (int(right[0]) - inner, int(right[1])),
            WHITE, 5,
        )  # fmt: skip
    people = reader.read(picture)
    x, y = face.eyes[0] * people.parts.shape[2] / people.size[0]
    found = float(people.parts[Part.GLASSES, int(y), int(x)])
    assert found > 0.8 if rims else found < 0.1
