"""Guided upsampling: aligns the edges of a coarse heatmap with those of the photo.

He, Sun and Tang, "Guided Image Filtering" (ECCV 2010), with a colour guide; the coefficients are
computed at half resolution as in He and Sun, "Fast Guided Filter" (2015).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from inference.matting.window_statistics import box_mean, covariance, dot, inverse, products

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]

# Window radius, as a share of the picture's longer side: about one cell of a detector with 22
# cells a side, which is the error of its edges.
RADIUS = 1 / 32
# Colour variance (0–1 scale) below which a window counts as flat.
EPSILON = 1e-4
SUBSAMPLE = 2
# Logits are clipped here; the range of thresholds, scores of 0.05–0.95, lies within.
SURE = 4.0
# The filtered value counts fully where the coarse score s has DOUBT * 4 s (1 - s) >= 1.
DOUBT = 2.0


@dataclass(frozen=True, kw_only=True)
class GuidedFilter:
    """A guided filter prepared for one picture.

    Attributes:
        picture: (H, W, 3) float32 in 0–1.
        small: (h, w, 3) float32, the picture at half size.
        mean: (h, w, 3) float32, its window means.
        inverse: (h, w, 3, 3) float32, inverses of its regularized window covariances.
        radius: radius of the window, in pixels of `small`.
    """

    picture: Floats = field(repr=False)
    small: Floats = field(repr=False)
    mean: Floats = field(repr=False)
    inverse: Floats = field(repr=False)
    radius: int

    @classmethod
    def of(cls, picture: Pixels) -> GuidedFilter:
        """The filter for an (H, W, 3) uint8 picture."""
        height, width = picture.shape[:2]
        whole = picture.astype(np.float32) / np.float32(255)
        half = max(1, width // SUBSAMPLE), max(1, height // SUBSAMPLE)
        small = np.asarray(cv2.resize(whole, half, interpolation=cv2.INTER_AREA), np.float32)
        radius = max(1, round(RADIUS * max(width, height) / SUBSAMPLE))
        mean = box_mean(small, radius)
        spread = covariance(mean, box_mean(products(small), radius))
        spread[..., range(3), range(3)] += EPSILON
        inverses = inverse(spread).astype(np.float32)
        return cls(picture=whole, small=small, mean=mean, inverse=inverses, radius=radius)

    def sharpen(self, logits: Floats) -> Floats:
        """Align the edges of a map with those of the picture, where its scores are near 0.5.

        Args:
            logits: (H, W) float32 at the picture's resolution.

        Returns:
            (H, W) float32 logits, none beyond ±`SURE` or beyond the highest and lowest given.
        """
        coarse = np.clip(logits, -SURE, SURE)
        score = 1 / (1 + np.exp(-coarse))
        doubt = np.minimum(4 * DOUBT * score * (1 - score), 1)
        sharp = coarse + doubt * (self._filter(coarse) - coarse)
        return np.asarray(np.clip(sharp, coarse.min(), coarse.max()), dtype=np.float32)

    def _filter(self, values: Floats) -> Floats:
        """The guided filter: `values` as a linear function of the colours in each window."""
        height, width = self.small.shape[:2]
        small = np.asarray(
            cv2.resize(values, (width, height), interpolation=cv2.INTER_AREA), dtype=np.float32
        )
        mean = box_mean(small, self.radius)
        shared = box_mean(self.small * small[..., None], self.radius) - self.mean * mean[..., None]
        slope = np.asarray(np.einsum("hwij,hwj->hwi", self.inverse, shared), np.float32)
        offset = mean - dot(slope, self.mean)
        planes = box_mean(np.dstack([slope, offset]), self.radius)
        size = values.shape[1], values.shape[0]
        wide = np.asarray(cv2.resize(planes, size, interpolation=cv2.INTER_LINEAR), np.float32)
        return dot(wide, self.picture) + wide[..., 3]
