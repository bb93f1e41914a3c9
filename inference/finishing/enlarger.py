"""Super-resolution by Swin2SR (Conde et al. 2022, arXiv:2209.11345), in overlapping tiles.

Tiles bound the memory; within an overlap the weight changes linearly from one tile to the other.
"""

from __future__ import annotations

from collections.abc import Generator
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import Swin2SRForImageSuperResolution
from transformers.models.swin2sr.image_processing_pil_swin2sr import Swin2SRImageProcessorPil

from inference.picture.photo import Pixels
from inference.picture.tiling import Tiling
from inference.runtime.library_errors import check_finite
from inference.runtime.pretrained import Pretrained

# In pixels of the input; all are multiples of the model's attention window of 8.
TILES = Tiling(tile=128, overlap=32, margin=8)


class Enlarger(Pretrained):
    """Swin2SR on one device. Not thread-safe."""

    MODEL = Swin2SRForImageSuperResolution
    PROCESSOR = Swin2SRImageProcessorPil

    @property
    def scale(self) -> int:
        """Factor by which width and height grow."""
        scale: int = self._model.config.upscale
        return scale

    def enlarge(self, picture: Pixels) -> Pixels:
        """Enlarge a picture by the factor `scale`.

        Args:
            picture: (H, W, 3) uint8 RGB of any size.

        Returns:
            (scale·H, scale·W, 3) uint8 RGB.
        """
        work = self.tiles(picture)
        while True:
            try:
                next(work)
            except StopIteration as done:
                enlarged: Pixels = done.value
                return enlarged

    def tiles(self, picture: Pixels) -> Generator[tuple[int, int], None, Pixels]:
        """Enlarge tile by tile; returns the same as `enlarge`. Closing the generator cancels.

        Yields:
            Number of tiles done, and of all tiles.
        """
        pixels = self._processor(
            picture, input_data_format="channels_last", return_tensors="pt"
        ).pixel_values[0]
        height, width = pixels.shape[1:]  # padded to full attention windows
        total = np.zeros((height * self.scale, width * self.scale, 3), dtype=np.float32)
        weight = np.zeros((*total.shape[:2], 1), dtype=np.float32)
        places = list(product(TILES.spans(height), TILES.spans(width)))
        for count, (rows, columns) in enumerate(places, start=1):
            tile = self._run(pixels[:, rows, columns])
            share = np.outer(
                TILES.ramp(rows, height, self.scale), TILES.ramp(columns, width, self.scale)
            )
            target = (_scaled(rows, self.scale), _scaled(columns, self.scale))
            total[target] += tile * share[..., None]
            weight[target] += share[..., None]
            yield count, len(places)
        rows, columns = (slice(0, side * self.scale) for side in picture.shape[:2])
        blended = 255 * total[rows, columns] / weight[rows, columns]
        return np.asarray(blended.round(), dtype=np.uint8)

    @torch.inference_mode()
    def _run(self, tile: torch.Tensor) -> NDArray[np.float32]:
        """Run the model on a tile: (3, h, w) → (scale·h, scale·w, 3), both in 0–1."""
        output = check_finite(self._model(tile[None].to(self._device)).reconstruction[0])
        array = output.clamp(0, 1).permute(1, 2, 0).float().cpu().numpy()
        return np.asarray(array, dtype=np.float32)


def _scaled(span: slice, scale: int) -> slice:
    return slice(span.start * scale, span.stop * scale)
