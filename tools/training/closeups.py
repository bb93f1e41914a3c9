"""Close-ups of faces, for training the painter to repaint a face.

Half of the uploads show another person in the same place, so that the painter learns to rely on the
image prompt and not on the surroundings; all are slightly blurred, as paintings are.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.picture.geometry import mask_box
from tools.portraits import HELD_OUT_SEED, draw, sample_spec, solo

SIDE = 480  # least size of the drawing from which the face is cut, in pixels
LARGER = 2.5  # … and how many times as large as the close-up it is
SOMEBODY_ELSE = 0.5
LOOKS = ("person", "skin", "hair", "hair_colour", "hat", "hat_colour", "glasses", "beard", "age")
BLUR = 5.0  # largest sigma, in pixels of a close-up of 192
GROWN = 0.06  # context as a share of a face's longer side, as in the product


def sample_close_up(
    seed: int, size: tuple[int, int], count: int
) -> tuple[NDArray[np.uint8], list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]]:
    """The face of a seed's main person, and `count` uploads with their masks (1 = repaint).

    All are of `size` = (width, height) and show the same part of the picture.
    """
    rng = np.random.default_rng((seed, 2))
    spec = solo(sample_spec(seed))
    side = max(SIDE, round(LARGER * min(size)))
    goal = draw(spec, (side, side))
    inside = mask_box(goal.masks["face"], min_side=1).slices
    uploads = []
    for _ in range(count):
        stranger = sample_spec(int(rng.integers(HELD_OUT_SEED)))
        looks = {name: getattr(stranger, name) for name in LOOKS}
        other = replace(spec, **looks) if rng.random() < SOMEBODY_ELSE else spec
        upload = goal if other == spec else draw(other, (side, side))
        faces = (goal.masks["face"] | upload.masks["face"]).astype(np.uint8)
        edge = round(GROWN * max(goal.masks["face"][inside].shape))
        grown = cv2.dilate(faces, np.ones((2 * edge + 1,) * 2, np.uint8))[inside]
        sigma = rng.uniform(0.3, BLUR) * side / SIDE
        shown = cv2.GaussianBlur(_at(upload.image[inside], size), (0, 0), sigma)
        mask = cv2.resize(grown, size, interpolation=cv2.INTER_NEAREST)
        uploads.append((np.asarray(shown, np.uint8), np.asarray(mask, np.uint8)))
    return _at(goal.image[inside], size), uploads


def _at(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
