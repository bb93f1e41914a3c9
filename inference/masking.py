"""Heatmaps become a signed distance field, and the field a mask. Pure numpy and OpenCV.

A mask is kept as its signed distance to the edge, in pixels at generation size, positive inside.
Then inverting is ``-d``, dilating by r is ``d + r`` (an exact Euclidean radius), and a feather of
width f is ``clip(0.5 + d / f, 0, 1)``. Only new words, a new threshold or a new stroke make a new
field; everything else is one line of arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from inference.geometry import Box, Size
from inference.recipe import MaskSettings

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]

# Stands for "no edge anywhere": farther than any length a recipe can ask for.
FAR = 1e5
# A detector's islands below this share of its largest find are noise.
SPECK = 0.02
PAINT_TINT = (255, 92, 57)
TINT_OPACITY = 0.55


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


@dataclass(frozen=True, kw_only=True)
class View:
    """A part of a picture at a resolution.

    Attributes:
        whole: size of the picture, in whose pixels the box is.
        box: the part that is looked at.
        size: how many pixels it is to have.
    """

    whole: Size
    box: Box
    size: Size


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


def centre(logits: Floats, threshold: float) -> tuple[float, float]:
    """Centre of what was found, each coordinate in 0–1; the middle if nothing was."""
    rows, columns = np.nonzero(logits >= logit(threshold))
    if not len(rows):
        return 0.5, 0.5
    height, width = logits.shape
    return float((columns.mean() + 0.5) / width), float((rows.mean() + 0.5) / height)


def logit(score: float) -> float:
    """The inverse of the sigmoid; a score in 0–1, both ends excluded."""
    return math.log(score / (1 - score))


def combine(positive: Sequence[Heatmap], negative: Sequence[Heatmap]) -> Floats:
    """Union of the positive phrases minus the negative ones, as logits.

    Fuzzy sets (Zadeh, 1965): union is the maximum, difference the minimum with the complement;
    the complement of a score is the negated logit.

    Args:
        positive: at least one heatmap; all are of one shape.
    """
    logits = np.max([heat.logits for heat in positive], axis=0)
    for heat in negative:
        logits = np.minimum(logits, -heat.logits)
    return np.asarray(logits, dtype=np.float32)


def make_field(logits: Floats, threshold: float, view: View, short_side: int) -> Field:
    """Threshold combined logits, drop specks, and measure the distance to the edge.

    Args:
        logits: (h, w) float32 that covers the whole photo.
        threshold: score in 0–1 from which a spot counts as found.
        view: the canvas as a part of the photo, and the grid on which the edge is measured.
        short_side: short side of the canvas at generation size; distances are in its pixels.
    """
    inside = drop_specks(resample(logits, view) >= logit(threshold))
    scale = np.float32(short_side / min(view.size))
    return Field(distance=signed_distance(inside) * scale, short_side=short_side)


def drop_specks(inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Without the parts that are smaller than `SPECK` of the largest one."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(inside.astype(np.uint8))
    areas = stats[:, cv2.CC_STAT_AREA]
    areas[0] = 0
    large: npt.NDArray[np.bool_] = areas >= SPECK * areas.max()
    return np.asarray(large[labels] & inside)


def signed_distance(inside: npt.NDArray[np.bool_]) -> Floats:
    """Euclidean distance of each pixel centre to the edge, positive inside; exact to half a pixel.

    Felzenszwalb and Huttenlocher, "Distance Transforms of Sampled Functions", as in OpenCV.
    """
    if inside.all() or not inside.any():
        return np.full(inside.shape, FAR if inside.any() else -FAR, dtype=np.float32)
    within = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    without = cv2.distanceTransform((~inside).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # The edge runs half way between a pixel inside and its neighbour outside.
    distance = np.where(inside, within - 0.5, 0.5 - without)
    # OpenCV's last bit varies from call to call; a recipe must give the same mask each time.
    return np.round(distance, 3).astype(np.float32)


def overlay(photo: Pixels, alpha: Floats) -> Pixels:
    """The photo with the region to repaint tinted and outlined, for the eye.

    Args:
        photo: (H, W, 3) uint8.
        alpha: (H, W) in 0–1, 1 = repaint.
    """
    gray = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
    tinted = gray * (1 - TINT_OPACITY) + np.array(PAINT_TINT, dtype=np.float32) * TINT_OPACITY
    mixed = photo + (tinted - photo) * alpha[..., None]
    picture = np.clip(mixed + 0.5, 0, 255).astype(np.uint8)
    edges, _ = cv2.findContours(
        (alpha >= 0.5).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE
    )
    return np.asarray(cv2.drawContours(picture, edges, -1, (255, 255, 255), 1, cv2.LINE_AA))
