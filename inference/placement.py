"""Where a painted patch belongs, at any resolution, and what of the photo is kept there."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from inference.compose import Alpha, paste, resize
from inference.geometry import Box, Size, View, mask_box
from inference.photo import MAX_PIXELS, MAX_SIDE, Pixels
from inference.recipe import Recipe
from inference.selection import Selection


@dataclass(frozen=True, kw_only=True)
class Placement:
    """A part of the canvas.

    Attributes:
        selection: what the recipe's words select.
        recipe: its sliders make the mask.
        size: of the whole picture, (width, height).
        box: the part, in pixels of the whole picture.
        alpha: the mask of the whole picture, (H, W); 0 = kept, 255 = repainted.
    """

    selection: Selection
    recipe: Recipe
    size: Size
    box: Box
    alpha: Alpha = field(repr=False)

    @classmethod
    def around_mask(cls, selection: Selection, recipe: Recipe, min_side: int) -> Placement:
        """The part of the canvas that is painted: the mask with context, at least so large."""
        size = selection.canvas.size
        alpha = _alpha(selection, recipe, View(whole=size, box=Box.whole(size), size=size))
        box = mask_box(alpha > 0, min_side=min_side)
        return cls(selection=selection, recipe=recipe, size=size, box=box, alpha=alpha)

    def original(self) -> Pixels:
        """The upload's own pixels for the whole picture, (H, W, 3)."""
        return self.selection.picture(self.size)

    def _alpha(self, size: Size) -> Alpha:
        """The mask of the part at a size of its own."""
        view = View(whole=self.size, box=self.box, size=size)
        return _alpha(self.selection, self.recipe, view)

    def put_back(self, patch: Pixels) -> Pixels:
        """A patch of any resolution with the kept pixels of the upload in it."""
        size = patch.shape[1], patch.shape[0]
        source = resize(self.original()[self.box.slices], size)
        return paste(source, patch, self._alpha(size), Box.whole(size))

    def repaint(self, size: Size) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        """Where a patch of this size is repainted, (H, W) bool."""
        return self._alpha(size) > 0

    def grown(self, patch: Size) -> Placement:
        """The same part of a picture so large that a patch of this size loses nothing in it.

        The picture stays within what an upload may have, and never shrinks.
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
        alpha = _alpha(self.selection, self.recipe, everywhere)
        return replace(self, size=sides, box=box, alpha=alpha)


def _alpha(selection: Selection, recipe: Recipe, view: View) -> Alpha:
    return np.rint(selection.alpha(recipe, view) * 255).astype(np.uint8)
