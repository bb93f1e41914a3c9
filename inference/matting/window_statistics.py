"""Means and covariances of colours over square windows, by box filters."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def box_mean(values: Floats, radius: int) -> Floats:
    """Means over windows of side 2 radius + 1, channel by channel; (h, w) or (h, w, c) float32."""
    # OpenCV cannot mirror a border wider than the picture.
    border = cv2.BORDER_REFLECT if min(values.shape[:2]) > radius else cv2.BORDER_REPLICATE
    window = 2 * radius + 1, 2 * radius + 1
    return np.asarray(cv2.blur(values, window, borderType=border), dtype=np.float32)


def products(colours: Floats) -> Floats:
    """The products of the channels with each other, (h, w, 9), of (h, w, 3) colours."""
    pairs = colours[..., :, None] * colours[..., None, :]
    return np.asarray(pairs.reshape(*colours.shape[:2], 9), np.float32)


def covariance(mean: Floats, mean_products: Floats) -> Floats:
    """(…, 3, 3) covariances, of windows' (…, 3) means of colours and (…, 9) of their `products`."""
    pairs = mean_products.reshape(*mean.shape, 3)
    return np.asarray(pairs - mean[..., :, None] * mean[..., None, :], np.float32)


def inverse(matrices: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Inverses of symmetric (…, 3, 3) matrices by their adjugates."""
    (a, b, c), (_, d, e), (_, _, f) = np.moveaxis(matrices, (-2, -1), (0, 1)).astype(np.float64)
    first, second, third = d * f - e * e, c * e - b * f, b * e - c * d
    determinant = a * first + b * second + c * third
    rows = [
        [first, second, third],
        [second, a * f - c * c, b * c - a * e],
        [third, b * c - a * e, a * d - b * b],
    ]
    return np.ascontiguousarray(np.moveaxis(np.array(rows) / determinant, (0, 1), (-2, -1)))


def dot(first: Floats, second: Floats) -> Floats:
    """Dot product over three channels; several times faster than numpy's einsum."""
    each = (first[..., k] * second[..., k] for k in range(3))
    return np.asarray(sum(each), dtype=np.float32)
