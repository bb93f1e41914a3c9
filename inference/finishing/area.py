"""The area of whole pictures that a finishing stage may change."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from inference.finishing.outpainter import WiderCanvas
from inference.mask.inpaint_crop import InpaintCrop
from inference.picture.compositing import Alpha, paste
from inference.picture.geometry import Box
from inference.picture.photo import Pixels


@dataclass(frozen=True, kw_only=True)
class Area:
    """The area of whole pictures that a stage may change.

    Attributes:
        original: (H, W, 3) uint8, the upload at the pictures' size.
        alpha: (H, W) uint8, the mask; 0 = kept, 255 = repainted.
        reach: (H, W) uint8, 0 where nothing may change; the mask if what is kept is protected.
        is_matted: whether the mask's edge is a matte and not a soft line.
        box: where the upload lies; None for everywhere.
    """

    original: Pixels
    alpha: Alpha
    reach: Alpha
    is_matted: bool = False
    box: Box | None = None

    @property
    def photo(self) -> Pixels:
        """The upload's part of `original`."""
        return self.original if self.box is None else self.original[self.box.slices]

    def widened(self, canvas: WiderCanvas) -> Area:
        """The area on a larger canvas, on which all that is new may change."""
        return replace(
            self,
            original=canvas.around(self.original),
            alpha=canvas.widen(self.alpha, 255),
            reach=canvas.widen(self.reach, 255),
            box=canvas.box,
        )

    def paste(self, before: Pixels, after: Pixels) -> Pixels:
        """Blend a stage's output over its input, with `reach` as alpha."""
        return paste(
            before, after, self.reach, Box.whole((self.reach.shape[1], self.reach.shape[0]))
        )


def whole_patch(crop: InpaintCrop) -> Alpha:
    """Alpha of the whole crop, fading at those of its sides that lie within the picture."""
    width, height = crop.size
    box = crop.box
    fade = max(1, min(box.size) // 16)

    def side(first: int, last: int, length: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        at = np.arange(length, dtype=np.float32) + 0.5
        rising = (at - first) / fade if first > 0 else np.ones_like(at)
        falling = (last - at) / fade if last < length else np.ones_like(at)
        return np.clip(np.minimum(rising, falling), 0, 1)

    share = np.outer(side(box.top, box.bottom, height), side(box.left, box.right, width))
    return np.rint(255 * share).astype(np.uint8)
