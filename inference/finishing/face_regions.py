"""Regions of faces in a picture, to be repainted or restored."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from inference.mask.heatmap import Bools, Heatmap, logit
from inference.picture.compositing import Alpha
from inference.picture.geometry import (
    LATENT_FACTOR,
    Box,
    Size,
    View,
    fit_within,
    generation_size,
    mask_box,
)
from inference.picture.photo import Pixels
from inference.picture.resampling import resample

# Longer side of the grid on which connected faces are separated.
GRID = 384
SURE = 0.5
# Least share of the picture that a face covers.
SMALLEST = 0.0005
# Least share of a face that may be repainted.
OPEN = 0.5


@dataclass(frozen=True, kw_only=True)
class Face:
    """One face.

    Attributes:
        box: the face with context, in pixels of the picture.
        size: generation size of the box.
        soft: (h, w) uint8, the face within the box with a soft edge.
    """

    box: Box
    size: Size
    soft: Alpha = field(repr=False)

    def at(self, size: Size) -> Alpha:
        """The face within the box, resized, (H, W) uint8, 255 = face."""
        return np.asarray(cv2.resize(self.soft, size, interpolation=cv2.INTER_LINEAR), np.uint8)


def find_faces(heat: Heatmap, reach: Alpha, native: int) -> list[Face]:
    """The faces in a picture that may be repainted.

    Args:
        heat: heatmap of "face".
        reach: (H, W) uint8 of the picture's size, 0 where nothing may change.
        native: side of the square whose area the painter was trained at.
    """
    size = reach.shape[1], reach.shape[0]
    grid = fit_within(size, GRID)
    found = resample(heat.logits, View(whole=size, box=Box.whole(size), size=grid)) >= logit(SURE)
    is_open = cv2.resize(reach, grid, interpolation=cv2.INTER_AREA) > 0
    count, labels = cv2.connectedComponents(found.astype(np.uint8))
    each = (np.asarray(labels == k) for k in range(1, count))
    return [_face(one, size, native) for one in each if _counts(one, is_open)]


def portrait_of(heat: Heatmap, picture: Pixels) -> Pixels | None:
    """A crop of the largest face, (h, w, 3); None if there is none."""
    everywhere = np.full(picture.shape[:2], 255, dtype=np.uint8)
    faces = find_faces(heat, everywhere, native=LATENT_FACTOR)
    largest = max(faces, key=lambda face: int(face.soft.sum()), default=None)
    return None if largest is None else picture[largest.box.slices]


def _counts(face: Bools, is_open: Bools) -> bool:
    large = face.mean() >= SMALLEST
    return bool(large and (face & is_open).sum() >= OPEN * face.sum())


def _face(face: Bools, size: Size, native: int) -> Face:
    """The face of a grid mask in a picture of this size."""
    high, wide = face.shape
    around = mask_box(face, min_side=1)
    x, y = size[0] / wide, size[1] / high
    box = Box(
        left=int(around.left * x),
        top=int(around.top * y),
        right=min(size[0], max(int(around.left * x) + 1, round(around.right * x))),
        bottom=min(size[1], max(int(around.top * y) + 1, round(around.bottom * y))),
    )
    edge = max(1, round(0.05 * max(around.size)))
    grown = cv2.dilate(face.astype(np.uint8) * 255, np.ones((2 * edge + 1,) * 2, np.uint8))
    soft = np.asarray(cv2.blur(grown, (2 * edge + 1,) * 2), dtype=np.uint8)
    return Face(box=box, size=generation_size(box.size, native), soft=soft[around.slices])
