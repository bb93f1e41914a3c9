"""Random changes of part maps: outlines, arms, loose hair, hoods and the peaks of caps."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.people.parts import Part
from tools.training.textures import noise

Floats = NDArray[np.float32]
Labels = NDArray[np.uint8]

# Part that grows, parts that it grows over, chance.
_GROWTHS = (
    (Part.HAIR, (Part.BACKGROUND, Part.CLOTHES, Part.SKIN, Part.EAR), 0.45),
    (Part.CLOTHES, (Part.BACKGROUND, Part.SKIN), 0.35),
    (Part.SKIN, (Part.CLOTHES,), 0.2),
    (Part.HAT, (Part.BACKGROUND, Part.HAIR), 0.35),
    (Part.FACE, (Part.HAIR,), 0.3),
    (Part.BACKGROUND, (Part.HAIR, Part.CLOTHES), 0.2),
)
LOCKS, HOOD, PEAK, LIMB = 0.25, 0.05, 0.5, 0.15


def face_coordinates(eyes: Floats, scale: float, size: tuple[int, int]) -> tuple[Floats, Floats]:
    """Each pixel's place across and down the face, from between the eyes, in face widths.

    `eyes` is (2, 2) in pixels, `scale` the face's width in pixels, `size` (width, height).
    """
    left, right = eyes[np.argsort(eyes[:, 0])]
    x = np.arange(size[0], dtype=np.float32)[None] - (left[0] + right[0]) / 2
    y = np.arange(size[1], dtype=np.float32)[:, None] - (left[1] + right[1]) / 2
    angle = np.arctan2(right[1] - left[1], right[0] - left[0])
    cos, sin = np.float32(np.cos(angle) / scale), np.float32(np.sin(angle) / scale)
    return cos * x + sin * y, cos * y - sin * x


def changed_parts(
    labels: Labels, scale: float, eyes: Floats | None, rng: np.random.Generator
) -> Labels:
    """A part map (h, w) with random changes; `eyes` as for `face_coordinates`, None without."""
    labels = labels.copy()
    for part, over, chance in _GROWTHS:
        if rng.random() < chance:
            _grow(labels, part, over, scale, rng)
    if eyes is not None:
        across, down = face_coordinates(eyes, scale, (labels.shape[1], labels.shape[0]))
        wave = 0.05 * noise(rng, (labels.shape[1], labels.shape[0]), rng.uniform(6, 30))
        across = across + wave
        if rng.random() < LOCKS and (labels == Part.HAIR).any():
            _let_hair_fall(labels, across, down, rng)
        if rng.random() < HOOD:
            _pull_hood(labels, across, down, rng)
        if rng.random() < PEAK:
            _pull_peak(labels, across, down, rng)
    if rng.random() < LIMB:
        part = Part.SKIN if rng.random() < 0.7 else Part.BACKGROUND
        _lay_limb(labels, part, scale, rng)
    return labels


def _grow(
    labels: Labels, part: Part, over: tuple[Part, ...], scale: float, rng: np.random.Generator
) -> None:
    """Let a part grow irregularly over others."""
    size = labels.shape[1], labels.shape[0]
    reach = scale * rng.uniform(0.05, 0.35)
    soft = cv2.GaussianBlur((labels == part).astype(np.float32), (0, 0), max(0.5, reach))
    soft = soft + rng.uniform(0, 0.12) * noise(rng, size, rng.uniform(4, 40))
    labels[(soft > rng.uniform(0.2, 0.5)) & np.isin(labels, over)] = part


def _let_hair_fall(labels: Labels, across: Floats, down: Floats, rng: np.random.Generator) -> None:
    """Hair beside the face, down over neck, shoulders and clothes, on one side or both."""
    over = np.isin(labels, (Part.BACKGROUND, Part.CLOTHES, Part.SKIN, Part.EAR))
    for side in (-1, 1):
        if rng.random() < 0.25:
            continue
        length, wide = rng.uniform(0.7, 2.6), rng.uniform(0.12, 0.4)
        middle = rng.uniform(0.5, 0.65) + down * rng.uniform(-0.1, 0.2)
        inside = np.abs(side * across - middle) < wide * (1 - 0.5 * np.clip(down / length, 0, 1))
        labels[over & inside & (down > -0.2) & (down < length)] = Part.HAIR


def _pull_hood(labels: Labels, across: Floats, down: Floats, rng: np.random.Generator) -> None:
    """Cloth round the head, with the face and some hair in its opening."""
    inner, outer = rng.uniform(0.5, 0.8), rng.uniform(0.85, 1.2)
    radius = np.hypot(across, (down - 0.15) * rng.uniform(0.6, 0.85))
    over = np.isin(labels, (Part.BACKGROUND, Part.HAIR, Part.HAT, Part.EAR, Part.SKIN))
    labels[over & (radius > inner) & (radius < outer) & (down < 1.4)] = Part.CLOTHES


def _pull_peak(labels: Labels, across: Floats, down: Floats, rng: np.random.Generator) -> None:
    """The peak or the brim of a hat over the forehead, as it is seen from the front."""
    low = rng.uniform(-0.45, -0.08) + rng.uniform(-0.5, 0.4) * across**2
    hat = labels == Part.HAT
    if not hat.any():
        return
    over = np.isin(labels, (Part.FACE, Part.HAIR)) & (down < low) & (np.abs(across) < 0.65)
    _, pieces = cv2.connectedComponents((over | hat).astype(np.uint8))
    labels[over & np.isin(pieces, np.unique(pieces[hat]))] = Part.HAT


def _lay_limb(labels: Labels, part: Part, scale: float, rng: np.random.Generator) -> None:
    """An arm with a hand, or a thing held, from the edge into the figure."""
    side = np.array(labels.shape[::-1])
    end = rng.uniform(0.2, 0.8, 2) * side
    start = np.array([rng.uniform(0, 1) * side[0], side[1] + 10.0])
    middle = (start + end) / 2 + rng.normal(0, 0.2, 2) * side
    points = np.rint(np.stack([start, middle, end])).astype(np.int32)
    thick = max(2, round(scale * rng.uniform(0.25, 0.5)))
    cv2.polylines(labels, [points], False, (int(part),), thick)
    tip = int(points[2, 0]), int(points[2, 1])
    cv2.circle(labels, tip, max(2, round(0.6 * thick)), (int(part),), -1)
