"""Painted patches go back into the photo; what is kept comes from the photo itself."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from inference.geometry import Box, Size
from inference.photo import Pixels

Alpha = npt.NDArray[np.uint8]


def resize(picture: Pixels, size: Size) -> Pixels:
    """Bring a picture to `size`: by area when it shrinks, Lanczos when it grows."""
    height, width = picture.shape[:2]
    if (width, height) == size:
        return picture
    shrinks = size[0] * size[1] < width * height
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LANCZOS4
    return np.asarray(cv2.resize(picture, size, interpolation=method), dtype=np.uint8)


def paste(original: Pixels, painted: Pixels, alpha: Alpha, box: Box) -> Pixels:
    """Lay a painted patch over the original.

    Args:
        original: (H, W, 3) uint8, the canvas as it came from the upload.
        painted: (h, w, 3) uint8, any resolution; it fills the box.
        alpha: (H, W) uint8; 0 keeps the original's pixel bit for bit, 255 takes the painted one.
        box: where the patch lies; alpha is 0 outside it.
    """
    result = original.copy()
    inside = box.slices
    weight = alpha[inside].astype(np.float32) / 255
    blended = cv2.blendLinear(original[inside], resize(painted, box.size), 1 - weight, weight)
    np.copyto(result[inside], blended, where=(alpha[inside] > 0)[..., None])
    return result


def kept_pixels_changed(original: Pixels, result: Pixels, alpha: Alpha) -> int:
    """How many pixels that were to be kept differ from the original's. Counted, not assumed."""
    differs = (original != result).any(axis=2)
    return int(np.count_nonzero(differs & (alpha == 0)))
