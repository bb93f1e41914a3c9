"""Colour lines: alpha as a plane over RGB in each window, to carry it to a larger picture.

Fitted on a small picture as in He, Sun and Tang, "Guided Image Filtering" (ECCV 2010), and applied
to the colours of the large one, as in He and Sun, "Fast Guided Filter" (2015).
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from inference.matting.window_statistics import box_mean, covariance, dot, inverse, products

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

# Radius of a window, in pixels of the small picture, and the colour variance added to each.
RADIUS, EPSILON = 2, 2e-5


def fit(picture: Floats, alpha: Floats, where: Bools) -> Floats:
    """The planes `alpha ≈ slope · colour + offset`.

    Args:
        picture: (h, w, 3) float32 in 0–1.
        alpha: (h, w) float32.
        where: (h, w) bool, the pixels whose planes are needed.

    Returns:
        (h, w, 4) float32: three slopes and the offset; undefined where they are not needed.
    """
    side = 2 * RADIUS + 3  # with the neighbours between which planes are interpolated
    needed = cv2.dilate(where.astype(np.uint8), np.ones((side, side), np.uint8)) > 0
    mean = box_mean(picture, RADIUS)
    spread = covariance(mean[needed], box_mean(products(picture), RADIUS)[needed])
    spread[..., range(3), range(3)] += np.float32(EPSILON)
    level = box_mean(alpha, RADIUS)
    shared = box_mean(picture * alpha[..., None], RADIUS) - mean * level[..., None]
    slope = np.einsum("nij,nj->ni", inverse(spread), shared[needed]).astype(np.float32)
    planes = np.zeros((*alpha.shape, 4), np.float32)
    planes[needed, :3] = slope
    planes[needed, 3] = level[needed] - dot(slope, mean[needed])
    return box_mean(planes, RADIUS)
