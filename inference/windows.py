"""Windows on large latents, through which a model sees no more than it was trained on."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from inference.tiles import Tiling


@dataclass(frozen=True, kw_only=True)
class Window:
    """A part of the latents.

    Attributes:
        rows, columns: which part.
        weight: (h, w) float32, how much its output counts where windows overlap.
    """

    rows: slice
    columns: slice
    weight: torch.Tensor = field(repr=False)

    def cut(self, tensor: torch.Tensor, scale: int = 1) -> torch.Tensor:
        """The part of an (n, c, H, W) tensor that is `scale` times as large as the latents."""
        rows, columns = (
            slice(scale * one.start, scale * one.stop) for one in (self.rows, self.columns)
        )
        return tensor[..., rows, columns]


def windows_of(latents: torch.Tensor, side: int | None, factor: int) -> list[Window]:
    """Overlapping windows that cover (n, c, h, w) latents.

    Args:
        side: of a window in pixels of the picture; None for one window over everything.
        factor: pixels per latent.
    """
    height, width = latents.shape[-2:]
    tile = max(height, width) if side is None else side // factor
    tiling = Tiling(tile=tile, overlap=tile // 3, margin=tile // 24)
    return [
        Window(
            rows=rows,
            columns=columns,
            weight=torch.from_numpy(
                np.outer(tiling.ramp(rows, height), tiling.ramp(columns, width)).astype(np.float32)
            ),
        )
        for rows in tiling.spans(height)
        for columns in tiling.spans(width)
    ]
