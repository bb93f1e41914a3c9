"""Tells pictures like those that a small CLIPSeg was trained on from others, by its activations.

Mahalanobis distance of the last read layer's mean and deviation over the picture to those of
training pictures (Lee et al., "A Simple Unified Framework for Detecting Out-of-Distribution
Samples", NeurIPS 2018). It needs none of the other pictures: for a model trained on drawings, a
photograph is what is far away.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

FILE = "familiarity.safetensors"

Floats = NDArray[np.float32]


def description(layers: tuple[torch.Tensor, ...]) -> Floats:
    """Mean and deviation over the picture of the last layer, (1, tokens, width): (2 · width,)."""
    tokens = layers[-1][0, 1:].float()
    return np.asarray(torch.cat([tokens.mean(0), tokens.std(0)]).cpu().numpy(), np.float32)


@dataclass(frozen=True, kw_only=True)
class Familiarity:
    """The distribution of `description` over training pictures.

    Attributes:
        mean: (n,).
        whitening: (n, n), which makes the covariance the identity.
        limit: distance up to which a picture is like them.
    """

    mean: Floats = field(repr=False)
    whitening: Floats = field(repr=False)
    limit: float

    @classmethod
    def load(cls, folder: Path) -> Familiarity | None:
        """Read it from a model's folder; None for models that have none."""
        path = folder / FILE
        if not path.is_file():
            return None
        values = {name: one.astype(np.float32) for name, one in load_file(path).items()}
        return cls(
            mean=values["mean"], whitening=values["whitening"], limit=float(values["limit"][0])
        )

    def save(self, folder: Path) -> None:
        """Write it to a model's folder."""
        values: dict[str, NDArray[Any]] = {
            "mean": self.mean,
            "whitening": self.whitening.astype(np.float16),
            "limit": np.array([self.limit], np.float32),
        }
        save_file(values, folder / FILE)

    def distance(self, layers: tuple[torch.Tensor, ...]) -> float:
        """Distance of a picture's activations to the training pictures'."""
        return float(np.linalg.norm(self.whitening @ (description(layers) - self.mean)))

    def knows(self, layers: tuple[torch.Tensor, ...]) -> bool:
        """Whether a picture is like those that the model was trained on."""
        return self.distance(layers) <= self.limit
