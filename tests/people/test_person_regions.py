"""Tests of dividing a picture among people, on people that are made of rectangles and discs."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from inference.people.body_landmarks import Body
from inference.people.face_mesh import OVAL
from inference.people.parts import Part
from inference.people.person_regions import (
    LEAST_BESIDE,
    LEAST_PERSON,
    Bools,
    PersonRegions,
    Place,
    divide,
    head_markers,
    people_markers,
)
from inference.people.photo_reader import People
from inference.people.turned_square import Floats
from inference.picture.photo import Pixels
from tests.support.made_people import body_of, face_at

HEIGHT, WIDTH = 120, 200
Disc = tuple[int, int, int]  # x, y, radius


def blank() -> Pixels:
    return np.full((HEIGHT, WIDTH, 3), 128, np.uint8)


def boxes(*places: tuple[int, int, int, int]) -> Floats:
    """Ones in boxes of left, top, right, bottom."""
    made = np.zeros((HEIGHT, WIDTH), np.float32)
    for left, top, right, bottom in places:
        made[top:bottom, left:right] = 1
    return made


def discs(*places: Disc) -> Floats:
    made = np.zeros((HEIGHT, WIDTH), np.float32)
    for x, y, radius in places:
        cv2.circle(made, (x, y), radius, (1.0,), cv2.FILLED)
    return made


def marker(*box: int) -> Bools:
    left, top, right, bottom = box
    return boxes((left, top, right, bottom)) > 0


# --- numbers ------------------------------------------------------------------------------------


def test_connected_pieces_without_markers_are_people_from_left_to_right() -> None:
    places = (150, 20, 180, 110), (10, 40, 50, 120), (80, 10, 110, 100)
    found = divide(boxes(*places), [], blank())
    assert [round(one.x * WIDTH) for one in found.places] == [30, 95, 165]
    assert [round(one.y * HEIGHT) for one in found.places] == [40, 10, 20]
    for k, (left, top, right, bottom) in enumerate(sorted(places)):
        assert (found.owner[top:bottom, left:right] == k).all()
        assert found.places[k].area == pytest.approx((right - left) * (bottom - top) / 24000)
    assert found.owner[0, 0] == 0
    assert found.owner[119, 199] == 2


def test_where_nobody_is_there_are_no_people() -> None:
    found = divide(boxes(), [], blank())
    assert found.places == ()
    assert [found.index(which) for which in (1, "left", "right", "largest")] == [None] * 4
    assert not found.within(None, (40, 24)).any()
    assert found.within(None, (40, 24)).shape == (24, 40)


REGIONS = PersonRegions(
    owner=np.repeat(np.array([[0, 1, 2]], np.uint8), 2, axis=0),
    places=tuple(Place(x=x, y=0.1, area=area) for x, area in ((0.1, 0.2), (0.5, 0.3), (0.9, 0.1))),
)


@pytest.mark.parametrize(
    ("which", "index"),
    [(1, 0), (2, 1), (3, 2), (0, None), (4, None), (99, None), ("left", 0), ("right", 2),
     ("largest", 1)],
)  # fmt: skip
def test_a_person_is_named_by_number_side_or_size(which: int | str, index: int | None) -> None:
    assert REGIONS.index(which) == index  # type: ignore[arg-type]


def test_a_persons_pixels_are_given_at_any_size() -> None:
    inside = REGIONS.within(1, (6, 4))
    np.testing.assert_array_equal(inside, np.tile([0, 0, 1, 1, 0, 0], (4, 1)) > 0)


@pytest.mark.parametrize(("share", "people"), [(0.9, 1), (1.1, 2)])
def test_a_piece_beside_a_marked_person_is_a_person_if_it_is_large_enough(
    share: float, people: int
) -> None:
    width = round(share * LEAST_BESIDE * 100 * 60 / 40)
    person = boxes((20, 10, 80, 110), (150, 50, 150 + width, 90))
    found = divide(person, [marker(40, 20, 60, 90)], blank())
    assert len(found.places) == people
    assert found.owner[60, 155] == people - 1, "a smaller one is the nearest person's"


def test_a_marked_person_who_is_very_small_is_given_to_the_nearest() -> None:
    tiny = boxes((0, 0, 100, 120), (150, 50, 155, 55))
    found = divide(tiny, [marker(20, 20, 60, 90), marker(151, 51, 154, 54)], blank())
    assert LEAST_PERSON * 12000 > 25
    assert len(found.places) == 1


# --- people who touch ---------------------------------------------------------------------------


@pytest.mark.parametrize("edge", [85, 100, 115])
def test_people_who_touch_are_parted_at_the_edge_between_them(edge: int) -> None:
    picture = blank()
    picture[:, edge:] = (200, 60, 60)
    markers = [marker(40, 20, 60, 110), marker(140, 20, 160, 110)]
    found = divide(boxes((20, 10, 180, 120)), markers, picture)
    assert len(found.places) == 2
    assert (found.owner[20:110, 25 : edge - 2] == 0).all()
    assert (found.owner[20:110, edge + 2 : 175] == 1).all()


def test_what_two_markers_claim_is_neither_ones_seed() -> None:
    picture = blank()
    picture[:, 100:] = (200, 60, 60)
    markers = [marker(40, 20, 130, 110), marker(90, 20, 160, 110)]
    found = divide(boxes((20, 10, 180, 120)), markers, picture)
    assert (found.owner[20:110, 25:97] == 0).all()
    assert (found.owner[20:110, 103:175] == 1).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 90), (90, 2), (3, 200), (200, 200)], ids=str)
@pytest.mark.parametrize("marked", [0, 1, 3])
def test_pictures_of_every_shape_are_divided(shape: tuple[int, int], marked: int) -> None:
    rng = np.random.default_rng(marked)
    person = rng.random(shape).astype(np.float32)
    picture = rng.integers(0, 256, (*shape, 3), np.uint8)
    markers = [np.asarray(rng.random(shape) < 0.2) for _ in range(marked)]
    found = divide(person, markers, picture)
    assert found.owner.shape == shape
    assert set(np.unique(found.owner)) <= set(range(max(1, len(found.places))))
    assert all(0 <= one.x <= 1 and 0 <= one.y <= 1 and 0 < one.area <= 1 for one in found.places)
    head_markers(person, np.asarray(person**2, np.float32))


# --- heads --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heads", "faces", "count"),
    [
        ([(50, 40, 15), (150, 40, 15)], [(50, 40, 8), (150, 40, 8)], 2),
        ([(50, 40, 15), (85, 44, 18)], [], 2),  # touching
        ([(50, 40, 18), (78, 40, 11)], [(50, 40, 8), (80, 40, 8)], 2),  # touching, one smaller
        ([(50, 40, 18), (78, 40, 11)], [(50, 40, 8)], 1),  # a ponytail
        ([(50, 40, 18), (50, 12, 14)], [(50, 40, 8)], 1),  # a hat
        ([(50, 40, 15), (150, 40, 8)], [(50, 40, 8), (150, 40, 5)], 2),  # far behind
        ([(50, 40, 15), (150, 40, 8)], [(50, 40, 8)], 1),  # no head: small, and no face
        ([(50, 40, 15), (150, 40, 12)], [], 2),  # both from behind
        ([(50, 40, 15), (150, 40, 4)], [(50, 40, 8), (150, 40, 3)], 1),  # too small
        ([], [], 0),
    ],
)
def test_heads_mark_people(heads: list[Disc], faces: list[Disc], count: int) -> None:
    markers = head_markers(discs(*heads), discs(*faces))
    assert len(markers) == count
    for one, (x, y, radius) in zip(markers, sorted(heads, key=lambda it: -it[2]), strict=False):
        assert one[y, x]
        assert one[min(HEIGHT - 1, y + 2 * radius), x], "the body below it"


def test_a_head_with_holes_is_one_head() -> None:
    head = discs((100, 60, 40)) - discs((85, 55, 12), (115, 55, 12))
    assert len(head_markers(head, discs())) == 1


# --- bodies and faces ---------------------------------------------------------------------------


def standing(x: float) -> Floats:
    """BlazePose's points of somebody who stands upright at x in a picture of 400 × 600."""
    points = np.zeros((33, 4), np.float32)
    points[:, 2:] = 1
    points[:11, :2] = x, 120
    points[[2, 5], 0] = x + 10, x - 10
    for left, right, y in ((11, 12, 200), (13, 14, 260), (15, 16, 320), (23, 24, 380),
                           (25, 26, 460), (27, 28, 540)):  # fmt: skip
        points[[left, right], :2] = (x + 40, y), (x - 40, y)
    points[17:23, :2], points[29:, :2] = (x, 320), (x, 550)
    return points


def body_at(x: float, face: float | None = None) -> Body:
    """A body whose mask is a strip round x; its eyes are where a face at `face` has its own."""
    points = standing(x)
    points[[2, 5], 0] += (x if face is None else face) - x
    body = body_of(points)
    columns = body.square.x + ((np.arange(256) + 0.5) / 256 - 0.5) * body.square.side
    body.mask[:, np.abs(columns - x) > 70] = 0
    return body


def people(faces: tuple[float, ...], bodies: tuple[float, ...]) -> People:
    """People at these places from left to right, all in one piece."""
    parts = np.zeros((len(Part), 150, 100), np.float32)
    parts[Part.CLOTHES] = 1
    return People(
        faces=tuple(face_at(x, 120) for x in faces),
        bodies=tuple(map(body_at, bodies)),
        size=(400, 600),
        parts=parts,
    )


@pytest.mark.parametrize(
    ("faces", "bodies", "count"),
    [
        ((100, 300), (100, 300), 2),
        ((300, 100), (100, 300), 2),
        ((100,), (100, 300), 2),
        ((100, 300), (300,), 2),
        ((100,), (), 1),
        ((), (300,), 1),
        ((), (), 0),
    ],
)
def test_a_face_and_its_body_are_one_person(
    faces: tuple[float, ...], bodies: tuple[float, ...], count: int
) -> None:
    read = people(faces, bodies)
    markers = people_markers(read)
    assert len(markers) == count
    for x in {*faces, *bodies}:
        column, row = round(x / 4), 30 if x in faces else 70
        assert sum(bool(one[row, column]) for one in markers) == 1
    if count == 2:
        found = divide(read.person, markers, np.full((150, 100, 3), 128, np.uint8))
        assert found.owner[30, 25] == 0
        assert found.owner[60, 75] == 1


@pytest.mark.parametrize(
    ("faces", "bodies", "pairs"),
    [
        ((100,), [body_at(100)], [(100, 100)]),
        ((120,), [body_at(100, 300)], [(100, 120)]),  # its eyes are elsewhere
        ((100, 140), [body_at(100)], [(100, 100), (None, 140)]),
        ((100,), [body_at(120, 300), body_at(100)], [(100, 100)]),  # a second one round it
        ((100,), [body_at(300)], [(300, None), (None, 100)]),
        ((), [body_at(300)], [(300, None)]),
        ((100, 300), [], [(None, 100), (None, 300)]),
    ],
)
def test_a_face_inside_a_body_is_that_bodys(
    faces: tuple[float, ...],
    bodies: list[Body],
    pairs: list[tuple[float | None, float | None]],
) -> None:
    read = replace(people(faces, ()), bodies=tuple(bodies))
    found = [
        (body and round(float(body.points[11:13, 0].mean())), face and round(float(face.nose[0])))
        for body, face in read.pairs
    ]
    assert found == pairs


def test_an_arm_before_a_face_is_not_drawn_there() -> None:
    reaching = body_at(300)
    reaching.points[[14, 16], :2] = (200, 125), (100, 125)  # its arm, through the other's eyes
    reaching.mask[:] = 1
    read = replace(people((100, 300), ()), bodies=(reaching, body_at(100)))
    arm, other = people_markers(read)
    assert arm[31, 45]
    assert other[31, 25]
    assert not arm[31, 25]


def test_a_face_covers_its_outline_and_a_little_of_the_neck() -> None:
    face = face_at(200, 100, width=80)
    face.points[list(OVAL), :2] = [
        (200 + 40 * np.sin(angle), 130 - 55 * np.cos(angle))
        for angle in np.linspace(0, 2 * np.pi, len(OVAL), endpoint=False)
    ]
    covered = face.front_on((400, 600))
    assert covered[[80, 130, 180, 205], 200].all()
    assert not covered[[60, 130, 205, 240], [200, 250, 240, 200]].any()
    half = face.front_on((200, 300))
    assert half.sum() == pytest.approx(covered.sum() / 4, rel=0.05)


def test_what_a_body_does_not_show_is_not_drawn() -> None:
    seen, hidden = standing(200), standing(200)
    hidden[[12, 14, 16], 2] = 0.1
    size = (100, 150)
    assert body_of(seen).lines_on(size)[65, 40]
    assert not body_of(hidden).lines_on(size)[65, 40]
    assert body_of(hidden).lines_on(size)[65, 60]
    outside = body_of(seen)
    outside.mask[:] = 0
    assert not outside.lines_on(size).any()
