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
