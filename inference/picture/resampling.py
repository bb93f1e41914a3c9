"""Bilinear resampling of maps that cover a whole picture, such as scores, distances and planes."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from inference.picture.geometry import View

Floats = npt.NDArray[np.float32]

# OpenCV's `remap` takes no more rows or columns.
MAX_REMAP = 32_000


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


def resample_at(values: Floats, view: View, where: npt.NDArray[np.bool_]) -> Floats:
    """The samples that `resample` has where a mask is true, for maps with channels.

    Args:
        values: (h, w, c) float32 at any resolution, with at most four channels.
        view: the part of the picture, and its resolution.
        where: (H, W) bool of the view's size.

    Returns:
        (n, c) float32, one row for each true pixel, in reading order.
    """
    rows, columns = np.nonzero(where)
    step_x, step_y = view.box.size[0] / view.size[0], view.box.size[1] / view.size[1]
    scale_x, scale_y = values.shape[1] / view.whole[0], values.shape[0] / view.whole[1]
    x = ((view.box.left + (columns + 0.5) * step_x) * scale_x - 0.5).astype(np.float32)
    y = ((view.box.top + (rows + 0.5) * step_y) * scale_y - 0.5).astype(np.float32)
    channels = values.shape[2]
    found = [
        cv2.remap(
            values, x[k : k + MAX_REMAP], y[k : k + MAX_REMAP], cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        ).reshape(-1, channels)
        for k in range(0, len(x), MAX_REMAP)
    ]  # fmt: skip
    empty = np.empty((0, channels), np.float32)
    return np.asarray(np.concatenate([empty, *found]), np.float32)
