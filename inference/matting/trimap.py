"""Trimap: what is certainly kept, what is certainly repainted, and the unknown band between."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from inference.recipe.length import SHORT_SIDE

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Sides = npt.NDArray[np.int8]

# Width of the band where there is no hair, on each side of the edge, as a share of its width
# beside hair: skin and clothes end within a pixel or two.
NARROW = 1 / 6


@dataclass(frozen=True, kw_only=True)
class Trimap:
    """Three regions of a picture on a grid that covers it.

    Attributes:
        distance: (h, w) float32, signed distance to the mask's edge, positive where it repaints,
            in units in which the picture's short side is `SHORT_SIDE`.
        unknown: (h, w) bool, the band to be solved.
    """

    distance: Floats = field(repr=False)
    unknown: Bools = field(repr=False)

    @classmethod
    def around_edge(
        cls, distance: Floats, hair: Sides, doubt: Bools, certain: Bools, width: float
    ) -> Trimap:
        """The band along an edge: narrow, but wide where hair of one side hangs into the other.

        Args:
            distance: as the attribute.
            hair: (h, w), 1 where hair is that belongs to what is kept, -1 where it belongs to
                what is repainted, 0 elsewhere.
            doubt: (h, w), what else is unknown, such as filled holes.
            certain: (h, w), what is known away from the edge, such as brush strokes, and clothes
                under hair.
            width: how far from hair the band reaches, in units of `distance`.
        """
        unit = SHORT_SIDE / min(distance.shape)
        rim = math.ceil(NARROW * width / unit)
        kept, repainted = (_distance_to(_without_rims(hair == side, rim)) for side in (1, -1))
        reach = np.where(distance > 0, kept, repainted) * np.float32(unit)
        wide = ((reach <= width) | doubt) & ~certain
        unknown = (np.abs(distance) <= NARROW * width) | wide
        return cls(distance=distance, unknown=unknown)

    @property
    def kept(self) -> Bools:
        """(h, w) bool, what is certainly kept."""
        return np.asarray((self.distance <= 0) & ~self.unknown)

    @property
    def repainted(self) -> Bools:
        """(h, w) bool, what is certainly repainted."""
        return np.asarray((self.distance > 0) & ~self.unknown)


def by_majority(hair: Bools, kept: Bools) -> Sides:
    """The side that each connected piece of hair belongs to: 1 if most of it is kept, else -1.

    So the tips of hair belong to their head where the words missed them.
    """
    count, labels = cv2.connectedComponents(hair.astype(np.uint8))
    pixels = np.bincount(labels.ravel(), minlength=count)
    inside = np.bincount(labels.ravel(), kept.ravel(), minlength=count)
    sides = np.where(2 * inside >= pixels, 1, -1).astype(np.int8)
    sides[0] = 0
    return np.asarray(sides[labels])


def without_edge(region: Bools, width: float) -> Bools:
    """A region without its pixels near its edge, as near as a band of this width is narrow."""
    inside = cv2.distanceTransform(region.astype(np.uint8), cv2.DIST_L2, 5)
    return np.asarray(inside * (SHORT_SIDE / min(region.shape)) > NARROW * width)


def _without_rims(region: Bools, width: int) -> Bools:
    """A region without its parts that are no wider than twice `width`, in pixels."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * width + 1, 2 * width + 1))
    opened = cv2.morphologyEx(region.astype(np.uint8), cv2.MORPH_OPEN, disc)
    return np.asarray(opened, np.bool_)


def _distance_to(region: Bools) -> Floats:
    """Distance of each pixel to a region, in pixels of the grid; infinite for an empty one."""
    if not region.any():
        return np.full(region.shape, np.inf, np.float32)
    return np.asarray(cv2.distanceTransform((~region).astype(np.uint8), cv2.DIST_L2, 5), np.float32)
