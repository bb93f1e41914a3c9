"""The mask as a signed distance field, with invert, dilate and feather as arithmetic on it.

A mask is stored as its signed distance to the edge, positive inside, in pixels of a picture whose
short side is `SHORT_SIDE`, so that it does not depend on the size at which a model paints.
Invert is ``-d``, dilate by r is ``d + r`` (an exact Euclidean radius), and a feather of width f is
``clip(0.5 + d / f, 0, 1)``. Only new words, a new threshold or a new stroke need a new field.

`assets/mask_math.js` repeats this arithmetic from the scores on, in the same order and precision.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from inference.mask.brush import ADD, REMOVE, Layer
from inference.mask.heatmap import Bools, Floats, Scores, at_least
from inference.picture.geometry import View
from inference.picture.resampling import resample
from inference.recipe.length import SHORT_SIDE
from inference.recipe.mask_settings import MaskSettings

# The distance if there is no edge: more than any length that a recipe can have.
FAR = 1e5
# Islands below this share of the largest one are dropped as noise of the detector.
SPECK = 0.02
# Holes below this share of all that was found are filled.
HOLE = 0.005


@dataclass(frozen=True, kw_only=True)
class DistanceField:
    """A mask as its signed distance to the edge.

    Attributes:
        distance: (h, w) float32, positive inside what was found, ±`FAR` where there is no edge,
            in units in which the canvas's short side is `SHORT_SIDE`. Its grid covers the canvas
            at any resolution.
    """

    distance: Floats = field(repr=False)

    def alpha(self, settings: MaskSettings, view: View | None = None) -> Floats:
        """The finished mask: invert, then dilate, then feather.

        Args:
            settings: invert, dilate and feather.
            view: the part of the canvas to sample and its resolution; the field's own grid by
                default.

        Returns:
            (H, W) float32 in 0–1, 1 = repaint.
        """
        distance = self.repainted(settings, view)
        if settings.mask_feather == 0:
            return (distance > 0).astype(np.float32)
        alpha: Floats = np.clip(0.5 + distance / np.float32(settings.mask_feather), 0, 1)
        return alpha

    def repainted(self, settings: MaskSettings, view: View | None = None) -> Floats:
        """The distance after invert and dilate, (H, W) float32, positive where it repaints.

        Args:
            settings: invert and dilate.
            view: as for `alpha`.
        """
        distance = self.distance if view is None else resample(self.distance, view)
        if settings.mask_invert:
            distance = -distance
        moved: Floats = distance + np.float32(settings.mask_dilate.pixels)
        return moved


def make_field(scores: Scores, threshold: float, strokes: Layer) -> DistanceField:
    """Threshold combined scores, drop specks, apply the strokes, compute the distance.

    Args:
        scores: (h, w), covering the canvas.
        threshold: score in 0–1 from which a pixel counts as found.
        strokes: (h, w), as `paint_strokes` returns it.
    """
    inside = drop_specks(at_least(scores, threshold))
    inside = (inside & (strokes != REMOVE)) | (strokes == ADD)
    return DistanceField(distance=signed_distance(inside, SHORT_SIDE / min(scores.shape)))


def drop_specks(inside: Bools) -> Bools:
    """Drop islands below `SPECK` of the largest one, fill holes below `HOLE` of what is found.

    Islands are 8-connected components, holes 4-connected ones.
    """
    labels, areas = _parts(inside, 8)
    inside = (areas >= SPECK * areas.max())[labels] & inside
    labels, areas = _parts(~inside, 4)
    outside = (areas >= HOLE * np.count_nonzero(inside))[labels] & ~inside
    return np.asarray(~outside)


def _parts(inside: Bools, connectivity: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Connected components: a label per pixel, an area per label; outside is label 0, area 0."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(
        inside.astype(np.uint8), connectivity=connectivity
    )
    areas = stats[:, cv2.CC_STAT_AREA]
    areas[0] = 0
    return np.asarray(labels), np.asarray(areas)


def signed_distance(inside: Bools, scale: float = 1.0) -> Floats:
    """Euclidean distance of each pixel centre to the edge, positive inside, times `scale`.

    Felzenszwalb and Huttenlocher, "Distance Transforms of Sampled Functions", as in OpenCV. The
    edge runs half way between a pixel inside and its neighbour outside.
    """
    if inside.all() or not inside.any():
        return np.full(inside.shape, FAR if inside.any() else -FAR, dtype=np.float32)
    within, without = (
        cv2.distanceTransform(side.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        for side in (inside, ~inside)
    )
    # Rounded, because OpenCV's last bit varies from call to call; squared distances are integers.
    squared = np.rint(np.square(np.where(inside, within, without).astype(np.float64)))
    distance = (np.sqrt(squared) - 0.5) * scale
    return np.where(inside, distance, -distance).astype(np.float32)
