"""Wider scenes, for training the painter to paint the rest of a canvas around a finished picture.

The upload is the drawing itself, of which a box is kept that holds the head, as an outpainted
picture does: nobody else is to be painted beyond it, and arms go on.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tools.portraits import draw, sample_spec, solo

LEAST = 0.35  # of a side that the box takes
WHOLE_SIDE = 0.7  # probability that the box takes the canvas's whole shorter side
Pixels = NDArray[np.uint8]


def sample_wider(
    seed: int, size: tuple[int, int], count: int
) -> tuple[Pixels, list[tuple[Pixels, Pixels]]]:
    """The drawing of a seed's main person, and `count` times itself with a mask (1 = paint)."""
    rng = np.random.default_rng((seed, 3))
    goal = draw(solo(sample_spec(seed)), size)
    return goal.image, [(goal.image, beyond_box(goal.masks["head"], rng)) for _ in range(count)]


def beyond_box(head: NDArray[np.bool_], rng: np.random.Generator) -> Pixels:
    """(h, w) uint8: 0 in a box at random that holds a head, else 1; never 0 everywhere."""
    height, width = head.shape
    mask = np.ones((height, width), np.uint8)
    whole = rng.random() < WHOLE_SIDE
    spans = [
        _span(head.any(axis=1 - axis), whole and length < max(head.shape), rng)
        for axis, length in enumerate((height, width))
    ]
    mask[tuple(spans)] = 0
    return mask


def _span(head: NDArray[np.bool_], whole: bool, rng: np.random.Generator) -> slice:
    """A part of a side that holds the head's, where it can."""
    length = len(head)
    if whole:
        return slice(0, length)
    places = np.flatnonzero(head)
    first, last = (int(places[0]), int(places[-1]) + 1) if places.size else (0, 1)
    part = min(length - 8, max(last - first, round(length * rng.uniform(LEAST, 0.95))))
    start = int(rng.integers(max(0, last - part), min(first, length - part) + 1))
    return slice(start, start + part)
