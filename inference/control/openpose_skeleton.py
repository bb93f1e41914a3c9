"""The OpenPose-18 skeleton: COCO key points converted to it, and drawn as a pose control map.

Layout and colours follow OpenPose (Cao et al. 2019, arXiv:1812.08008) in the form that
ControlNet (Zhang et al. 2023, arXiv:2302.05543) was trained on.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

#: COCO-17 as (17, 3) or OpenPose-18 as (18, 3): x, y in pixels, score in 0–1.
Keypoints = NDArray[np.float32]

#: Key points below this score are not drawn.
MIN_SCORE = 0.3

#: Key points with a larger coordinate are not drawn: OpenCV's drawing overflows there.
MAX_COORDINATE = 2**15

_COCO_OF_OPENPOSE = (0, -1, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
_NECK, _COCO_SHOULDERS = 1, [5, 6]
_LIMBS = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10),
    (1, 11), (11, 12), (12, 13), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip
_COLOURS = (
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0),
    (0, 255, 0), (0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255),
    (0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85),
)  # fmt: skip
_LIMB_STRENGTH = 0.6
_HALF_WIDTH_AT_512 = 4


def coco_to_openpose(keypoints: Keypoints) -> Keypoints:
    """Reorder COCO-17 key points (17, 3: x, y in pixels, score) to OpenPose-18 (18, 3).

    The neck, which COCO lacks, is the middle of the shoulders where both are seen (its score
    the lower of the two); otherwise its score is 0.
    """
    coco = np.asarray(keypoints, dtype=np.float32)
    body = np.zeros((18, 3), dtype=np.float32)
    for row, source in enumerate(_COCO_OF_OPENPOSE):
        if source >= 0:
            body[row] = coco[source]
    shoulders = coco[_COCO_SHOULDERS]
    if (shoulders[:, 2] >= MIN_SCORE).all():
        body[_NECK, :2] = shoulders[:, :2].mean(axis=0)
        body[_NECK, 2] = shoulders[:, 2].min()
    return body


def draw_openpose(keypoints: Keypoints, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Draw OpenPose-18 key points on black.

    Limbs are ellipses at 60 % of their colour, joints full-coloured discs on top; both scale with
    the short side.

    Args:
        keypoints: (18, 3): x, y in pixels, score.
        size: (width, height) of the map.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    width, height = size
    canvas = np.zeros((height, width, 3), dtype=np.uint8)
    radius = max(1, round(min(size) / 512 * _HALF_WIDTH_AT_512))
    seen = (keypoints[:, 2] >= MIN_SCORE) & (np.abs(keypoints[:, :2]) < MAX_COORDINATE).all(axis=1)
    for (a, b), colour in zip(_LIMBS, _COLOURS[: len(_LIMBS)], strict=True):
        if not (seen[a] and seen[b]):
            continue
        start, end = keypoints[a, :2], keypoints[b, :2]
        x, y = (round(float(v)) for v in (start + end) / 2)
        dx, dy = (float(v) for v in end - start)
        axes = (max(1, round(float(np.hypot(dx, dy)) / 2)), radius)
        angle = round(float(np.degrees(np.arctan2(dy, dx))))
        outline = np.asarray(cv2.ellipse2Poly((x, y), axes, angle, 0, 360, 1))
        cv2.fillConvexPoly(canvas, outline, [round(c * _LIMB_STRENGTH) for c in colour])
    for (x, y, _), visible, colour in zip(keypoints, seen, _COLOURS, strict=True):
        if visible:
            cv2.circle(canvas, (round(float(x)), round(float(y))), radius, colour, thickness=-1)
    return canvas
