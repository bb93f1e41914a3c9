"""Control maps for training: those of drawings, made by the product's own functions.

The kind is no input of the ControlNet, because the maps look different enough.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from inference.control.control_maps import CONTROLS, Scene
from tools.portraits import PortraitSpec, draw, redress, sample_spec, solo
from tools.portraits.figure import keypoints_of
from tools.training.depth import nearness_of

KINDS = ("canny", "lineart", "hed", "mlsd", "depth", "tile", "segroom", "qr", "composition")
SHARES = (0.1, 0.1, 0.1, 0.08, 0.08, 0.08, 0.18, 0.08, 0.2)


def map_of(kind: str, spec: PortraitSpec, size: tuple[int, int]) -> np.ndarray:
    """The product's control map of this kind for a flat drawing: (h, w, 3) uint8.

    For the composition it is another scene with the same person in other clothes, so that only
    positions can be learned from it.
    """
    if kind == "composition":
        spec = redress(spec, spec.scene_seed)
    drawn = draw(spec, size, with_masks=kind == "depth")
    scene = Scene(
        picture=drawn.image,
        keypoints=lambda: keypoints_of(spec, size),
        nearness=lambda: nearness_of(drawn),
        classes=lambda: drawn.things,
    )
    return CONTROLS[kind](scene)


def maps_of(seeds: Sequence[int], kinds: Sequence[str], size: tuple[int, int]) -> Tensor:
    """Control maps of the flat drawings of `seeds`, (n, 3, height, width) in 0-1."""
    drawn = [
        map_of(kind, solo(sample_spec(int(seed))), size)
        for seed, kind in zip(seeds, kinds, strict=True)
    ]
    return torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2).float() / 255


def kinds_of(count: int, skeletons: float, rng: np.random.Generator) -> list[str]:
    """Kinds of maps at random, of which a share are skeletons."""
    return [
        "pose" if rng.random() < skeletons else str(rng.choice(KINDS, p=SHARES))
        for _ in range(count)
    ]
