"""Outpainting: paints the rest of a larger canvas around a finished picture.

The picture's own pixels stay as they are. What is new is painted by the same painter twice: first
the whole canvas in one piece, of the area that the painter was trained at, because windows that do
not show the person would each paint another one; then, where the picture was painted at a larger
scale, once more at that scale through windows, for detail. Its colours are shifted towards those of
the picture along the border, where the autoencoder has changed them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from inference.errors import InvalidRecipe
from inference.painting.inpainting import InpaintInput
from inference.picture.compositing import resize
from inference.picture.geometry import Box, Size, View, round_to
from inference.picture.photo import MAX_PIXELS, Pixels
from inference.recipe.outpaint_settings import Anchor, OutpaintSettings
from inference.recipe.recipe import Recipe
from inference.recipe.settings import MAX_SIDE

Floats = npt.NDArray[np.float32]

# Place of the picture by the anchor's words, in 0–1 of the room that is left on the canvas.
PLACES = {"left": 0.0, "top": 0.0, "center": 0.5, "right": 1.0, "bottom": 1.0}
# Reach of the colour shift beyond the border, and width of the rim that it is measured on, as
# shares of the painted canvas's short side.
REACH, RIM = 0.12, 0.04
# Reach of the shift that closes the border itself, as a share of the picture's short side.
CLOSING = 0.02
LEAST = 1e-4
# Blur of the border's colours where the painting begins, as a share of the longer side, and the
# denoising strength: below 1, so that the horizon goes on beyond the border.
BLUR, STRENGTH = 1 / 40, 0.95
# Denoising strength of the second painting, and the least number of its pixels in those of the
# first one: with fewer it would show no more.
DETAIL, FINER = 0.3, 1.2


@dataclass(frozen=True, kw_only=True)
class WiderCanvas:
    """A canvas with a picture on it.

    Attributes:
        size: (width, height) of the canvas.
        box: where the picture lies.
    """

    size: Size
    box: Box

    @classmethod
    def plan(cls, settings: OutpaintSettings, picture: Size, scale: float = 1.0) -> WiderCanvas:
        """The canvas that a recipe wants.

        Args:
            settings: of a recipe with a place.
            picture: the picture's size.
            scale: by which the picture was enlarged; the canvas is, too.

        Raises:
            InvalidRecipe: the canvas is smaller than the picture, the same, or too large.
        """
        asked = (settings.outpaint_width or 0, settings.outpaint_height or 0)
        size = round(asked[0] * scale), round(asked[1] * scale)
        names = ("outpaint_width", "outpaint_height")
        for name, wanted, own in zip(names, size, picture, strict=True):
            if wanted < own:
                title = OutpaintSettings.model_fields[name].title
                least = math.ceil(own / scale)
                raise InvalidRecipe(
                    f"{title} ({name}): the picture itself has {least:,} pixels, so give no fewer.",
                    field=name,
                )
        if size == picture:
            raise InvalidRecipe(
                "The canvas (outpaint_width, outpaint_height) is no larger than the picture: make "
                "it wider or higher, or give no place on it.",
                field="outpaint_width",
            )
        if max(size) > MAX_SIDE or math.prod(size) > MAX_PIXELS:
            raise InvalidRecipe(
                f"The canvas would have {size[0]:,}×{size[1]:,} pixels: make it smaller, or set a "
                "smaller width and height of the picture (w, h).",
                field="outpaint_width",
            )
        return cls(size=size, box=_place(settings.outpaint or "center", picture, size))

    def around(self, picture: Pixels) -> Pixels:
        """The canvas with a picture of the box's size on it, and its blurred border around."""
        small = resize(picture, _small(self.box.size))
        factor = small.shape[1] / self.box.size[0], small.shape[0] / self.box.size[1]
        left, right = (round(one * factor[0]) for one in self._room(0))
        top, bottom = (round(one * factor[1]) for one in self._room(1))
        drawn_out = cv2.copyMakeBorder(small, top, bottom, left, right, cv2.BORDER_REPLICATE)
        blurred = cv2.GaussianBlur(drawn_out, (0, 0), BLUR * max(drawn_out.shape[:2]))
        canvas = resize(np.asarray(blurred, np.uint8), self.size)
        canvas[self.box.slices] = picture
        return canvas

    def view(self, patch: InpaintInput) -> View:
        """What a painter's input of the canvas shows of the picture, and around it."""
        (width, height), (left, top) = self.size, (self.box.left, self.box.top)
        around = Box(left=-left, top=-top, right=width - left, bottom=height - top)
        return View(whole=self.box.size, box=around, size=patch.picture.shape[1::-1])

    def is_new(self) -> npt.NDArray[np.bool_]:
        """(H, W) bool, true beyond the picture."""
        new = np.ones(self.size[::-1], np.bool_)
        new[self.box.slices] = False
        return new

    def widen(self, layer: npt.NDArray[np.uint8], value: int) -> npt.NDArray[np.uint8]:
        """A (h, w) layer of the picture on the canvas, with a value beyond it."""
        wide = np.full(self.size[::-1], value, np.uint8)
        wide[self.box.slices] = layer
        return wide

    def _room(self, axis: int) -> tuple[int, int]:
        """The room before and behind the picture along an axis, in pixels."""
        start = (self.box.left, self.box.top)[axis]
        end = (self.box.right, self.box.bottom)[axis]
        return start, self.size[axis] - end

    # --- painting ----------------------------------------------------------------------------

    def to_compose(self, picture: Pixels, native: int) -> InpaintInput:
        """The input of the first painting: the whole canvas, in one piece.

        Args:
            picture: (h, w, 3) uint8, of the box's size.
            native: side of the square whose area the painter was trained at.
        """
        return self._input(self.around(picture), native / math.sqrt(math.prod(self.size)))

    def to_refine(
        self, picture: Pixels, composed: InpaintInput, painted: Pixels, native: int
    ) -> InpaintInput | None:
        """The input of the second painting: the canvas at the picture's scale, through windows.

        Args:
            picture, native: as for `to_compose`.
            composed: what that returned.
            painted: (h', w', 3) uint8, the painting of it.

        Returns:
            None where the second painting would be no finer.
        """
        scale = native / math.sqrt(math.prod(self.box.size))
        if math.prod(self.size) * scale**2 < FINER * native**2:
            return None
        return self._input(self.finish(picture, composed, painted), scale, native)

    def _input(self, canvas: Pixels, scale: float, window: int | None = None) -> InpaintInput:
        """A canvas at a scale, of which all that is new is painted."""
        size = round_to(self.size[0] * scale), round_to(self.size[1] * scale)
        new = self.is_new().astype(np.uint8) * np.uint8(255)
        repaint = resize_mask(new, size)
        return InpaintInput(picture=resize(canvas, size), repaint=repaint, window=window)

    def finish(self, picture: Pixels, given: InpaintInput, painted: Pixels) -> Pixels:
        """The canvas with the picture as it was, and what was painted beyond it.

        Args:
            picture: (h, w, 3) uint8, of the box's size.
            given: what `to_compose` or `to_refine` returned.
            painted: (h', w', 3) uint8, the painting of `given` at any size.
        """
        size = given.picture.shape[1], given.picture.shape[0]
        shift = colour_shift(given.picture, resize(painted, size), ~given.repaint)
        small = painted.shape[1], painted.shape[0]
        grown = cv2.resize(shift, small, interpolation=cv2.INTER_LINEAR)
        shifted = np.clip(np.rint(painted + grown), 0, 255).astype(np.uint8)
        canvas = resize(shifted, self.size)
        close_border(canvas, picture, self.box)
        canvas[self.box.slices] = picture
        return canvas


def resize_mask(mask: npt.NDArray[np.uint8], size: Size) -> npt.NDArray[np.bool_]:
    """(h, w) bool: where a mask of 0 and 255 has any part of a pixel at another size."""
    return np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_AREA) > 0)


def colour_shift(before: Pixels, after: Pixels, known: npt.NDArray[np.bool_]) -> Floats:
    """How much the colours of a painting miss those of the picture along its border.

    Args:
        before: (h, w, 3) uint8, right where known.
        after: (h, w, 3) uint8, the painting of all.
        known: (h, w) bool.

    Returns:
        (h, w, 3) float32, smooth, and fading with the distance to what is known.
    """
    short = min(known.shape)
    inside = cv2.distanceTransform(known.astype(np.uint8), cv2.DIST_L2, 5)
    rim = ((inside > 0) & (inside <= max(2.0, RIM * short))).astype(np.float32)
    sigma = max(1.0, RIM * short)
    missing = (before.astype(np.float32) - after) * rim[..., None]
    weight = cv2.GaussianBlur(rim, (0, 0), sigma) + np.float32(LEAST)
    spread = cv2.GaussianBlur(missing, (0, 0), sigma) / weight[..., None]
    away = cv2.distanceTransform((~known).astype(np.uint8), cv2.DIST_L2, 5)
    fading = np.exp(-np.square(away / (REACH * short)))
    return np.asarray(spread * fading[..., None], np.float32)


def close_border(canvas: Pixels, picture: Pixels, box: Box) -> None:
    """Shift a canvas, in place, so that its colours go on from a picture's at the border.

    The first pixels beyond the border get the colours of those within. Those behind them are
    shifted by as much, fading within a few pixels.

    Args:
        canvas: (H, W, 3) uint8.
        picture: (h, w, 3) uint8, of the box's size.
        box: where the picture will lie.
    """
    reach = max(1.0, CLOSING * min(box.size))
    margin = math.ceil(3 * reach)
    height, width = canvas.shape[:2]
    rows = np.arange(max(0, box.top - margin), min(height, box.bottom + margin))
    columns = np.arange(max(0, box.left - margin), min(width, box.right + margin))
    near_row = np.clip(rows, box.top, box.bottom - 1)
    near_column = np.clip(columns, box.left, box.right - 1)
    first_row = np.clip(rows, max(0, box.top - 1), min(height - 1, box.bottom))
    first_column = np.clip(columns, max(0, box.left - 1), min(width - 1, box.right))
    beyond = canvas[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].copy()
    for band in np.array_split(np.arange(len(rows)), max(1, len(rows) // 256)):
        at, near, first = rows[band], near_row[band], first_row[band]
        missing = picture[near - box.top][:, near_column - box.left].astype(np.float32)
        missing -= beyond[first - rows[0]][:, first_column - columns[0]]
        away = np.hypot((at - near)[:, None], (columns - near_column)[None, :])
        fading = np.where(away > 0, np.exp(-np.square((away - 1) / reach)), 0)[..., None]
        there = np.s_[at[0] : at[-1] + 1, columns[0] : columns[-1] + 1]
        shifted = canvas[there] + missing * fading
        canvas[there] = np.clip(np.rint(shifted), 0, 255).astype(np.uint8)


def on_wider_canvas(picture: Pixels, recipe: Recipe) -> Pixels:
    """A picture on the larger canvas that a recipe wants; the picture itself if it wants none.

    Raises:
        InvalidRecipe: as `WiderCanvas.plan`.
    """
    if recipe.outpaint is None:
        return picture
    return WiderCanvas.plan(recipe, picture.shape[1::-1]).around(picture)


def _place(anchor: Anchor, picture: Size, canvas: Size) -> Box:
    """Where the picture lies on the canvas."""
    words = anchor.split("-")
    down = next((PLACES[one] for one in words if one in ("top", "bottom")), PLACES["center"])
    across = next((PLACES[one] for one in words if one in ("left", "right")), PLACES["center"])
    left = round(across * (canvas[0] - picture[0]))
    top = round(down * (canvas[1] - picture[1]))
    return Box(left=left, top=top, right=left + picture[0], bottom=top + picture[1])


def _small(size: Size) -> Size:
    """A size of at most 256 pixels on the longer side."""
    scale = min(1.0, 256 / max(size))
    return max(2, round(size[0] * scale)), max(2, round(size[1] * scale))
