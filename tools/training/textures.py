"""Random textures, colours and shading for pictures made from part maps.

Domain randomization (Tobin et al. 2017): appearance is drawn so widely that a photograph is one
more variation. A bank of ready textures makes a lesson cheap.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

BANK_SIDE = 512
_SKIN_TONES = np.array(
    [(250, 220, 200), (236, 190, 160), (216, 164, 130), (184, 130, 98), (142, 96, 70),
     (92, 60, 46)], np.float32,
)  # fmt: skip
_HAIR_TONES = np.array(
    [(22, 18, 18), (48, 34, 28), (84, 58, 42), (124, 88, 58), (188, 150, 100), (222, 196, 150),
     (140, 70, 40), (130, 128, 128), (206, 204, 202)], np.float32,
)  # fmt: skip


def colour(rng: np.random.Generator) -> Floats:
    """A random colour, RGB in 0-255; often dark, light or grey, as cloth and walls are."""
    kind = rng.random()
    if kind < 0.25:
        return np.float32(rng.uniform(8, 60)) + rng.normal(0, 8, 3).astype(np.float32)
    if kind < 0.4:
        return np.float32(rng.uniform(190, 250)) + rng.normal(0, 8, 3).astype(np.float32)
    saturation = rng.uniform(0, 0.35) if kind < 0.65 else rng.uniform(0.3, 1)
    rgb = colorsys.hsv_to_rgb(rng.random(), saturation, rng.uniform(0.15, 1))
    return np.asarray(rgb, np.float32) * 255


def skin_colour(rng: np.random.Generator) -> Floats:
    """A skin tone between two neighbours of a list, varied."""
    place = rng.uniform(0, len(_SKIN_TONES) - 1.001)
    low = _SKIN_TONES[int(place)]
    tone = low + (place % 1) * (_SKIN_TONES[int(place) + 1] - low)
    return np.asarray(tone * rng.uniform(0.8, 1.08) + rng.normal(0, 8, 3), np.float32)


def hair_colour(rng: np.random.Generator) -> Floats:
    """A hair tone, one in ten of any colour."""
    if rng.random() < 0.1:
        return colour(rng)
    tone = _HAIR_TONES[rng.integers(len(_HAIR_TONES))]
    return np.asarray(tone * rng.uniform(0.6, 1.25) + rng.normal(0, 6, 3), np.float32)


def noise(rng: np.random.Generator, size: tuple[int, int], cells: float) -> Floats:
    """Smooth noise of unit variance for `size` = (width, height), about `cells` bumps across."""
    width, height = size
    grid = max(2, round(cells)), max(2, round(cells * height / width))
    coarse = rng.normal(0, 1, grid[::-1]).astype(np.float32)
    return np.asarray(cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC), np.float32)


@dataclass(frozen=True, kw_only=True)
class TextureBank:
    """Ready textures (n, BANK_SIDE, BANK_SIDE) of zero mean and unit variance, by kind."""

    rough: Floats = field(repr=False)
    strands: Floats = field(repr=False)
    pattern: Floats = field(repr=False)

    @classmethod
    def make(cls, seed: int, each: int = 24) -> TextureBank:
        """Make a bank from a seed."""
        rng = np.random.default_rng(seed)
        return cls(
            rough=np.stack([_fractal(rng) for _ in range(each)]),
            strands=np.stack([_strands(rng) for _ in range(each)]),
            pattern=np.stack([_pattern(rng) for _ in range(each)]),
        )

    def crop(self, kind: str, size: tuple[int, int], rng: np.random.Generator) -> Floats:
        """A random part of a texture of a kind at a random scale, (height, width)."""
        bank: Floats = getattr(self, kind)
        texture = bank[rng.integers(len(bank))]
        width, height = size
        zoom = min(rng.uniform(0.5, 2.0), BANK_SIDE / max(size))
        wide, high = max(8, round(width * zoom)), max(8, round(height * zoom))
        x = rng.integers(BANK_SIDE - wide + 1)
        y = rng.integers(BANK_SIDE - high + 1)
        part = texture[y : y + high, x : x + wide]
        if rng.random() < 0.5:
            part = part[:, ::-1]
        return np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_LINEAR), np.float32)


def _unit(values: NDArray[np.floating]) -> Floats:
    return np.asarray((values - values.mean()) / max(1e-6, float(values.std())), np.float32)


def _fractal(rng: np.random.Generator) -> Floats:
    """Noise over several octaves, sometimes folded or cut to two levels."""
    total = np.zeros((BANK_SIDE, BANK_SIDE), np.float32)
    fall = rng.uniform(0.4, 1.0)
    for octave in range(8):
        total += fall**octave * noise(rng, (BANK_SIDE, BANK_SIDE), 3 * 2**octave)
    kind = rng.random()
    if kind < 0.3:
        total = np.abs(total)
    elif kind < 0.5:
        total = np.tanh(4 * total)
    return _unit(total)


def _strands(rng: np.random.Generator) -> Floats:
    """Fine lines in one, slowly changing direction."""
    base = rng.normal(0, 1, (BANK_SIDE, BANK_SIDE)).astype(np.float32)
    length = int(rng.integers(25, 90))
    lines = cv2.blur(cv2.GaussianBlur(base, (0, 0), rng.uniform(0.5, 1.5)), (1, length))
    lines += cv2.blur(cv2.GaussianBlur(base[::-1], (0, 0), 4.0), (1, 2 * length)) * 3
    angle = rng.normal(0, 35)
    matrix = cv2.getRotationMatrix2D((BANK_SIDE / 2, BANK_SIDE / 2), angle, 1.45)
    lines = cv2.warpAffine(lines, matrix, (BANK_SIDE, BANK_SIDE), flags=cv2.INTER_LINEAR)
    y, x = np.mgrid[:BANK_SIDE, :BANK_SIDE].astype(np.float32)
    bend = 30 * noise(rng, (BANK_SIDE, BANK_SIDE), 4)
    return _unit(cv2.remap(lines, x + bend, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT))


def _pattern(rng: np.random.Generator) -> Floats:
    """Stripes, checks, dots, rectangles or spots, bent by noise."""
    y, x = np.mgrid[:BANK_SIDE, :BANK_SIDE].astype(np.float32)
    side = (BANK_SIDE, BANK_SIDE)
    x, y = x + 10 * noise(rng, side, 4), y + 10 * noise(rng, side, 4)
    a, period = rng.uniform(0, np.pi), rng.uniform(8, 70)
    u = (np.cos(a) * x + np.sin(a) * y) / period
    v = (np.cos(a) * y - np.sin(a) * x) / period
    kind = rng.integers(5)
    if kind == 0:
        return _unit((u % 1 < rng.uniform(0.2, 0.8)).astype(np.float32))
    if kind == 1:
        return _unit(((u % 1 < 0.5) ^ (v % 1 < 0.5)).astype(np.float32))
    if kind == 2:
        return _unit((np.hypot(u % 1 - 0.5, v % 1 - 0.5) < 0.3).astype(np.float32))
    canvas = np.zeros(side, np.float32)
    for _ in range(int(rng.integers(20, 120))):
        cx, cy = rng.integers(0, BANK_SIDE, 2)
        w, h = rng.integers(6, 110, 2)
        value = float(rng.normal())
        if kind == 3:
            cv2.rectangle(canvas, (int(cx), int(cy)), (int(cx + w), int(cy + h)), (value,), -1)
        else:
            cv2.circle(canvas, (int(cx), int(cy)), int(w) // 3 + 2, (value,), -1)
    return _unit(cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.5, 4)))
