"""Light wrap: light of the new scene lies over the edge of what is kept, as in a photograph.

Brinkmann, "The Art and Science of Digital Compositing" (2nd edition, 2008): a blurred background is
added along the matte. Only pixels that are partly kept change.
"""

from __future__ import annotations

import cv2
import numpy as np

from inference.picture.compositing import Alpha, resize
from inference.picture.geometry import Box, View
from inference.picture.photo import Pixels
from inference.picture.resampling import resample_at
from inference.recipe.length import SHORT_SIDE

# Standard deviation of the blur, in pixels of a picture whose short side is `SHORT_SIDE`.
BLUR = 12.0
LEAST = 1e-3


def wrap(picture: Pixels, alpha: Alpha, strength: float) -> Pixels:
    """Lay the painted part's smooth light over the edge.

    Args:
        picture: (H, W, 3) uint8, what is kept over what is painted.
        alpha: (H, W) uint8, the mask; 0 = kept, 255 = repainted.
        strength: 0–1; at 1 a half kept pixel is half this light.

    Returns:
        (H, W, 3) uint8, a new array; equal to `picture` where alpha is 0 or 255.
    """
    wrapped = picture.copy()
    edge = (alpha > 0) & (alpha < 255)
    if strength == 0 or not edge.any():
        return wrapped
    height, width = alpha.shape
    scale = min(1.0, SHORT_SIDE / min(alpha.shape))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    painted = resize(alpha, size).astype(np.float32)[..., None] / 255
    small = resize(picture, size).astype(np.float32)
    sums = cv2.GaussianBlur(np.concatenate([small * painted, painted], axis=2), (0, 0), BLUR)
    smooth = np.asarray(sums[..., :3] / np.maximum(sums[..., 3:], LEAST), np.float32)
    view = View(whole=(width, height), box=Box.whole((width, height)), size=(width, height))
    light = resample_at(smooth, view, edge)
    share = alpha[edge].astype(np.float32)[:, None] / 255
    weight = strength * 2 * share * (1 - share)
    mixed = picture[edge] + weight * (light - picture[edge])
    wrapped[edge] = np.rint(np.clip(mixed, 0, 255))
    return wrapped
