"""Removes islands from part maps: pieces too small to be what they are said to be."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import cv2
import numpy as np

from inference.people.parts import Part
from inference.people.turned_square import Floats

# Least area of a piece, as a share of the largest head's.
LEAST: Mapping[Part, float] = MappingProxyType(
    {
        Part.FACE: 0.1,
        Part.EAR: 0.003,
        Part.SKIN: 0.03,
        Part.HAIR: 0.02,
        Part.HAT: 0.06,
        Part.GLASSES: 0.02,
        Part.CLOTHES: 0.03,
    }
)
HEAD = (Part.FACE, Part.EAR, Part.HAIR, Part.HAT, Part.GLASSES)
# What remains of an island's probability.
REMAINS = 0.05


def without_islands(parts: Floats) -> Floats:
    """Probabilities (parts, h, w) of sum 1, where small pieces of a part become their second best.

    A piece is a connected set of pixels whose most likely part is the same.
    """
    labels = parts.argmax(axis=0)
    head = _largest(np.isin(labels, HEAD))
    if not head:
        return parts
    cleaned = parts.copy()
    for part, share in LEAST.items():
        _, pieces, stats, _ = cv2.connectedComponentsWithStats((labels == part).astype(np.uint8))
        small = stats[:, cv2.CC_STAT_AREA] < share * head
        small[0] = False
        cleaned[part][small[pieces]] *= REMAINS
    return np.asarray(cleaned / cleaned.sum(axis=0), np.float32)


def _largest(mask: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> int:
    """Pixels of the largest connected part of a mask."""
    stats = cv2.connectedComponentsWithStats(mask.astype(np.uint8))[2]
    return int(stats[1:, cv2.CC_STAT_AREA].max()) if len(stats) > 1 else 0
