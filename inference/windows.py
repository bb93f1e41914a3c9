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
        weight: (h, w) share of its output in the sum of all; those of a place add up to 1.
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


def windows_of(latents: torch.Tensor, side: int | None, factor: int) -> tuple[Window, ...]:
    """Overlapping windows that cover (n, c, h, w) latents; their weights are where those are.

    Args:
        side: of a window in pixels of the picture; None for one window over everything.
        factor: pixels per latent.
    """
    height, width = latents.shape[-2:]
    tile = max(height, width) if side is None else side // factor
    tiling = Tiling(tile=tile, overlap=tile // 3, margin=tile // 24)
    places = [(one, other) for one in tiling.spans(height) for other in tiling.spans(width)]
    ramps = [np.outer(tiling.ramp(one, height), tiling.ramp(other, width)) for one, other in places]
    total = np.zeros((height, width))
    for place, ramp in zip(places, ramps, strict=True):
        total[place] += ramp
    return tuple(
        Window(
            rows=place[0],
            columns=place[1],
            weight=torch.from_numpy(ramp / total[place]).to(latents),
        )
        for place, ramp in zip(places, ramps, strict=True)
    )
