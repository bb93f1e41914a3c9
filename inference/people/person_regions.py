"""Which person is where: a picture's pixels divided among the people in it, from left to right.

People are told apart by markers, one for each: a head with what is below it, or the lines of a body
and the outline of a face. People who touch are parted by the geodesic distance to their markers, by
which a step across an edge of the picture is long (Toivanen, "New geodesic distance transforms for
gray-scale images", 1996).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.people.part_words import Which
from inference.people.turned_square import Floats
from inference.picture.geometry import Size, fit_within
from inference.picture.photo import Pixels

if TYPE_CHECKING:
    from inference.people.photo_reader import People

Bools = NDArray[np.bool_]
Labels = NDArray[np.int32]

PERSON_SCORE = 0.5
# Least area of a piece without a marker that is a person of its own, as a share of the largest
# piece: where nobody has a marker, and where somebody has.
LEAST_ALONE, LEAST_BESIDE = 0.02, 0.1
LEAST_PERSON = 0.01  # least area of a person, as a share of the largest
# Geodesic distance: kernel of the median by which the picture is smoothed, longer side of the grid,
# length of a step across one level of Lab, and into what is outside; rounds of four scans.
SMOOTHING, GROWTH_GRID, EDGE, WALL, FAR, SCANS = 3, 128, 0.3, 30.0, 1e6, 2
LEAST_SHARE = 0.3  # least share of a pixel of that grid that is inside, or a marker
# The column of the body below a head: half its width, and its length, in sides of the head.
HALF_COLUMN, COLUMN = 0.3, 1.6
LEAST_HEAD = 0.12  # least area of a head, as a share of the largest
# Heads that touch: the least radius of the disc that fits into one, as a share of the largest's,
# with a face and without; how far apart they are from left to right, in sums of both radii.
LEAST_DISC, FACELESS_DISC, ASIDE = 0.5, 0.75, 0.85
# Least share of a head that is face, and the least area of a head without one, as a share of the
# largest's.
LEAST_FACE, LEAST_FACELESS = 0.1, 0.4


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
    owner = _nearest(_grown(inside, seeds, picture))
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
    pairs = people.pairs
    nothing = np.zeros(size[::-1], np.bool_)
    heads = [nothing if face is None else face.front_on(size) for _, face in pairs]
    lines = [nothing if body is None else body.lines_on(size) for body, _ in pairs]
    anyone = np.sum([*heads, nothing], axis=0)
    return [head | (line & (anyone == head)) for head, line in zip(heads, lines, strict=True)]


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


def _grown(inside: Bools, seeds: Labels, picture: Pixels) -> Labels:
    """For each pixel inside, the seed that is nearest by geodesic distance; 0 outside."""
    high, wide = inside.shape
    size = fit_within((wide, high), GROWTH_GRID)
    smooth = cv2.resize(cv2.medianBlur(picture, SMOOTHING), size, interpolation=cv2.INTER_AREA)
    colours = cv2.cvtColor(smooth, cv2.COLOR_RGB2LAB).astype(np.float32)
    walls = np.where(_share(inside, size) > LEAST_SHARE, 0, WALL).astype(np.float32)
    count = int(seeds.max())
    away = np.full((count, size[1] + 2, size[0] + 2), FAR, np.float32)  # with a border
    for k in range(count):
        share = _share(seeds == k + 1, size)
        away[k, 1:-1, 1:-1][share >= min(LEAST_SHARE, float(share.max()))] = 0
    turned = away.transpose(0, 2, 1), colours.transpose(1, 0, 2), walls.T
    scans = [(away, colours, walls), (away[:, ::-1], colours[::-1], walls[::-1]),
             turned, (turned[0][:, ::-1], turned[1][::-1], turned[2][::-1])]  # fmt: skip
    for _ in range(SCANS):
        for one in scans:
            _scan(*one)
    fine = [cv2.resize(one[1:-1, 1:-1], (wide, high)) for one in away]
    nearest = np.argmin(fine, axis=0) + 1 if fine else seeds
    return np.where(inside, np.where(seeds > 0, seeds, nearest), 0).astype(np.int32)


def _scan(away: Floats, colours: Floats, walls: Floats) -> None:
    """Lower distances, (n, h + 2, w + 2), by steps from each row to the next, in place."""
    high, wide = walls.shape
    before = np.pad(colours, ((1, 0), (1, 1), (0, 0)), mode="edge")
    steps = [
        length + EDGE * np.abs(colours - before[:high, k : k + wide]).sum(axis=2) + walls
        for k, length in enumerate((np.sqrt(2), 1, np.sqrt(2)))
    ]
    for y in range(high):
        row = away[:, y + 1, 1:-1]
        for k, step in enumerate(steps):
            np.minimum(row, away[:, y, k : k + wide] + step[y], out=row)


def _share(mask: Bools, size: Size) -> Floats:
    """The share of each pixel of a smaller map that a mask covers."""
    return np.asarray(cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA))


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
