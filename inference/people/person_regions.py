"""Which person is where: a picture's pixels divided among the people in it, from left to right.

People are told apart by markers, one for each: a head with what is below it, or the lines of a body
and the outline of a face. People who touch are parted along the picture's edges between their
markers, by marker-controlled watershed (Meyer, "Topographic distance and watershed lines", 1994).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.people.body_landmarks import Body, face_of
from inference.people.face_mesh import FaceMesh
from inference.people.part_words import Which
from inference.people.turned_square import Floats
from inference.picture.geometry import Size
from inference.picture.photo import Pixels

if TYPE_CHECKING:
    from inference.people.photo_reader import People

Bools = NDArray[np.bool_]
Labels = NDArray[np.int32]

PERSON_SCORE = 0.5
# Least area of a piece without a marker that is a person of its own, as a share of the largest
# piece: where nobody has a marker, and where somebody has.
LEAST_ALONE, LEAST_BESIDE = 0.02, 0.1
# Least area of a person, as a share of the largest.
LEAST_PERSON = 0.01
# Kernel of the median by which the picture is smoothed before it is flooded.
SMOOTHING = 3
# The column of the body below a head: half its width, and its length, in sides of the head.
HALF_COLUMN, COLUMN = 0.3, 1.6
# Least area of a head, as a share of the largest.
LEAST_HEAD = 0.12
# Heads that touch: the least radius of the disc that fits into one, as a share of the largest's,
# with a face and without; how far apart they are from left to right, in sums of both radii.
LEAST_DISC, FACELESS_DISC, ASIDE = 0.5, 0.75, 0.85
# Least share of a head that is face, and the least area of a head without one, as a share of the
# largest's.
LEAST_FACE, LEAST_FACELESS = 0.1, 0.4
# How far below the middle of a face its marker reaches, in face widths.
BELOW_FACE = 1.1


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a person is.

    Attributes:
        x, y: the middle of the person's upper end, each in 0–1 of the picture.
        area: share of the picture that the person covers.
    """

    x: float
    y: float
    area: float


@dataclass(frozen=True, kw_only=True)
class PersonRegions:
    """A picture's pixels divided among people.

    Attributes:
        owner: (h, w) uint8, the index of the person to whom a pixel belongs; outside of all people,
            the nearest one. It covers the whole picture.
        places: one for each person, from left to right.
    """

    owner: NDArray[np.uint8] = field(repr=False)
    places: tuple[Place, ...]

    def index(self, which: Which) -> int | None:
        """The index of a person; None where there is no such person."""
        count = len(self.places)
        if isinstance(which, int):
            return which - 1 if 1 <= which <= count else None
        if not count:
            return None
        largest = max(range(count), key=lambda k: self.places[k].area)
        return {"left": 0, "right": count - 1, "largest": largest}[which]

    def within(self, index: int | None, size: Size) -> Bools:
        """The pixels of a person, on a map of this (width, height); none for None."""
        if index is None:
            return np.zeros(size[::-1], np.bool_)
        owner = cv2.resize(self.owner, size, interpolation=cv2.INTER_NEAREST)
        return np.asarray(owner == index)


def divide(person: Floats, markers: Sequence[Bools], picture: Pixels) -> PersonRegions:
    """Divide people by markers.

    Args:
        person: (h, w) in 0–1, where people are.
        markers: (h, w) each, pixels that are surely one person's; any number of them.
        picture: (h, w, 3) uint8 RGB.
    """
    inside = person >= PERSON_SCORE
    seeds = _seeds(inside, markers)
    for k, piece in enumerate(_unmarked(inside, seeds), start=int(seeds.max()) + 1):
        seeds[piece] = k
    owner = _nearest(_flooded(inside, seeds, picture))
    return _numbered(owner, inside)


def head_markers(head: Floats, face: Floats) -> list[Bools]:
    """Markers of people by their heads, (h, w) each.

    Args:
        head, face: (h, w) in 0–1, where heads and faces are.
    """
    faces = face >= PERSON_SCORE
    pieces = list(_pieces(_filled(head >= PERSON_SCORE), LEAST_HEAD))
    sure = [
        one for one in pieces
        if _has_face(one, faces) or one.sum() >= LEAST_FACELESS * pieces[0].sum()
    ]  # fmt: skip
    return [_with_body(one) for piece in sure for one in _heads(piece, faces)]


def _has_face(head: Bools, faces: Bools) -> bool:
    return bool((head & faces).sum() >= LEAST_FACE * head.sum())


def _filled(mask: Bools) -> Bools:
    """A mask without holes."""
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = cv2.drawContours(np.zeros(mask.shape, np.uint8), outlines, -1, (1,), cv2.FILLED)
    return np.asarray(filled > 0)


def _with_body(head: Bools) -> Bools:
    """A head's inner pixels, and a column below it."""
    rows, columns = np.nonzero(head)
    side, x = float(np.sqrt(len(rows))), float(columns.mean())
    left, right = round(x - HALF_COLUMN * side), round(x + HALF_COLUMN * side)
    top, bottom = round(float(rows.mean())), round(float(np.quantile(rows, 0.95)) + COLUMN * side)
    marker = cv2.erode(head.astype(np.uint8), np.ones((3, 3), np.uint8))
    return np.asarray(cv2.rectangle(marker, (left, top), (right, bottom), (1,), cv2.FILLED) > 0)


def _heads(piece: Bools, faces: Bools) -> list[Bools]:
    """The heads in one piece: discs that fit into it side by side, with what is nearest to each."""
    room = cv2.distanceTransform(np.pad(piece, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    discs: list[tuple[float, float, float]] = []
    rows, columns = np.nonzero(room >= LEAST_DISC * room.max())
    for k in np.argsort(-room[rows, columns], kind="stable"):
        x, y, radius = float(columns[k]), float(rows[k]), float(room[rows[k], columns[k]])
        if all(abs(x - other) > ASIDE * (radius + size) for other, _, size in discs):
            discs.append((x, y, radius))
    sure = [
        disc for disc, one in zip(discs, _by_disc(piece, discs), strict=True)
        if disc[2] >= FACELESS_DISC * discs[0][2] or _has_face(one, faces)
    ]  # fmt: skip
    return _by_disc(piece, sure)


def _by_disc(piece: Bools, discs: Sequence[tuple[float, float, float]]) -> list[Bools]:
    """A piece divided by the nearest of several discs: x, y, radius."""
    y, x = np.mgrid[: piece.shape[0], : piece.shape[1]]
    beyond = [np.hypot(x - at_x, y - at_y) - radius for at_x, at_y, radius in discs]
    nearest = np.argmin(beyond, axis=0)
    return [np.asarray(piece & (nearest == k)) for k in range(len(discs))]


def people_markers(people: People) -> list[Bools]:
    """Markers of the people that were read in a photograph: a face, the lines of a body, or both.

    What a face covers is nobody else's.
    """
    size = people.parts.shape[2], people.parts.shape[1]
    pairs: list[tuple[Body | None, FaceMesh | None]] = []
    left = list(people.faces)
    for one in people.bodies:
        face = face_of(one, left)
        left = [other for other in left if other is not face]
        pairs.append((one, face))
    pairs.extend((None, face) for face in left)
    heads = [_head_of(face, size, people.size) for _, face in pairs]
    markers = []
    for k, (body, _face) in enumerate(pairs):
        others = np.any([*heads[:k], *heads[k + 1 :], np.zeros(size[::-1], np.bool_)], axis=0)
        lines = heads[k] if body is None else body.lines_on(size)
        markers.append(np.asarray((heads[k] | lines) & ~others))
    return markers


def _head_of(face: FaceMesh | None, size: Size, looked: Size) -> Bools:
    """The outline of a face, filled, and a little below it; nothing for None."""
    drawn = np.zeros(size[::-1], np.uint8)
    if face is not None:
        below = np.array([-np.sin(face.upright), np.cos(face.upright)]) * face.width * BELOW_FACE
        outline = np.concatenate([face.oval, [face.oval.mean(axis=0) + below]])
        hull = cv2.convexHull((outline * (size[0] / looked[0])).astype(np.float32))
        cv2.fillConvexPoly(drawn, np.rint(hull).astype(np.int32), (1,))
    return np.asarray(drawn > 0)


def _pieces(mask: Bools, least: float) -> Iterator[Bools]:
    """Connected pieces of a mask of at least a share of the largest, the largest first."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    areas = stats[1:, cv2.CC_STAT_AREA]
    for k in np.argsort(-areas, kind="stable"):
        if areas[k] >= least * areas.max():
            yield np.asarray(labels == k + 1)


def _seeds(inside: Bools, markers: Sequence[Bools]) -> Labels:
    """The number of the only marker on each pixel, from 1 on; 0 where there is none, or several."""
    seeds = np.zeros(inside.shape, np.int32)
    if not markers:
        return seeds
    clear = np.sum(markers, axis=0) == 1
    for k, marker in enumerate(markers, start=1):
        seeds[marker & clear & inside] = k
    return seeds


def _unmarked(inside: Bools, seeds: Labels) -> list[Bools]:
    """Pieces without a marker that are people of their own."""
    least = LEAST_BESIDE if seeds.any() else LEAST_ALONE
    return [piece for piece in _pieces(inside, least) if not (seeds[piece] > 0).any()]


def _flooded(inside: Bools, seeds: Labels, picture: Pixels) -> Labels:
    """Seeds grown over all that is inside and connected with them."""
    ground = int(seeds.max()) + 1
    flooded = np.where(inside, seeds, ground).astype(np.int32)
    cv2.watershed(cv2.medianBlur(picture, SMOOTHING), flooded)
    return np.where(inside & (flooded > 0) & (flooded < ground), flooded, 0).astype(np.int32)


def _nearest(labels: Labels) -> Labels:
    """Labels with each 0 replaced by the nearest label; all 0 where there is none."""
    if not labels.any():
        return labels
    _, sites = cv2.distanceTransformWithLabels(
        (labels == 0).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5,
        labelType=cv2.DIST_LABEL_PIXEL,
    )  # fmt: skip
    # Each pixel with a label is a site of its own; `of_site` has the label of each site.
    of_site = np.zeros(int(sites.max()) + 1, np.int32)
    known = labels > 0
    of_site[sites[known]] = labels[known]
    return np.asarray(of_site[sites])


def _numbered(owner: Labels, inside: Bools) -> PersonRegions:
    """People numbered from left to right; those who are too small are given to the nearest."""
    areas = np.bincount(owner[inside], minlength=int(owner.max()) + 1)
    areas[0] = 0
    small = np.flatnonzero((areas > 0) & (areas < LEAST_PERSON * areas.max()))
    if len(small):
        owner = _nearest(np.where(np.isin(owner, small), 0, owner))
    places = {int(k): _place(inside & (owner == k)) for k in np.unique(owner[inside])}
    order = sorted((k for k in places if k), key=lambda k: places[k].x)
    table = np.zeros(int(owner.max()) + 1, np.uint8)
    table[order] = range(len(order))
    return PersonRegions(owner=table[owner], places=tuple(places[k] for k in order))


def _place(piece: Bools) -> Place:
    """The place of a person who covers these pixels."""
    rows, columns = np.nonzero(piece)
    height, width = piece.shape
    top = rows <= np.quantile(rows, 0.15)
    return Place(
        x=float((np.median(columns[top]) + 0.5) / width),
        y=float(rows.min() / height),
        area=len(rows) / piece.size,
    )
