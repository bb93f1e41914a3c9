"""What a painter is given and what it gives back; no tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from inference.photo import Pixels


@dataclass(frozen=True, kw_only=True)
class Guide:
    """A control map and how strongly it guides, from `start` to `end` of the denoising (0–1).

    For an IP-Adapter the map is the picture to show it, of any size.
    """

    control: str
    map: Pixels = field(repr=False)
    scale: float = 1.0
    start: float = 0.0
    end: float = 1.0

    def guides(self, index: int, total: int) -> bool:
        """Whether step `index` of `total` lies in its window."""
        return index / total >= self.start and (index + 1) / total <= self.end


@dataclass(frozen=True, kw_only=True)
class Patch:
    """What is painted: a part of the photo at generation size.

    Attributes:
        picture: (H, W, 3) uint8; both sides are multiples of 8.
        repaint: (H, W) bool, true where the painter may paint.
        guides: the control maps; those for ControlNets are of the picture's size.
        window: side in pixels of the square windows through which a larger picture is painted;
            None paints it in one piece.
    """

    picture: Pixels = field(repr=False)
    repaint: npt.NDArray[np.bool_] = field(repr=False)
    guides: tuple[Guide, ...] = ()
    window: int | None = None


@dataclass(frozen=True, kw_only=True)
class PaintStep:
    """One denoising step is done; `preview()` shows where the first picture stands."""

    step: int
    steps: int
    preview: Callable[[], Pixels] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Painted:
    """The end: one (H, W, 3) uint8 picture per seed."""

    pictures: tuple[Pixels, ...] = field(repr=False)
