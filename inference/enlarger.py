"""Enlarges finished pictures: Swin2SR (Conde et al. 2022, arXiv:2209.11345).

A large picture is enlarged in overlapping tiles, so that memory follows the tile and not the
picture; in the middle of an overlap, the weight moves linearly from one tile to the other.
"""

from __future__ import annotations

from collections.abc import Generator
from itertools import product
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import Swin2SRForImageSuperResolution
from transformers.models.swin2sr.image_processing_pil_swin2sr import Swin2SRImageProcessorPil

from inference.photo import Pixels

# In pixels of the input; all are multiples of the model's attention window of 8.
TILE = 128
OVERLAP = 32
MARGIN = 8


class Enlarger:
    """Swin2SR on one device. Not thread-safe.

    Attributes:
        scale: how many times wider and higher a picture becomes.
    """

    def __init__(
        self,
        model: Swin2SRForImageSuperResolution,
        processor: Swin2SRImageProcessorPil,
        device: torch.device,
    ) -> None:
        self._model = model.to(device).eval()
        self._processor = processor
        self._device = device
        self.scale: int = model.config.upscale

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> Enlarger:
        """Load model and processor from a local folder, in float32."""
        model = Swin2SRForImageSuperResolution.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, local_files_only=True
        )
        processor = Swin2SRImageProcessorPil.from_pretrained(folder, local_files_only=True)
        return cls(model, processor, device)

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
        places = list(product(_spans(height), _spans(width)))
        for count, (rows, columns) in enumerate(places, start=1):
            tile = self._run(pixels[:, rows, columns])
            share = _ramp(rows, height, self.scale)[:, None] * _ramp(columns, width, self.scale)
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
        output = self._model(tile[None].to(self._device)).reconstruction[0]
        array = output.clamp(0, 1).permute(1, 2, 0).float().cpu().numpy()
        return np.asarray(array, dtype=np.float32)


def _spans(length: int) -> list[slice]:
    """Tiles along one side, each starting where a window of the model does."""
    if length <= TILE:
        return [slice(0, length)]
    starts = list(range(0, length - TILE, TILE - OVERLAP))
    return [slice(start, start + TILE) for start in starts] + [slice(length - TILE, length)]


def _ramp(span: slice, length: int, scale: int) -> NDArray[np.float32]:
    """A tile's weight along one side: 1 inside, falling over the overlap towards other tiles.

    It is 0 on the outer `MARGIN`, where the model could not see beyond the tile.
    """
    size = span.stop - span.start
    place = (np.arange(size * scale, dtype=np.float32) + 0.5) / scale
    reach = OVERLAP - 2 * MARGIN
    rising = (place - MARGIN) / reach if span.start > 0 else np.ones_like(place)
    falling = (size - MARGIN - place) / reach if span.stop < length else np.ones_like(place)
    return np.clip(np.minimum(rising, falling), 0, 1)


def _scaled(span: slice, scale: int) -> slice:
    return slice(span.start * scale, span.stop * scale)
