"""Compositing: resizing, pasting painted crops into the photo, counting changed kept pixels."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from inference.picture.geometry import Box, Size
from inference.picture.photo import Pixels

Alpha = npt.NDArray[np.uint8]


def resize(picture: Pixels, size: Size) -> Pixels:
    """Resize a picture: by area averaging to fewer pixels, by Lanczos to more."""
    height, width = picture.shape[:2]
    if (width, height) == size:
        return picture
    shrinks = size[0] * size[1] < width * height
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LANCZOS4
    return np.asarray(cv2.resize(picture, size, interpolation=method), dtype=np.uint8)


def paste(
    original: Pixels, painted: Pixels, alpha: Alpha, box: Box, colours: Pixels | None = None
) -> Pixels:
    """Blend a painted crop over the original.

    Args:
        original: (H, W, 3) uint8, the upload's pixels.
        painted: (h, w, 3) uint8 at any resolution; it is resized to the box.
        alpha: (H, W) uint8; 0 keeps the original's pixel bit for bit, 255 takes the painted one.
        box: where the crop lies; alpha is 0 outside it.
        colours: (H, W, 3) uint8, those of the original where alpha is neither 0 nor 255, such as
            an upload freed of its old background's colours; the original's by default.

    Returns:
        (H, W, 3) uint8, a new array.
    """
    result = original.copy()
    inside = box.slices
    weight = alpha[inside].astype(np.float32) / 255
    below = np.ascontiguousarray((original if colours is None else colours)[inside])
    blended = cv2.blendLinear(below, resize(painted, box.size), 1 - weight, weight)
    np.copyto(result[inside], blended, where=(alpha[inside] > 0)[..., None])
    return result


def kept_pixels_changed(original: Pixels, result: Pixels, alpha: Alpha) -> int:
    """Number of pixels of alpha 0 that differ between original and result."""
    differs = (original != result).any(axis=2)
    return int(np.count_nonzero(differs & (alpha == 0)))
