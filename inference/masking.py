"""Heatmaps become scores, scores a signed distance field, and the field a mask. Numpy and OpenCV.

A mask is kept as its signed distance to the edge, in pixels at generation size, positive inside.
Then inverting is ``-d``, dilating by r is ``d + r`` (an exact Euclidean radius), and a feather of
width f is ``clip(0.5 + d / f, 0, 1)``. Only new words, a new threshold or a new stroke make a new
field; everything else is one line of arithmetic.

`assets/mask_math.js` repeats all of this from the scores on, in the same order and precision.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from inference.brush import ADD, REMOVE, Layer
from inference.geometry import View
from inference.recipe import MaskSettings

Floats = npt.NDArray[np.float32]
# A score of 0–1 in 255ths: what the browser gets as a gray picture.
Scores = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]

# Stands for "no edge anywhere": farther than any length a recipe can ask for.
FAR = 1e5
# A detector's islands below this share of its largest find are noise.
SPECK = 0.02
# So are its holes below this share of all that it found.
HOLE = 0.005
# The score from which a spot draws a crop towards it, whatever the sliders say.
FOCUS_SCORE = 0.5


@dataclass(frozen=True, kw_only=True)
class Heatmap:
    """Where one phrase was found.

    Attributes:
        phrase: the words looked for.
        logits: (h, w) float32 at the detector's own resolution; the score is their sigmoid. They
            are never stretched: a word that is not in the picture has low scores everywhere.
    """

    phrase: str
    logits: Floats = field(repr=False)

    @property
    def peak(self) -> float:
        """The highest score anywhere, in 0–1."""
        return 1 / (1 + math.exp(-float(np.clip(self.logits.max(), -30, 30))))

    def found(self, threshold: float) -> bool:
        """Whether any spot reaches the threshold."""
        return self.peak >= threshold


@dataclass(frozen=True, kw_only=True)
class Field:
    """A mask as its signed distance to the edge.

    Attributes:
        distance: (h, w) float32 in pixels at generation size, positive inside what was found;
            ±`FAR` where there is no edge. Its grid covers the canvas at any resolution.
        short_side: short side of the canvas at generation size, which percentages refer to.
    """

    distance: Floats = field(repr=False)
    short_side: int

    def alpha(self, settings: MaskSettings, view: View | None = None) -> Floats:
        """The finished mask: invert, then dilate, then feather.

        Args:
            settings: the sliders.
            view: the part of the canvas that is wanted and its resolution; the field's own grid
                when left out.

        Returns:
            (H, W) float32 in 0–1, 1 = repaint.
        """
        distance = self.distance if view is None else resample(self.distance, view)
        if settings.mask_invert:
            distance = -distance
        distance = distance + np.float32(settings.mask_dilate.pixels(self.short_side))
        if settings.mask_feather == 0:
            return (distance > 0).astype(np.float32)
        alpha: Floats = np.clip(0.5 + distance / np.float32(settings.mask_feather), 0, 1)
        return alpha


def resample(values: Floats, view: View) -> Floats:
    """Bilinear samples of a map that covers a whole picture, whatever the map's resolution.

    Args:
        values: (h, w) float32.
        view: which part, at which resolution.
    """
    step_x, step_y = view.box.size[0] / view.size[0], view.box.size[1] / view.size[1]
    scale_x, scale_y = values.shape[1] / view.whole[0], values.shape[0] / view.whole[1]
    # Pixel centres lie at half: out x + 0.5 is picture box.left + (x + 0.5) * step.
    to_map = np.array(
        [
            [step_x * scale_x, 0, (view.box.left + 0.5 * step_x) * scale_x - 0.5],
            [0, step_y * scale_y, (view.box.top + 0.5 * step_y) * scale_y - 0.5],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    out = cv2.warpAffine(values, to_map, view.size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(out, dtype=np.float32)


def centre(scores: Scores) -> tuple[float, float]:
    """Centre of what was found, each coordinate in 0–1; the middle if nothing was."""
    rows, columns = np.nonzero(reaches(scores, FOCUS_SCORE))
    if not len(rows):
        return 0.5, 0.5
    height, width = scores.shape
    return float((columns.mean() + 0.5) / width), float((rows.mean() + 0.5) / height)


def logit(score: float) -> float:
    """The inverse of the sigmoid; a score in 0–1, both ends excluded."""
    return math.log(score / (1 - score))


def to_scores(logits: Floats) -> Scores:
    """Plain sigmoids in 255ths."""
    return np.rint(255 / (1 + np.exp(-np.clip(logits, -30, 30)))).astype(np.uint8)


def reaches(scores: Scores, threshold: float) -> Bools:
    """Where the scores are at least `threshold`, in 0–1."""
    return np.asarray(scores >= math.ceil(threshold * 255))


def decide(scores: Scores, threshold: float | None) -> Scores:
    """Yes or no for a phrase with a threshold of its own; its scores as they are without one."""
    return scores if threshold is None else reaches(scores, threshold) * np.uint8(255)


def combine(positive: Sequence[Scores], negative: Sequence[Scores]) -> Scores:
    """Union of the positive phrases minus the negative ones.

    Fuzzy sets (Zadeh, 1965): union is the maximum, difference the minimum with the complement.

    Args:
        positive: at least one (h, w) map; all are of one shape.
    """
    scores = np.max(positive, axis=0)
    for one in negative:
        scores = np.minimum(scores, 255 - one)
    return np.asarray(scores, dtype=np.uint8)


def make_field(scores: Scores, threshold: float, strokes: Layer, short_side: int) -> Field:
    """Threshold combined scores, drop specks, lay the strokes over, measure the distance.

    Args:
        scores: (h, w), covering the canvas.
        threshold: score in 0–1 from which a spot counts as found.
        strokes: (h, w), what each pixel was brushed with.
        short_side: short side of the canvas at generation size; distances are in its pixels.
    """
    inside = drop_specks(reaches(scores, threshold))
    inside = (inside & (strokes != REMOVE)) | (strokes == ADD)
    scale = short_side / min(scores.shape)
    return Field(distance=signed_distance(inside, scale), short_side=short_side)


def drop_specks(inside: Bools) -> Bools:
    """Without islands under `SPECK` of the largest one, and holes under `HOLE` of what is found.

    Islands hang together across corners, and holes, accordingly, do not.
    """
    labels, areas = _parts(inside, 8)
    inside = (areas >= SPECK * areas.max())[labels] & inside
    labels, areas = _parts(~inside, 4)
    outside = (areas >= HOLE * np.count_nonzero(inside))[labels] & ~inside
    return np.asarray(~outside)


def _parts(inside: Bools, connectivity: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """A label per pixel and an area per label; 0 is what is not inside, and has none."""
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
    # OpenCV's last bit varies from call to call; squared distances are whole numbers.
    squared = np.rint(np.square(np.where(inside, within, without).astype(np.float64)))
    distance = (np.sqrt(squared) - 0.5) * scale
    return np.where(inside, distance, -distance).astype(np.float32)
