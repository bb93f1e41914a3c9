"""Inpainting tasks for the painter's training: pairs of goal and upload, with a mask.

The kept pixels come from a *different* drawing of the same person, in another scene and other
clothes, with a margin of the old surroundings, so that the painter learns to follow the prompt and
not the margin.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from tools.portraits import (
    HELD_OUT_SEED,
    STYLES,
    Portrait,
    PortraitSpec,
    draw,
    redress,
    sample_spec,
    solo,
)

KINDS = ("keep skin", "keep head", "keep person", "change clothes", "all", "random")
_SHARES = (0.36, 0.26, 0.13, 0.11, 0.08, 0.06)
_SAME_HAND = 0.7  # probability that the upload is drawn in the painted style
_MAX_MARGIN = 0.05  # of the short side


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """An inpainting task: goal, upload whose unmasked pixels are visible, mask (1 = repaint)."""

    goal: Portrait
    upload: NDArray[np.uint8]
    mask: NDArray[np.uint8]


def _grow(mask: NDArray[np.bool_], pixels: float) -> NDArray[np.bool_]:
    """Widen (or, negative, narrow) a mask by a distance in pixels."""
    if not mask.any():
        return mask
    outside = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 3)
    inside = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3)
    return np.asarray(inside - outside > -pixels)


def _other(spec: PortraitSpec, kind: str, rng: np.random.Generator) -> PortraitSpec:
    """The drawing the kept pixels come from."""
    if rng.random() >= _SAME_HAND:
        spec = replace(spec, style=str(rng.choice(STYLES)))
    if kind in ("all", "random") or rng.random() < 0.2:
        return spec
    other = redress(
        spec,
        int(rng.integers(HELD_OUT_SEED)),
        scene=kind != "change clothes",
        clothes=kind != "keep person",
    )
    if kind == "keep skin" and rng.random() < 0.7:  # bare arms must stay bare
        other = replace(other, clothes=spec.clothes)
    return other


def random_shapes(size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.bool_]:
    """A mask of one to three ellipses and rectangles."""
    width, height = size
    blobs = np.zeros((height, width), np.uint8)
    for _ in range(rng.integers(1, 4)):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        axes = (
            int(rng.integers(width // 10, width // 3)),
            int(rng.integers(height // 10, height // 3)),
        )
        if rng.random() < 0.5:
            cv2.ellipse(blobs, centre, axes, float(rng.uniform(0, 180)), 0, 360, (1,), -1)
        else:
            corner = (centre[0] + axes[0], centre[1] + axes[1])
            cv2.rectangle(blobs, centre, corner, (1,), -1)
    return blobs.astype(bool)


def _mask(
    kind: str, goal: Portrait, upload: Portrait, rng: np.random.Generator
) -> NDArray[np.bool_]:
    height, width = goal.image.shape[:2]
    margin = min(width, height) * (rng.uniform(0, _MAX_MARGIN) if rng.random() < 0.85 else -0.008)
    kept = upload.masks
    if kind == "keep skin":
        return ~_grow(kept["person"] & ~kept["clothes"], margin)
    if kind == "keep head":
        return ~_grow(kept["head"], margin)
    if kind == "keep person":
        return ~_grow(kept["person"], margin)
    if kind == "change clothes":
        return _grow(kept["clothes"] | goal.masks["clothes"], margin * 0.6)
    if kind == "random":
        return random_shapes((width, height), rng)
    return np.ones((height, width), dtype=bool)


def sample_mask(drawn: Portrait, rng: np.random.Generator) -> NDArray[np.bool_]:
    """A mask for repainting a drawing within itself: random shapes, or along its person."""
    kinds = ("random", "keep skin", "keep head", "keep person", "change clothes")
    kind = str(rng.choice(kinds, p=(0.5, 0.15, 0.1, 0.15, 0.1)))
    return _mask(kind, drawn, drawn, rng)


def sample_scenarios(
    seed: int, size: tuple[int, int], count: int, style: str = "flat"
) -> list[Scenario]:
    """`count` scenarios whose goal is the main person of one seed, drawn in `style`."""
    rng = np.random.default_rng((seed, 1))
    spec = solo(sample_spec(seed), style)
    goal = draw(spec, size)
    scenarios = []
    for _ in range(count):
        kind = str(rng.choice(KINDS, p=_SHARES))
        other = _other(spec, kind, rng)
        upload = goal if other == spec else draw(other, size)
        mask = _mask(kind, goal, upload, rng).astype(np.uint8)
        scenarios.append(Scenario(goal=goal, upload=upload.image, mask=mask))
    return scenarios
