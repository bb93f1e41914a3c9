"""Overlapping tiles: where they lie, and how much each says where several meet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """How a long side is cut into tiles; lengths are in any one unit.

    Attributes:
        tile: length of a tile.
        overlap: how far neighbours reach into each other.
        margin: at a tile's inner ends, how much of it says nothing, because a model could not
            see beyond.
    """

    tile: int
    overlap: int
    margin: int

    def spans(self, length: int) -> list[slice]:
        """Tiles along one side; one that covers it all where it is no longer than a tile."""
        if length <= self.tile:
            return [slice(0, length)]
        starts = list(range(0, length - self.tile, self.tile - self.overlap))
        return [slice(one, one + self.tile) for one in [*starts, length - self.tile]]

    def ramp(self, span: slice, length: int, scale: int = 1) -> npt.NDArray[np.float32]:
        """A tile's weight along one side: 1 inside, falling over the overlap towards other tiles.

        Args:
            span: the tile.
            length: of the whole side.
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
