"""Tells pictures like those that a small CLIPSeg was trained on from others.

Two figures, neither of which needs the other pictures: for a model trained on drawings, a
photograph is what is far away. The Mahalanobis distance of the last read layer's mean and deviation
over the picture to those of training pictures (Lee et al., "A Simple Unified Framework for
Detecting Out-of-Distribution Samples", NeurIPS 2018), and the grain of smooth areas, which cameras
and surfaces leave where nothing is drawn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from inference.picture.geometry import fit_within
from inference.picture.photo import Pixels

FILE = "familiarity.safetensors"

# Longer side, in pixels, at which grain is measured; gradient, in 8-bit levels a pixel, of an edge;
# window round an edge that is left out; least share of the picture that has to remain.
GRAIN_SIDE, EDGE, WINDOW, LEAST_SMOOTH = 640, 8.0, 9, 0.01

Floats = NDArray[np.float32]


def description(layers: tuple[torch.Tensor, ...]) -> Floats:
    """Mean and deviation over the picture of the last layer, (1, tokens, width): (2 · width,)."""
    tokens = layers[-1][0, 1:].float()
    return np.asarray(torch.cat([tokens.mean(0), tokens.std(0)]).cpu().numpy(), np.float32)


def grain(picture: Pixels) -> float:
    """Mean absolute Laplacian of the luminance away from edges, in 8-bit levels.

    0 where a picture, (H, W, 3) uint8 RGB, has hardly any smooth area.
    """
    size = fit_within((picture.shape[1], picture.shape[0]), GRAIN_SIDE)
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    luminance = cv2.cvtColor(small.astype(np.float32), cv2.COLOR_RGB2GRAY)
    across, down = (cv2.Sobel(luminance, cv2.CV_32F, dx, 1 - dx, scale=1 / 8) for dx in (1, 0))
    edges = (np.hypot(across, down) > EDGE).astype(np.uint8)
    smooth = cv2.dilate(edges, np.ones((WINDOW, WINDOW), np.uint8)) == 0
    if smooth.mean() < LEAST_SMOOTH:
        return 0.0
    return float(np.abs(cv2.Laplacian(luminance, cv2.CV_32F))[smooth].mean())


@dataclass(frozen=True, kw_only=True)
class Familiarity:
    """The distribution of `description` over training pictures.

    Attributes:
        mean: (n,).
        whitening: (n, n), which makes the covariance the identity.
        limit: distance up to which a picture is like them.
        grain_limit: `grain` up to which it is.
    """

    mean: Floats = field(repr=False)
    whitening: Floats = field(repr=False)
    limit: float
    grain_limit: float = math.inf

    @classmethod
    def load(cls, folder: Path) -> Familiarity | None:
        """Read it from a model's folder; None for models that have none."""
        path = folder / FILE
        if not path.is_file():
            return None
        values = {name: one.astype(np.float32) for name, one in load_file(path).items()}
        limit, grain_limit = (float(one) for one in values["limits"])
        return cls(
            mean=values["mean"], whitening=values["whitening"], limit=limit, grain_limit=grain_limit
        )

    def save(self, folder: Path) -> None:
        """Write it to a model's folder."""
        values: dict[str, NDArray[Any]] = {
            "mean": self.mean,
            "whitening": self.whitening.astype(np.float16),
            "limits": np.array([self.limit, self.grain_limit], np.float32),
        }
        save_file(values, folder / FILE)

    def distance(self, layers: tuple[torch.Tensor, ...]) -> float:
        """Distance of a picture's activations to the training pictures'."""
        return float(np.linalg.norm(self.whitening @ (description(layers) - self.mean)))

    def knows(self, layers: tuple[torch.Tensor, ...], grain: float) -> bool:
        """Whether a picture with these activations and grain is like the training pictures."""
        return grain <= self.grain_limit and self.distance(layers) <= self.limit
