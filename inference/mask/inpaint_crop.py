"""Crop and stitch: the crop around the mask to paint, and its blending into the photo.

Works at any resolution, because the mask is a distance field.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from inference.mask.selection import Selection
from inference.matting.matte import Cutout
from inference.picture.compositing import Alpha, paste, resize
from inference.picture.geometry import Box, Size, View, mask_box
from inference.picture.photo import MAX_PIXELS, Pixels
from inference.recipe.recipe import Recipe
from inference.recipe.settings import MAX_SIDE


@dataclass(frozen=True, kw_only=True)
class InpaintCrop:
    """The part of a picture that is painted, with the picture's mask.

    Attributes:
        selection: the selection of the recipe's words.
        recipe: has the mask settings.
        size: (width, height) of the whole picture.
        box: the part, in pixels of the whole picture.
        alpha: (H, W) uint8, the mask of the whole picture; 0 = kept, 255 = repainted.
        colours: (H, W, 3) uint8, the colours in which partly kept pixels of the whole picture
            show; those of the upload, or freed of the old background's.
    """

    selection: Selection
    recipe: Recipe
    size: Size
    box: Box
    alpha: Alpha = field(repr=False)
    colours: Pixels = field(repr=False)

    @classmethod
    def around_mask(cls, selection: Selection, recipe: Recipe, min_side: int) -> InpaintCrop:
        """The mask's bounding box with context, no side shorter than `min_side` pixels."""
        size = selection.canvas.size
        cutout = selection.cutout(recipe, View(whole=size, box=Box.whole(size), size=size))
        box = mask_box(cutout.alpha > 0, min_side=min_side)
        return cls(
            selection=selection, recipe=recipe, size=size, box=box,
            alpha=cutout.alpha, colours=cutout.colours,
        )  # fmt: skip

    def original(self) -> Pixels:
        """The upload's pixels for the whole picture, (H, W, 3)."""
        return self.selection.picture(self.size)

    def _cutout(self, size: Size) -> Cutout:
        """What is kept of the part, at any size."""
        view = View(whole=self.size, box=self.box, size=size)
        return self.selection.cutout(self.recipe, view)

    def put_back(self, patch: Pixels) -> Pixels:
        """Restore the upload's pixels in a painted crop of any resolution where the mask keeps."""
        size = patch.shape[1], patch.shape[0]
        source = resize(self.original()[self.box.slices], size)
        cutout = self._cutout(size)
        return paste(source, patch, cutout.alpha, Box.whole(size), cutout.colours)

    def put_in(self, patch: Pixels) -> Pixels:
        """The whole picture with a painted crop of any resolution in its place."""
        return paste(self.original(), patch, self.alpha, self.box, self.colours)

    def repaint(self, size: Size) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        """(H, W) bool, true where the mask repaints a crop of this size."""
        return self._cutout(size).alpha > 0

    def grown(self, patch: Size) -> InpaintCrop:
        """The same part of a picture enlarged so that a crop of this size keeps its resolution.

        The picture stays within the limits of an upload and never shrinks.
        """
        width, height = self.size
        wanted = max(patch[0] / self.box.size[0], patch[1] / self.box.size[1])
        most = min(MAX_SIDE / max(self.size), (MAX_PIXELS / (width * height)) ** 0.5)
        scale = min(wanted, most)
        if scale <= 1:
            return self
        sides = round(width * scale), round(height * scale)
        x, y = sides[0] / width, sides[1] / height
        box = Box(
            left=round(self.box.left * x),
            top=round(self.box.top * y),
            right=round(self.box.right * x),
            bottom=round(self.box.bottom * y),
        )
        everywhere = View(whole=sides, box=Box.whole(sides), size=sides)
        cutout = self.selection.cutout(self.recipe, everywhere)
        return replace(self, size=sides, box=box, alpha=cutout.alpha, colours=cutout.colours)
