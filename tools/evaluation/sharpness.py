"""How sharp pictures are beside the drawings that they stand for."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Sharpness:
    """Gradients and Laplacian of a picture in 8-bit levels: mean absolute values, mean squares.

    Blur leaves the absolute gradient of a lone edge as it is, and makes its square smaller.
    """

    gradient: float
    laplacian: float
    energy: float

    def share_of(self, other: Sharpness) -> Sharpness:
        """All as shares of another picture's."""
        return Sharpness(
            gradient=self.gradient / max(other.gradient, 1e-6),
            laplacian=self.laplacian / max(other.laplacian, 1e-6),
            energy=self.energy / max(other.energy, 1e-6),
        )


def sharpness_of(picture: Pixels, where: NDArray[np.bool_] | None = None) -> Sharpness:
    """Measure a picture (h, w, 3), all channels; `where` (h, w) leaves out the other pixels."""
    values = picture.astype(np.float32)
    down = np.diff(values, axis=0, append=values[-1:])
    right = np.diff(values, axis=1, append=values[:, -1:])
    bent = np.abs(cv2.Laplacian(values, cv2.CV_32F))
    chosen = np.ones(picture.shape[:2], bool) if where is None else where
    return Sharpness(
        gradient=float((np.abs(down) + np.abs(right))[chosen].mean()),
        laplacian=float(bent[chosen].mean()),
        energy=float((down**2 + right**2)[chosen].mean()),
    )
