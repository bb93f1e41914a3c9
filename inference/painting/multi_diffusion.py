"""Overlapping windows on large latents (MultiDiffusion, Bar-Tal et al., ICML 2023).

A large picture is denoised window by window at the size that the model was trained at; the outputs
are blended at every step, so that no seams appear between windows. Windows in which nothing is
painted are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from inference.picture.tiling import Tiling


@dataclass(frozen=True, kw_only=True)
class Window:
    """One window on the latents.

    Attributes:
        rows, columns: the part that it covers.
        weight: (h, w) weight of its output; the weights of all windows add up to 1 everywhere.
    """

    rows: slice
    columns: slice
    weight: torch.Tensor = field(repr=False)

    def cut(self, tensor: torch.Tensor, scale: int = 1) -> torch.Tensor:
        """The window's part of an (n, c, H, W) tensor, `scale` times as large as the latents."""
        rows, columns = (
            slice(scale * one.start, scale * one.stop) for one in (self.rows, self.columns)
        )
        return tensor[..., rows, columns]


def windows_of(
    latents: torch.Tensor, side: int | None, factor: int, painted: torch.Tensor | None = None
) -> tuple[Window, ...]:
    """Windows that cover what is painted of (n, c, h, w) latents, overlapping by a third.

    Args:
        latents: their device and dtype are those of the weights.
        side: side of a window in pixels of the picture; None for one window over everything.
        factor: pixels per latent.
        painted: (n, 1, h, w), above 0 where latents are painted; None for everywhere.
    """
    height, width = latents.shape[-2:]
    tile = max(height, width) if side is None else side // factor
    tiling = Tiling(tile=tile, overlap=tile // 3, margin=tile // 24)
    places = [(one, other) for one in tiling.spans(height) for other in tiling.spans(width)]
    if painted is not None and bool((painted > 0).any()):
        places = [place for place in places if bool((painted[..., *place] > 0).any())]
    ramps = [np.outer(tiling.ramp(one, height), tiling.ramp(other, width)) for one, other in places]
    total = np.zeros((height, width))
    for place, ramp in zip(places, ramps, strict=True):
        total[place] += ramp
    total[total == 0] = 1
    return tuple(
        Window(
            rows=place[0],
            columns=place[1],
            weight=torch.from_numpy(ramp / total[place]).to(latents),
        )
        for place, ramp in zip(places, ramps, strict=True)
    )


def weighted_sum(
    windows: Sequence[Window],
    latents: torch.Tensor,
    of: Callable[[int, torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """The outputs of all windows, blended; 0 where there is none.

    Args:
        windows: where.
        latents: (n, c, h, w).
        of: the output for a window, by its number and its part of the latents.
    """
    if len(windows) == 1 and windows[0].weight.shape == latents.shape[-2:]:
        return of(0, latents.contiguous())
    total = torch.zeros_like(latents)
    for k, window in enumerate(windows):
        output = of(k, window.cut(latents).contiguous())
        window.cut(total).add_(output * window.weight)
    return total


def covered(windows: Sequence[Window], latents: torch.Tensor) -> torch.Tensor:
    """(n, 1, h, w): 1 where a window has an output, else 0."""
    return weighted_sum(windows, torch.ones_like(latents[:, :1]), lambda _, part: part)
