"""Heatmaps of phrases, and scores made of them: union, difference, thresholds, resampling.

A heatmap holds a detector's logits at its own resolution. Scores are their sigmoids in 255ths,
never stretched to the full range: stretching would turn an absent word into a confident mask.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from inference.picture.geometry import View

Floats = npt.NDArray[np.float32]
# Scores of 0–1 in 255ths; the browser receives them as a gray picture.
Scores = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]

# Least score of the pixels whose mean position is the centre of a crop, whatever the threshold.
FOCUS_SCORE = 0.5


@dataclass(frozen=True, kw_only=True)
class Heatmap:
    """Segmentation logits of one phrase in one photo.

    Attributes:
        phrase: the phrase that was segmented.
        logits: (h, w) float32 at the detector's own resolution; the score is their sigmoid.
    """

    phrase: str
    logits: Floats = field(repr=False)

    @property
    def peak(self) -> float:
        """The highest score, in 0–1."""
        return 1 / (1 + math.exp(-float(np.clip(self.logits.max(), -30, 30))))

    def found(self, threshold: float) -> bool:
        """Whether the peak reaches the threshold, in 0–1."""
        return self.peak >= threshold


def resample(values: Floats, view: View) -> Floats:
    """Bilinear samples of a map that covers a whole picture.

    Args:
        values: (h, w) float32 at any resolution.
        view: the part of the picture, and its resolution.

    Returns:
        float32 of the view's size.
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
    """Mean position of the scores of at least `FOCUS_SCORE`, in 0–1; (0.5, 0.5) without any."""
    rows, columns = np.nonzero(at_least(scores, FOCUS_SCORE))
    if not len(rows):
        return 0.5, 0.5
    height, width = scores.shape
    return float((columns.mean() + 0.5) / width), float((rows.mean() + 0.5) / height)


def logit(score: float) -> float:
    """Inverse of the sigmoid, for a score between 0 and 1, both excluded."""
    return math.log(score / (1 - score))


def to_scores(logits: Floats) -> Scores:
    """Sigmoids of logits, in 255ths."""
    return np.rint(255 / (1 + np.exp(-np.clip(logits, -30, 30)))).astype(np.uint8)


def at_least(scores: Scores, threshold: float) -> Bools:
    """A mask of the pixels whose score is at least `threshold`, in 0–1."""
    return np.asarray(scores >= math.ceil(threshold * 255))


def binarize(scores: Scores, threshold: float | None) -> Scores:
    """Binarize to 0 or 255 at a phrase's own threshold; without one, scores are unchanged."""
    return scores if threshold is None else at_least(scores, threshold) * np.uint8(255)


def combine(positive: Sequence[Scores], negative: Sequence[Scores]) -> Scores:
    """Union of the positive phrases minus that of the negative ones.

    Fuzzy sets: union is the maximum (Zadeh 1965), difference the bounded difference of Łukasiewicz,
    which leaves nothing where both edges coincide.

    Args:
        positive: at least one (h, w) map; all maps have one shape.
        negative: any number of them.
    """
    scores = np.max(positive, axis=0)
    if negative:
        scores = cv2.subtract(scores, np.max(negative, axis=0))  # not below 0
    return np.asarray(scores, dtype=np.uint8)
