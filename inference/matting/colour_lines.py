"""Colour lines: alpha as a plane over RGB in each window, to carry it to a larger picture.

Fitted on a small picture as in He, Sun and Tang, "Guided Image Filtering" (ECCV 2010), and applied
to the colours of the large one, as in He and Sun, "Fast Guided Filter" (2015).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from inference.matting.window_statistics import box_mean, covariance, dot, inverse, products

Floats = npt.NDArray[np.float32]

# Radius of a window, in pixels of the small picture, and the colour variance added to each.
RADIUS, EPSILON = 2, 2e-5


def fit(picture: Floats, alpha: Floats) -> Floats:
    """The planes `alpha ≈ slope · colour + offset`.

    Args:
        picture: (h, w, 3) float32 in 0–1.
        alpha: (h, w) float32.

    Returns:
        (h, w, 4) float32: three slopes and the offset.
    """
    mean = box_mean(picture, RADIUS)
    spread = covariance(mean, box_mean(products(picture), RADIUS))
    spread[..., range(3), range(3)] += np.float32(EPSILON)
    level = box_mean(alpha, RADIUS)
    shared = box_mean(picture * alpha[..., None], RADIUS) - mean * level[..., None]
    slope = np.einsum("hwij,hwj->hwi", inverse(spread), shared).astype(np.float32)
    planes = np.dstack([slope, level - dot(slope, mean)])
    return box_mean(planes.astype(np.float32), RADIUS)
