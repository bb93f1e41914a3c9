"""Enlarges finished pictures: Swin2SR (Conde et al. 2022, arXiv:2209.11345).

A large picture is enlarged in overlapping tiles, so that memory follows the tile and not the
picture; in the middle of an overlap, the weight moves linearly from one tile to the other.
"""

from __future__ import annotations

from collections.abc import Generator
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import Swin2SRForImageSuperResolution
from transformers.models.swin2sr.image_processing_pil_swin2sr import Swin2SRImageProcessorPil

from inference.faults import sound
from inference.photo import Pixels
from inference.pretrained import Pretrained
from inference.tiles import Tiling

# In pixels of the input; all are multiples of the model's attention window of 8.
TILES = Tiling(tile=128, overlap=32, margin=8)


class Enlarger(Pretrained):
    """Swin2SR on one device. Not thread-safe."""

    MODEL = Swin2SRForImageSuperResolution
    PROCESSOR = Swin2SRImageProcessorPil

    @property
    def scale(self) -> int:
        """How many times wider and higher a picture becomes."""
        scale: int = self._model.config.upscale
        return scale

    def enlarge(self, picture: Pixels) -> Pixels:
        """The picture, `scale` times as large.

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
        """Enlarge tile by tile, as `enlarge` does; closing the generator stops the work.

        Yields:
            How many tiles are done, and how many there are.
        """
        pixels = self._processor(
            picture, input_data_format="channels_last", return_tensors="pt"
        ).pixel_values[0]
        height, width = pixels.shape[1:]  # widened to full windows
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
        """One tile through the model: (3, h, w) → (scale·h, scale·w, 3), both in 0–1."""
        output = sound(self._model(tile[None].to(self._device)).reconstruction[0])
        array = output.clamp(0, 1).permute(1, 2, 0).float().cpu().numpy()
        return np.asarray(array, dtype=np.float32)


def _scaled(span: slice, scale: int) -> slice:
    return slice(span.start * scale, span.stop * scale)
