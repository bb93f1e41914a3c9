"""A tiny antialiased vector canvas that also remembers which part each pixel belongs to."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]
Points = NDArray[np.float64]

SUPERSAMPLE = 2
_SHIFT = 4  # fractional bits of cv2's fixed-point coordinates


def mix(a: Colour, b: Colour, amount: float) -> Colour:
    """The colour `amount` (0-1) of the way from `a` to `b`."""
    r, g, bl = (round(x + (y - x) * amount) for x, y in zip(a, b, strict=True))
    return r, g, bl


def smooth(
    points: Sequence[Sequence[float]] | Points, closed: bool = True, rounds: int = 3
) -> Points:
    """Round the corners of a polygon or line (Chaikin 1974); (n, 2) in, more points out."""
    curve = np.asarray(points, dtype=np.float64)
    for _ in range(rounds):
        ahead = np.roll(curve, -1, axis=0) if closed else curve[1:]
        behind = curve if closed else curve[:-1]
        cut = np.stack([behind * 0.75 + ahead * 0.25, behind * 0.25 + ahead * 0.75], axis=1)
        rounded = cut.reshape(-1, 2)
        curve = rounded if closed else np.concatenate([curve[:1], rounded, curve[-1:]])
    return curve


def oval(centre: Sequence[float], axes: Sequence[float], degrees: float = 0.0) -> Points:
    """An ellipse as a polygon (40, 2); `axes` are its half-width and half-height."""
    t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    circle = np.stack([np.cos(t) * axes[0], np.sin(t) * axes[1]], axis=1)
    a = np.deg2rad(degrees)
    turn = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
    return np.asarray(circle @ turn + np.asarray(centre, dtype=np.float64))


class Canvas:
    """RGB picture and part map of one size, drawn together; coordinates in final pixels."""

    def __init__(self, size: tuple[int, int]) -> None:
        """Start an empty canvas of `size` = (width, height)."""
        self.width, self.height = size
        shape = (self.height * SUPERSAMPLE, self.width * SUPERSAMPLE)
        self._rgb = np.zeros((*shape, 3), np.uint8)
        self._parts = np.zeros(shape, np.uint8)

    def sky(self, top: Colour, bottom: Colour) -> None:
        """Fill the whole picture with a vertical gradient."""
        t = np.linspace(0, 1, len(self._rgb))[:, None]
        column = np.asarray(top) * (1 - t) + np.asarray(bottom) * t
        self._rgb[:] = np.round(column)[:, None].astype(np.uint8)

    def fill(self, points: Points, colour: Colour, part: int | None = None) -> None:
        """Fill a polygon (n, 2); `part` claims its pixels, None leaves the part map alone."""
        fixed = np.round((points * SUPERSAMPLE - 0.5) * (1 << _SHIFT)).astype(np.int32)
        cv2.fillPoly(self._rgb, [fixed], colour, cv2.LINE_AA, _SHIFT)
        if part is not None:
            cv2.fillPoly(self._parts, [fixed], (part,), cv2.LINE_8, _SHIFT)

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        """Fill an upright rectangle of the scene."""
        corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
        self.fill(np.array(corners, dtype=np.float64), colour)

    def line(self, points: Points, width: float, colour: Colour, part: int | None = None) -> None:
        """Draw an open line (n, 2) of a width in pixels with round ends."""
        fixed = np.round((points * SUPERSAMPLE - 0.5) * (1 << _SHIFT)).astype(np.int32)
        thick = max(1, round(width * SUPERSAMPLE))
        cv2.polylines(self._rgb, [fixed], False, colour, thick, cv2.LINE_AA, _SHIFT)
        if part is not None:
            cv2.polylines(self._parts, [fixed], False, (part,), thick, cv2.LINE_8, _SHIFT)

    def image(self) -> NDArray[np.uint8]:
        """The finished picture, (height, width, 3) RGB."""
        small = cv2.resize(self._rgb, (self.width, self.height), interpolation=cv2.INTER_AREA)
        return np.asarray(small, dtype=np.uint8)

    def mask(self, parts: Sequence[int]) -> NDArray[np.bool_]:
        """Pixels at least half covered by any of `parts`, (height, width)."""
        chosen = np.isin(self._parts, list(parts)).astype(np.float32)
        small = cv2.resize(chosen, (self.width, self.height), interpolation=cv2.INTER_AREA)
        return np.asarray(small >= 0.5)
