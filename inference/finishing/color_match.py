"""Colour match: brings the painted part's light nearer to that of the photo around what is kept.

Mean and standard deviation of each channel in CIE Lab, as in Reinhard et al., "Color Transfer
between Images" (2001); both are taken near the mask's edge, and the painted part is shifted as one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from inference.picture.compositing import Alpha, resize
from inference.picture.photo import Pixels
from inference.recipe.length import SHORT_SIDE

Floats = npt.NDArray[np.float32]

# How far from the edge colours are compared, in pixels of a picture with this short side.
REACH = 48
# Least number of such pixels that say something.
FEWEST = 64
# Limits of the factor of a channel's standard deviation.
NARROWEST, WIDEST = 0.5, 2.0
# Rows that are shifted at a time, to bound the memory.
BAND = 256


@dataclass(frozen=True, kw_only=True)
class Shift:
    """A linear change of the channels of CIE Lab: `lab * factor + offset`, (3,) float32 each."""

    factor: Floats = field(repr=False)
    offset: Floats = field(repr=False)

    def apply(self, picture: Pixels) -> Pixels:
        """The shifted picture, (H, W, 3) uint8, a new array."""
        shifted = np.empty_like(picture)
        for top in range(0, picture.shape[0], BAND):
            rows = slice(top, top + BAND)
            lab = _to_lab(picture[rows]) * self.factor + self.offset
            colours = cv2.cvtColor(np.asarray(lab, np.float32), cv2.COLOR_Lab2RGB)
            shifted[rows] = np.rint(255 * np.clip(colours, 0, 1))
        return shifted


def shift_towards(original: Pixels, painted: Pixels, alpha: Alpha, strength: float) -> Shift | None:
    """The shift of a painting towards the photo around what is kept.

    Args:
        original: (H, W, 3) uint8, the photo.
        painted: (H, W, 3) uint8.
        alpha: (H, W) uint8, the mask; 0 = kept, 255 = repainted.
        strength: 0 leaves the painting as it is, 1 gives it the photo's mean and spread.

    Returns:
        None if too little is repainted near the edge.
    """
    height, width = alpha.shape
    scale = min(1.0, SHORT_SIDE / min(alpha.shape))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    near = _near_edge(resize(alpha, size))
    if np.count_nonzero(near) < FEWEST:
        return None
    wanted, found = (_to_lab(resize(one, size))[near] for one in (original, painted))
    ratio = wanted.std(axis=0) / np.maximum(found.std(axis=0), 1e-3)
    ratio = np.clip(ratio, NARROWEST, WIDEST)
    factor = 1 + strength * (ratio - 1)
    mean = found.mean(axis=0)
    goal = mean + strength * (wanted.mean(axis=0) - mean)
    return Shift(factor=factor.astype(np.float32), offset=(goal - factor * mean).astype(np.float32))


def _near_edge(alpha: Alpha) -> npt.NDArray[np.bool_]:
    """The wholly repainted pixels within `REACH` of others."""
    repainted = (alpha == 255).astype(np.uint8)
    if repainted.all():
        return np.zeros(alpha.shape, np.bool_)
    distance = cv2.distanceTransform(repainted, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray((distance > 0) & (distance <= REACH))


def _to_lab(picture: Pixels) -> Floats:
    scaled = picture.astype(np.float32) / np.float32(255)
    return np.asarray(cv2.cvtColor(scaled, cv2.COLOR_RGB2Lab), np.float32)
