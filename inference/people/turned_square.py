"""A turned square in a picture: the region that a landmark model looks at, and its resampling.

Coordinates are in pixels from the picture's left and top edge: the first pixel's centre is at
(0.5, 0.5), so that sizes scale without an offset.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.picture.geometry import Box, Size
from inference.picture.photo import Pixels

T = TypeVar("T", np.uint8, np.float32)
Floats = NDArray[np.float32]
# Width of the border over which a square fades out, of its side.
FADE = 0.12
#: (2, 3) float64: maps (x, y, 1) to (x, y).
Affine = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class TurnedSquare:
    """A square of a picture, turned round its centre.

    Attributes:
        x, y: its centre, in pixels of the picture.
        side: its side, in pixels of the picture.
        angle: direction of its upper edge from left to right, in radians; y points down, so a
            positive angle is clockwise.
    """

    x: float
    y: float
    side: float
    angle: float = 0.0

    @property
    def corners(self) -> Floats:
        """(4, 2): upper left, upper right, lower right, lower left, as seen in the square."""
        return self.to_picture(np.array([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=np.float32))

    def to_picture(self, points: Floats) -> Floats:
        """Points (N, 2) in 0–1 of the square, in pixels of the picture."""
        centred = (points.astype(np.float64) - 0.5) * self.side
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        turned = centred @ np.array([[cos, sin], [-sin, cos]])
        return np.asarray(turned + np.array([self.x, self.y]), dtype=np.float32)

    def affine(self, side: int) -> Affine:
        """Maps pixels of the picture to pixels of the square sampled at `side`²."""
        scale = side / self.side
        cos, sin = np.cos(self.angle) * scale, np.sin(self.angle) * scale
        return np.array(
            [
                [cos, sin, side / 2 - cos * self.x - sin * self.y],
                [-sin, cos, side / 2 + sin * self.x - cos * self.y],
            ]
        )

    def cut(self, picture: Pixels, side: int, border: int = cv2.BORDER_CONSTANT) -> Pixels:
        """The square, sampled at `side`²; what lies outside the picture is black by default.

        Args:
            picture: (H, W, 3) or (H, W) uint8.
            side: of the result, in pixels.
            border: OpenCV's border mode.
        """
        within = self._bounds((picture.shape[1], picture.shape[0]))
        part = picture[within.slices]
        if not part.size:
            return np.zeros((side, side, *picture.shape[2:]), dtype=np.uint8)
        shrink = max(1.0, self.side / side / 1.5)  # linear sampling reads two pixels a side
        size = tuple(max(1, round(length / shrink)) for length in within.size)
        if shrink > 1:
            part = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)
        scale = [size[0] / within.size[0], size[1] / within.size[1]]
        to_part = np.array([[scale[0], 0, -within.left * scale[0]],
                            [0, scale[1], -within.top * scale[1]], [0, 0, 1]])  # fmt: skip
        matrix = self.affine(side) @ np.linalg.inv(to_part)
        return np.asarray(warp(part, matrix, (side, side), border), dtype=np.uint8)

    def paste(self, values: Floats, whole: Size, size: Size) -> Floats:
        """Values of the square, as a map over the whole picture.

        Args:
            values: (N, N), the square.
            whole: the picture's (width, height), in which the square is given.
            size: (width, height) of the map.

        Returns:
            (height, width), 0 outside the square.
        """
        scale = np.array([size[0] / whole[0], size[1] / whole[1]])
        side = len(values)
        fine = max(2, round(min(self.side * float(scale.max()) * 1.5, side)))
        if fine < side:
            values = np.asarray(cv2.resize(values, (fine, fine), interpolation=cv2.INTER_AREA))
        back = cv2.invertAffineTransform(self.affine(len(values)))
        return np.asarray(warp(values, back * scale[:, None], size), dtype=np.float32)

    def _bounds(self, canvas: Size) -> Box:
        """The box of the picture that the square covers."""
        low, high = self.corners.min(axis=0), self.corners.max(axis=0)
        left, top = (max(0, int(np.floor(one)) - 1) for one in low)
        right, bottom = (min(most, int(np.ceil(one)) + 1)
                         for one, most in zip(high, canvas, strict=True))  # fmt: skip
        return Box(left=left, top=top, right=max(left, right), bottom=max(top, bottom))


def fading(side: int) -> Floats:
    """Weights (side, side) of a square: 1 inside, falling to 0 over `FADE` of it at its border."""
    ramp = np.clip((0.5 - np.abs((np.arange(side) + 0.5) / side - 0.5)) / FADE, 0, 1)
    return np.asarray(np.minimum.outer(ramp, ramp), dtype=np.float32)


def warp(
    values: NDArray[T],
    matrix: Affine,
    size: Size,
    border: int = cv2.BORDER_CONSTANT,
) -> NDArray[T]:
    """`cv2.warpAffine` for coordinates that start at the edge of the first pixel."""
    moved = matrix.copy()
    moved[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    flags = cv2.INTER_LINEAR
    warped: Any = cv2.warpAffine(values, moved, size, flags=flags, borderMode=border)
    return np.asarray(warped, dtype=values.dtype)
