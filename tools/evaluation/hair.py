"""Drawn hair with exact alpha, to measure matting: a head with single strands over a ground."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]

GROUNDS = ("smooth", "busy", "low contrast", "dark on dark")
STRANDS, STEPS = 800, 12
# Strands are drawn this many times larger and shrunk.
OVERSAMPLING = 8
# Standard deviation of the sensor noise, in levels.
NOISE = 1.5


@dataclass(frozen=True, kw_only=True)
class Composite:
    """A picture with known alpha.

    Attributes:
        picture: (H, W, 3) uint8.
        kept: (H, W) float32 in 0–1, the share of each pixel that shows head and hair.
        colours: (H, W, 3) float32 in 0–255, the colours of head and hair alone.
        solid: (H, W) float32 in 0–1, the head without strands, as a detector would find it.
    """

    picture: Pixels
    kept: Floats
    colours: Floats
    solid: Floats


def draw(side: int, ground: str, seed: int) -> Composite:
    """Draw a head with strands over one of `GROUNDS`, in a square of `side` pixels."""
    rng = np.random.default_rng(seed)
    hair = _hair_colour(ground, rng)
    solid = _head(side)
    grain = cv2.GaussianBlur(rng.normal(0, 1, (side, side)).astype(np.float32), (0, 0), side / 900)
    rough = 14.0 if ground == "dark on dark" else 40.0
    colours = np.clip(hair + rough * grain[..., None], 0, 255).astype(np.float32)
    kept = solid.copy()
    for _ in range(STRANDS):
        _add_strand(kept, colours, hair, rng)
    behind = _ground(ground, side, hair, rng) + rng.normal(0, NOISE, (side, side, 1))
    share = kept[..., None]
    mixed = colours * share + np.clip(behind, 0, 255) * (1 - share)
    picture = np.rint(mixed).astype(np.uint8)
    return Composite(picture=picture, kept=kept, colours=colours, solid=solid)


def _hair_colour(ground: str, rng: np.random.Generator) -> Floats:
    if ground == "dark on dark":
        return np.array([28, 22, 18], np.float32)
    return rng.uniform((20, 15, 10), (200, 160, 110)).astype(np.float32)


def _head(side: int) -> Floats:
    """An ellipse on a neck as wide as itself."""
    mask = np.zeros((side, side), np.uint8)
    middle, axes = (side / 2, side * 0.62), (side * 0.24, side * 0.32)
    points = cv2.ellipse2Poly((0, 0), (2000, 2000), 0, 180, 360, 1) / 2000
    arch = np.concatenate([[(-1, side)], points, [(1, side)]]) * axes + middle
    cv2.fillPoly(mask, [np.rint(arch * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return mask.astype(np.float32) / 255


def _add_strand(kept: Floats, colours: Floats, hair: Floats, rng: np.random.Generator) -> None:
    """Lay one bent strand from the head's upper edge over what is there."""
    side = len(kept)
    turn = rng.uniform(np.pi, 2 * np.pi)
    outward = np.array([np.cos(turn), np.sin(turn)])
    at = np.array([0.5, 0.62]) * side + outward * (0.233 * side, 0.31 * side)
    turns = turn + np.cumsum(np.linspace(0, rng.normal(0, 0.5), STEPS)) / STEPS * 2
    step = side * rng.uniform(0.015, 0.045) / STEPS
    path = at + np.concatenate(
        [[(0, 0)], np.cumsum(np.stack([np.cos(turns), np.sin(turns)], axis=1), axis=0) * step]
    )
    low = np.maximum(np.floor(path.min(axis=0)).astype(int) - 4, 0)
    high = np.minimum(np.ceil(path.max(axis=0)).astype(int) + 4, side)
    wide, tall = high - low
    layer = np.zeros((tall * OVERSAMPLING, wide * OVERSAMPLING), np.uint8)
    thick = max(1, int(side / 1024 * rng.uniform(0.5, 1.6) * OVERSAMPLING))
    cv2.polylines(layer, [((path - low) * OVERSAMPLING).astype(np.int32)], False, 255, thick)
    share = cv2.resize(layer, (wide, tall), interpolation=cv2.INTER_AREA) / np.float32(255)
    shade = np.clip(hair * np.float32(rng.uniform(0.8, 1.25)), 0, 255)
    place = np.s_[low[1] : high[1], low[0] : high[0]]
    below = kept[place] * (1 - share)
    total = share + below
    mixed = shade * share[..., None] + colours[place] * below[..., None]
    shown = mixed / np.maximum(total, 1e-6)[..., None]
    colours[place] = np.where(total[..., None] > 1e-6, shown, colours[place])
    kept[place] = total


def _ground(kind: str, side: int, hair: Floats, rng: np.random.Generator) -> Floats:
    """A ground of one of `GROUNDS`, (side, side, 3) in 0–255."""
    if kind == "smooth":
        down = np.linspace(0, 1, side, dtype=np.float32)[:, None, None]
        first, last = rng.uniform(60, 235, (2, 3)).astype(np.float32)
        return np.broadcast_to(first * (1 - down) + last * down, (side, side, 3))
    if kind == "low contrast":
        return 0.25 * _ground("smooth", side, hair, rng) + np.float32(0.8) * hair
    if kind == "dark on dark":
        return 0.15 * _ground("busy", side, hair, rng) + 8
    # Noise whose amplitude falls with the frequency, as in photographs.
    total = np.zeros((side, side, 3), np.float32)
    for octave in range(1, 7):
        cells = min(3 * 2**octave, side)
        noise = rng.uniform(0, 255, (cells, cells, 3)).astype(np.float32)
        total += cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC) / 2**octave
    total -= total.min()
    return total * 255 / total.max()
