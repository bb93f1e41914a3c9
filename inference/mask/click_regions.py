"""What lies at a clicked point of a photo, as one region: by a model or, without one, by colours.

By colours: flood fill from the point, then GrabCut (Rother, Kolmogorov and Blake, SIGGRAPH 2004)
around it. A region depends on the photo and the point alone, so that a recipe gives the same one
whatever its words are.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from inference.mask.heatmap import Bools, Floats
from inference.picture.compositing import resize
from inference.picture.geometry import View, fit_within
from inference.picture.photo import Photo, Pixels
from inference.picture.resampling import resample
from inference.recipe.strokes import Point, Stroke
from inference.runtime.cache import Cache

if TYPE_CHECKING:
    from inference.mask.point_segmenter import ImageEmbedding, PointSegmenter

Marks = npt.NDArray[np.uint8]

# Longer side of the grid on which regions are found by colours.
GRID = 320
# Mean shift that flattens texture: spatial and colour radius, in pixels and in levels.
SPATIAL, COLOUR = 6, 14
# Largest difference between neighbours that are filled, and to the clicked colour, in levels; the
# next pair is tried where the region is smaller than `LEAST`.
STEPS_AND_RANGES = (6, 36), (10, 48), (16, 64)
# Radius of the disc at the point that certainly belongs, and reach of what may, as shares of the
# grid's longer side.
CORE, REACH = 0.012, 0.12
ROUNDS = 4
# Share of the picture below which a region is probably a spot on the thing that is meant.
LEAST = 0.003
# Smallest absolute logit beside the edge of a region that a model found.
EDGE = 1e-3
FILL = 255


def _no_segmenter(_family: str) -> PointSegmenter | None:
    return None


@dataclass(frozen=True, kw_only=True)
class ClickRegions:
    """Regions of clicks on photos, with a cache. Thread-safe: one point at a time.

    Args:
        segmenter: returns the point segmenter of a model family, None where it has none.
    """

    segmenter: Callable[[str], PointSegmenter | None] = _no_segmenter
    _flat: Cache[Pixels] = field(default_factory=lambda: Cache(2))
    _seen: Cache[ImageEmbedding] = field(default_factory=lambda: Cache(2))
    _found: Cache[Floats] = field(default_factory=lambda: Cache(256))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def region(self, photo: Photo, point: Point, view: View, family: str = "") -> Bools:
        """The region at a point.

        Args:
            photo: the photo.
            point: in ten-thousandths of the photo, as in a `Stroke`.
            view: the part of the photo, and the grid that is returned.
            family: key of the model family whose point segmenter is used.

        Returns:
            (H, W) bool of the view's size.
        """
        with self._lock:
            segmenter = self.segmenter(family)
            if segmenter is None:
                key = f"{photo.digest} {point}"
                found = self._found.get(key, lambda: self._by_colours(photo, point))
            else:
                key = f"{family} {photo.digest} {point}"
                found = self._found.get(
                    key, lambda: self._by_model(segmenter, photo, point, family)
                )
        return np.asarray(resample(found, view) >= 0)

    def _by_colours(self, photo: Photo, point: Point) -> Floats:
        """The region on a grid of the photo: .5 inside, -.5 outside."""
        size = fit_within(photo.size, GRID)
        flat = self._flat.get(photo.digest, lambda: flatten(resize(photo.pixels, size)))
        return np.asarray(find_region(flat, point) - np.float32(0.5), np.float32)

    def _by_model(
        self, segmenter: PointSegmenter, photo: Photo, point: Point, family: str
    ) -> Floats:
        """The region on a grid of the photo: logits, positive inside."""
        seen = self._seen.get(
            f"{family} {photo.digest}",
            lambda: segmenter.encode_image(
                resize(photo.pixels, fit_within(photo.size, segmenter.side))
            ),
        )
        return in_one_piece(segmenter.segment(seen, point), point)


def in_one_piece(logits: Floats, point: Point) -> Floats:
    """Logits that are positive in one connected piece only, which contains the point."""
    x, y = _cell(point, logits.shape)
    inside = (logits >= 0).astype(np.uint8)
    cv2.circle(inside, (x, y), _core_radius(logits.shape), 1, cv2.FILLED)
    _, labels = cv2.connectedComponents(inside, connectivity=4)
    piece = labels == labels[y, x]
    nearly = np.float32(EDGE)
    return np.where(piece, np.maximum(logits, nearly), np.minimum(logits, -nearly))


def _cell(point: Point, shape: tuple[int, ...]) -> tuple[int, int]:
    """The column and row of a grid that a point lies in."""
    height, width = shape[:2]
    x, y = (
        min(side - 1, at * side // Stroke.UNIT)
        for at, side in zip(point, (width, height), strict=True)
    )
    return x, y


def _core_radius(shape: tuple[int, ...]) -> int:
    return max(1, round(CORE * max(shape[:2])))


def flatten(picture: Pixels) -> Pixels:
    """A picture without fine texture, in CIE Lab of 8 bits."""
    lab = cv2.cvtColor(picture, cv2.COLOR_RGB2Lab)
    return np.asarray(cv2.pyrMeanShiftFiltering(lab, SPATIAL, COLOUR), np.uint8)


def find_region(flat: Pixels, point: Point) -> Bools:
    """The region at a point of a flattened picture, (h, w) bool; the point lies within it."""
    x, y = _cell(point, flat.shape)
    core = np.zeros(flat.shape[:2], np.uint8)
    cv2.circle(core, (x, y), _core_radius(flat.shape), 1, cv2.FILLED)
    for step, reach in STEPS_AND_RANGES:
        region = _cut(flat, _marks(_fill(flat, (x, y), step, reach), core))
        _, labels = cv2.connectedComponents(region.astype(np.uint8), connectivity=4)
        region = np.asarray(labels == labels[y, x])
        if region.mean() >= LEAST:
            break
    return region


def _cut(flat: Pixels, marks: Marks) -> Bools:
    """What belongs to the region by GrabCut; by the marks alone if they exclude nothing."""
    marks = marks.copy()
    if (marks == cv2.GC_BGD).any() and min(marks.shape) > 2:
        cv2.setRNGSeed(0)  # the colours' clusters start at random
        models = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.grabCut(flat, marks, (0, 0, 1, 1), *models, ROUNDS, cv2.GC_INIT_WITH_MASK)
    return np.asarray((marks == cv2.GC_FGD) | (marks == cv2.GC_PR_FGD))


def _fill(flat: Pixels, seed: tuple[int, int], step: int, reach: int) -> Bools:
    """The pixels that are reached from the seed in small steps of colour, within a range of it."""
    height, width = flat.shape[:2]
    near = np.abs(flat.astype(np.int16) - flat[seed[1], seed[0]]).max(axis=2) <= reach
    # Flood fill does not enter what is marked beforehand.
    mask = np.ones((height + 2, width + 2), np.uint8)
    mask[1:-1, 1:-1] = ~near
    flags = 4 | (FILL << 8) | cv2.FLOODFILL_MASK_ONLY
    cv2.floodFill(flat.copy(), mask, seed, 0, (step,) * 3, (step,) * 3, flags)
    return np.asarray(mask[1:-1, 1:-1] == FILL)


def _marks(filled: Bools, core: Marks) -> Marks:
    """GrabCut's marks: what certainly or probably belongs to the region, and what does not."""
    reach = max(1, round(REACH * max(filled.shape)))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    inside = filled.astype(np.uint8) | core
    marks = np.full(filled.shape, cv2.GC_BGD, np.uint8)
    marks[cv2.dilate(inside, disc) > 0] = cv2.GC_PR_BGD
    marks[inside > 0] = cv2.GC_PR_FGD
    marks[core > 0] = cv2.GC_FGD
    return marks
