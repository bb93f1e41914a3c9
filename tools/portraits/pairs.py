"""Drawn pairs: two people side by side on one ground, apart or touching, each with own masks."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tools.portraits.canvas import Canvas
from tools.portraits.draw import draw_people
from tools.portraits.figure import COMPANION, WORDS
from tools.portraits.scenes import draw_scene
from tools.portraits.spec import PortraitSpec, sample_spec, solo
from tools.portraits.styles import brush_of

# Places of the two heads as shares of the width, apart and touching.
APART, TOUCHING = (0.24, 0.76), (0.33, 0.67)
# Sizes of a head, as a share of the short side, apart and touching.
SMALLER, LARGER = (0.19, 0.25), (0.24, 0.32)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A drawing of two people, the left one first.

    Attributes:
        image: (h, w, 3) uint8 RGB.
        masks: for each person, a bool (h, w) of each of `WORDS`.
        touching: whether the two touch, or one hides some of the other.
    """

    image: NDArray[np.uint8]
    masks: tuple[dict[str, NDArray[np.bool_]], dict[str, NDArray[np.bool_]]]
    touching: bool


def draw_pair(seed: int, size: tuple[int, int], close: bool) -> Pair:
    """Draw two people of a seed in a picture of `size` = (width, height)."""
    rng = np.random.default_rng(seed)
    first, second = (solo(sample_spec(seed + k), style) for k, style in enumerate(_styles(rng)))
    places, sizes = (TOUCHING, LARGER) if close else (APART, SMALLER)
    people = [_placed(one, rng, at, sizes) for one, at in zip((first, second), places, strict=True)]
    left_in_front = bool(rng.random() < 0.5)
    canvas = Canvas(size, brush_of(first.style))
    draw_scene(canvas, first.scene, first.scene_seed)
    draw_people(canvas, people if left_in_front else people[::-1])
    offsets = (0, COMPANION) if left_in_front else (COMPANION, 0)
    left, right = (
        {word: canvas.mask([part + offset for part in parts]) for word, parts in WORDS.items()}
        for offset in offsets
    )
    grown = np.pad(left["person"], 2)
    shifted = [np.roll(grown, (dy, dx), (0, 1)) for dy in (-2, 0, 2) for dx in (-2, 0, 2)]
    near = np.any(shifted, axis=0)[2:-2, 2:-2]
    return Pair(image=canvas.image(), masks=(left, right),
                touching=bool((near & right["person"]).any()))  # fmt: skip


def _styles(rng: np.random.Generator) -> tuple[str, str]:
    style = str(rng.choice(("flat", "ink", "soft")))
    return style, style


def _placed(
    spec: PortraitSpec, rng: np.random.Generator, x: float, sizes: tuple[float, float]
) -> PortraitSpec:
    return replace(
        spec,
        head_x=x + rng.uniform(-0.03, 0.03),
        head_y=rng.uniform(0.26, 0.44),
        head_size=rng.uniform(*sizes),
    )
