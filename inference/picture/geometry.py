"""Sizes, aspect ratios and boxes: pure arithmetic. Sizes are (width, height) in pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inference.errors import EmptyMask
from inference.recipe.recipe import Recipe

Size = tuple[int, int]

ASPECT_RATIOS = {
    "1:1": 1.0, "16:9": 16 / 9, "9:16": 9 / 16, "21:9": 21 / 9, "9:21": 9 / 21, "3:2": 3 / 2,
    "2:3": 2 / 3, "5:4": 5 / 4, "4:5": 4 / 5, "4:3": 4 / 3, "3:4": 3 / 4,
    "portrait": 4 / 5, "landscape": 5 / 4,
}  # fmt: skip

# Latent diffusion VAEs shrink each side by 8.
LATENT_FACTOR = 8
CONTEXT = 0.25
MAX_CROP_ASPECT = 2.0


@dataclass(frozen=True, kw_only=True)
class Box:
    """A rectangle of whole pixels; right and bottom are exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> Size:
        """(width, height)."""
        return self.right - self.left, self.bottom - self.top

    @property
    def slices(self) -> tuple[slice, slice]:
        """Slices of the box for an (H, W, …) array."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def grown(self, share: float, canvas: Size) -> Box:
        """The box extended on each side by a share of its sides, within a picture of this size."""
        wide, high = (round(share * side) for side in self.size)
        return Box(
            left=max(0, self.left - wide),
            top=max(0, self.top - high),
            right=min(canvas[0], self.right + wide),
            bottom=min(canvas[1], self.bottom + high),
        )

    @classmethod
    def whole(cls, size: Size) -> Box:
        """The box that covers a picture of this size."""
        return cls(left=0, top=0, right=size[0], bottom=size[1])


@dataclass(frozen=True, kw_only=True)
class View:
    """A part of a picture at a resolution.

    Attributes:
        whole: size of the whole picture.
        box: the part, in pixels of the whole picture.
        size: resolution at which the part is sampled.
    """

    whole: Size
    box: Box
    size: Size


@dataclass(frozen=True, kw_only=True)
class Canvas:
    """The area of the photo that becomes the result, and the result's size.

    Attributes:
        box: the part, in pixels of the photo.
        size: the result's size; the box's own size unless the recipe sets another.
    """

    box: Box
    size: Size

    @classmethod
    def plan(cls, photo: Size, recipe: Recipe, focus: tuple[float, float]) -> Canvas:
        """Crop a photo to a recipe's width and height or aspect ratio, without distortion.

        Args:
            photo: the photo's size.
            recipe: `w` and `h` take precedence over `ar`; without any, the canvas is the photo.
            focus: centre of the crop, each coordinate in 0–1 of the photo.
        """
        if recipe.w is not None and recipe.h is not None:
            box = crop_to_aspect(photo, recipe.w / recipe.h, focus)
            return cls(box=box, size=(recipe.w, recipe.h))
        if recipe.ar is not None:
            box = crop_to_aspect(photo, ASPECT_RATIOS[recipe.ar], focus)
            return cls(box=box, size=box.size)
        return cls(box=Box.whole(photo), size=photo)


def round_to(value: float, multiple: int = LATENT_FACTOR) -> int:
    """The nearest positive multiple of `multiple`."""
    return max(multiple, int(value / multiple + 0.5) * multiple)


def generation_size(size: Size, native: int) -> Size:
    """The generation size: the size at which a model paints a picture.

    Args:
        size: the picture's own size.
        native: side of the square whose area the model was trained at.

    Returns:
        Sides in multiples of 8, with the picture's shape and about `native`² pixels.
    """
    scale = native / math.sqrt(size[0] * size[1])
    return round_to(size[0] * scale), round_to(size[1] * scale)


def fit_within(size: Size, longest: int) -> Size:
    """`size` scaled down, never up, until its longer side is at most `longest`."""
    scale = min(1.0, longest / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def crop_to_aspect(size: Size, ratio: float, focus: tuple[float, float] = (0.5, 0.5)) -> Box:
    """The largest box of an aspect ratio in a picture, as near to `focus` as it fits.

    Args:
        size: the picture's size.
        ratio: width divided by height of the box.
        focus: the point to centre on, each coordinate in 0–1.
    """
    width, height = size
    wide = min(width, max(1, round(height * ratio)))
    high = min(height, max(1, round(width / ratio)))
    left = _slide(focus[0] * width - wide / 2, wide, width)
    top = _slide(focus[1] * height - high / 2, high, height)
    return Box(left=left, top=top, right=left + wide, bottom=top + high)


def mask_box(repaint: npt.NDArray[np.bool_], min_side: int) -> Box:
    """The part of the canvas to paint: the mask's bounding box with context.

    Args:
        repaint: (H, W), true where anything is repainted.
        min_side: shortest side while the canvas has room, so that a small mask is not painted at
            a higher resolution than the canvas has.

    Returns:
        A box within the canvas that holds the whole mask, at most 2:1 while the canvas has room.

    Raises:
        EmptyMask: nothing is repainted.
    """
    if not repaint.any():
        raise EmptyMask
    height, width = repaint.shape
    rows, columns = np.flatnonzero(repaint.any(axis=1)), np.flatnonzero(repaint.any(axis=0))
    high, wide = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
    context = round(2 * CONTEXT * max(high, wide))
    side = max(min_side, math.ceil((max(high, wide) + context) / MAX_CROP_ASPECT))
    wide, high = (min(limit, max(side, length + context))
                  for length, limit in ((wide, width), (high, height)))  # fmt: skip
    left = _slide((columns[0] + columns[-1] + 1 - wide) / 2, wide, width)
    top = _slide((rows[0] + rows[-1] + 1 - high) / 2, high, height)
    return Box(left=left, top=top, right=left + wide, bottom=top + high)


def _slide(start: float, length: int, limit: int) -> int:
    """Clamp `start` so that `length` fits into 0…`limit`."""
    return int(min(max(round(start), 0), limit - length))
