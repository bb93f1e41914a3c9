"""Overlapping tiles along a side, and their blending weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """A way to cut a side into overlapping tiles; all lengths are in one unit.

    Attributes:
        tile: length of a tile.
        overlap: overlap of neighbours.
        margin: length at a tile's inner ends that has weight 0, because a model lacks context
            there.
    """

    tile: int
    overlap: int
    margin: int

    def spans(self, length: int) -> list[slice]:
        """The tiles along a side; a single one where the side is no longer than a tile."""
        if length <= self.tile:
            return [slice(0, length)]
        starts = list(range(0, length - self.tile, self.tile - self.overlap))
        return [slice(one, one + self.tile) for one in [*starts, length - self.tile]]

    def ramp(self, span: slice, length: int, scale: int = 1) -> npt.NDArray[np.float32]:
        """A tile's weight along one side: 1 inside, falling linearly over the overlaps.

        Args:
            span: the tile.
            length: length of the whole side.
            scale: samples per unit of length.

        Returns:
            (scale·tile,) in 0–1.
        """
        size = span.stop - span.start
        place = (np.arange(size * scale, dtype=np.float32) + 0.5) / scale
        reach = self.overlap - 2 * self.margin
        rising = (place - self.margin) / reach if span.start > 0 else np.ones_like(place)
        falling = (
            (size - self.margin - place) / reach if span.stop < length else np.ones_like(place)
        )
        return np.clip(np.minimum(rising, falling), 0, 1)
