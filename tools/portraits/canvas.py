"""Small antialiased vector canvas that also records the part that each pixel belongs to."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from tools.portraits.things import Thing

Colour = tuple[int, int, int]
Points = NDArray[np.float64]
Pixels = NDArray[np.uint8]

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


class Shape:
    """A polygon or a thick line in the fixed-point coordinates of the supersampled picture."""

    def __init__(self, points: Points, width: float | None = None) -> None:
        """Take points (n, 2) in final pixels; `width` in final pixels makes it an open line."""
        self.fixed = np.round((points * SUPERSAMPLE - 0.5) * (1 << _SHIFT)).astype(np.int32)
        self.thick = None if width is None else max(1, round(width * SUPERSAMPLE))

    @property
    def extent(self) -> float:
        """The longer side of its box, in supersampled pixels."""
        return float(np.ptp(self.fixed, axis=0).max()) / (1 << _SHIFT) + (self.thick or 0)

    def moved(self, left: int, top: int) -> Shape:
        """The same shape for a picture whose corner lies at these supersampled pixels."""
        other = copy.copy(self)
        other.fixed = self.fixed - np.array([left, top], np.int32) * (1 << _SHIFT)
        return other

    def put(self, picture: Pixels, colour: Sequence[int], antialiased: bool = True) -> None:
        """Draw it into `picture` with one colour."""
        edge = cv2.LINE_AA if antialiased else cv2.LINE_8
        if self.thick is None:
            cv2.fillPoly(picture, [self.fixed], colour, edge, _SHIFT)
        else:
            cv2.polylines(picture, [self.fixed], False, colour, self.thick, edge, _SHIFT)

    def trace(self, picture: Pixels, colour: Sequence[int], width: int, smooth: bool) -> None:
        """Draw its outline, `width` supersampled pixels wide; that of a line lies around it."""
        edge = cv2.LINE_AA if smooth else cv2.LINE_8
        if self.thick is None:
            cv2.polylines(picture, [self.fixed], True, colour, width, edge, _SHIFT)
        else:
            thick = self.thick + 2 * width
            cv2.polylines(picture, [self.fixed], False, colour, thick, edge, _SHIFT)

    def box(self, shape: tuple[int, ...]) -> tuple[slice, slice]:
        """Rows and columns of a picture of `shape` that it may touch."""
        margin = (self.thick or 0) // 2 + 2
        low = (self.fixed.min(axis=0) >> _SHIFT) - margin
        high = (self.fixed.max(axis=0) >> _SHIFT) + margin + 1
        x0, y0 = np.maximum(low, 0)
        return slice(y0, max(y0, min(high[1], shape[0]))), slice(
            x0, max(x0, min(high[0], shape[1]))
        )


Role = Literal["scene", "figure", "detail"]
"""What a shape is: a thing of the scene, a part of a person, or a feature upon such a part."""


class Brush(Protocol):
    """Interface of a drawing style: draws shapes on the picture, and finishes it."""

    def paint(self, rgb: Pixels, shape: Shape, colour: Colour, role: Role) -> None:
        """Draw one shape on the supersampled picture."""

    def outline(self, size: tuple[int, ...]) -> int:
        """Width of the outlines, in supersampled pixels of a picture of this shape; 0: none."""

    def finish(self, rgb: Pixels) -> Pixels:
        """Apply the style's effects to the finished supersampled picture."""


class Canvas:
    """RGB picture and part map of one size, drawn together; coordinates in final pixels.

    `person` is None while the scene is drawn, then the offset of the part numbers; `thing` is the
    class of the scene's shapes being drawn, None for shapes without one.
    """

    def __init__(self, size: tuple[int, int], brush: Brush) -> None:
        """Start an empty canvas of `size` = (width, height)."""
        self.width, self.height = size
        self.person: int | None = None
        self.thing: Thing | None = Thing.SKY
        shape = (self.height * SUPERSAMPLE, self.width * SUPERSAMPLE)
        self._brush = brush
        self._rgb = np.zeros((*shape, 3), np.uint8)
        self._parts = np.zeros(shape, np.uint8)
        self._things = np.full(shape, Thing.SKY, np.uint8)

    def sky(self, top: Colour, bottom: Colour) -> None:
        """Fill the whole picture with a vertical gradient."""
        t = np.linspace(0, 1, len(self._rgb))[:, None]
        column = np.asarray(top) * (1 - t) + np.asarray(bottom) * t
        self._rgb[:] = np.round(column)[:, None].astype(np.uint8)
        self._things[:] = Thing.SKY if self.thing is None else self.thing

    def fill(self, points: Points, colour: Colour, part: int | None = None) -> None:
        """Fill a polygon (n, 2); `part` claims its pixels, None leaves the part map alone."""
        self._add(Shape(points), colour, part)

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        """Fill an upright rectangle of the scene."""
        corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
        self.fill(np.array(corners, dtype=np.float64), colour)

    def line(self, points: Points, width: float, colour: Colour, part: int | None = None) -> None:
        """Draw an open line (n, 2) of a width in pixels with round ends."""
        self._add(Shape(points, width), colour, part)

    def _add(self, shape: Shape, colour: Colour, part: int | None) -> None:
        upon: Role = "scene" if self.person is None else "detail"
        self._brush.paint(self._rgb, shape, colour, upon if part is None else "figure")
        if self.person is None and self.thing is not None:
            shape.put(self._things, (self.thing,), False)
        if part is None:
            return
        number = (part + (self.person or 0),)
        if width := self._brush.outline(self._rgb.shape):
            shape.trace(self._parts, number, width, False)
        shape.put(self._parts, number, False)

    def weave(self, part: int, pattern: NDArray[np.bool_], colour: Colour) -> None:
        """Colour the pixels of a part where a pattern (supersampled height, width) is on."""
        on = pattern & (self._parts == part + (self.person or 0))
        self._rgb[on] = np.round(0.5 * self._rgb[on] + 0.5 * np.asarray(colour)).astype(np.uint8)

    def grid(self) -> Points:
        """Coordinates of the supersampled pixels, in final pixels: (h, w, 2)."""
        y, x = np.mgrid[: len(self._rgb), : self._rgb.shape[1]]
        return (np.stack([x, y], axis=-1) + 0.5) / SUPERSAMPLE

    def image(self) -> Pixels:
        """The finished picture, (height, width, 3) RGB."""
        done = self._brush.finish(self._rgb)
        small = cv2.resize(done, (self.width, self.height), interpolation=cv2.INTER_AREA)
        return np.asarray(small, dtype=np.uint8)

    def mask(self, parts: Sequence[int]) -> NDArray[np.bool_]:
        """Pixels at least half covered by any of `parts`, (height, width)."""
        table = np.zeros(256, np.uint8)
        table[list(parts)] = 255
        chosen = cv2.LUT(self._parts, table)
        small = cv2.resize(chosen, (self.width, self.height), interpolation=cv2.INTER_AREA)
        return np.asarray(small >= 128)

    def things(self) -> NDArray[np.uint8]:
        """Class number of each pixel, (height, width)."""
        scene = self._things[::SUPERSAMPLE, ::SUPERSAMPLE]
        people = self._parts[::SUPERSAMPLE, ::SUPERSAMPLE] > 0
        return np.where(people, np.uint8(Thing.PERSON), scene)
