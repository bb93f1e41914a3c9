"""Colour grading: three looks named after colour films.

A look is a tone curve for each channel, then saturation and hue shifts in CIE Lab. The curves are
monotone piecewise cubics through a few points (Fritsch and Carlson, "Monotone Piecewise Cubic
Interpolation", 1980). They are modelled on the films' reputation, not measured from film.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import cv2
import numpy as np
import numpy.typing as npt

from inference.errors import InvalidRecipe
from inference.picture.photo import Pixels

Floats = npt.NDArray[np.float32]
Curve = tuple[tuple[int, int], ...]

# Hue angles in CIE Lab, in degrees.
RED, SKIN, GREEN, BLUE = 32.0, 58.0, 125.0, 270.0
# Chroma from which a hue's change of lightness applies in full.
STRONG = 50.0
# Chroma from which saturation is not raised: the colours would leave the gamut.
STRONGEST = 120.0
# Rows that are graded at a time, to bound the memory.
BAND = 128


@dataclass(frozen=True, kw_only=True)
class Hue:
    """Adjustment of colours around one hue, weaker with the distance from it.

    Attributes:
        angle: the hue in CIE Lab, in degrees.
        width: reach to both sides, in degrees, below 180.
        saturation: added to the look's saturation.
        lightness: added to L* (0–100) of a strong colour.
        turn: rotation of the hue, in degrees towards larger angles.
    """

    angle: float
    width: float
    saturation: float = 0.0
    lightness: float = 0.0
    turn: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Look:
    """Tone curves and colour adjustments.

    Attributes:
        red, green, blue: points of the tone curves as (level in, level out), 0–255, both rising.
        saturation: factor of every colour's chroma.
        hues: adjustments of single hues.
        gray_tolerance: largest difference, in levels, between the channels of a neutral gray.
    """

    red: Curve
    green: Curve
    blue: Curve
    saturation: float
    hues: tuple[Hue, ...]
    gray_tolerance: int

    def curves(self) -> Pixels:
        """The tone curves as (256, 3) uint8."""
        return np.rint(self.exact_curves()).astype(np.uint8)

    def exact_curves(self) -> Floats:
        """The tone curves as (256, 3) float32 levels."""
        return np.stack([monotone(points) for points in (self.red, self.green, self.blue)], axis=1)


_VELVIA = (0, 0), (32, 19), (80, 68), (128, 129), (176, 190), (224, 238), (255, 255)
_EKTAR = (0, 0), (32, 24), (80, 75), (128, 130), (176, 186), (224, 233), (255, 255)

LOOKS: Mapping[str, Look] = MappingProxyType(
    {
        # Slide film: strong contrast and colour, deep greens and blues.
        "Film Velvia": Look(
            red=_VELVIA,
            green=_VELVIA,
            blue=_VELVIA,
            saturation=1.34,
            hues=(
                Hue(angle=GREEN, width=60, saturation=0.22, lightness=-7),
                Hue(angle=BLUE, width=65, saturation=0.22, lightness=-9),
                Hue(angle=SKIN, width=30, saturation=-0.2),
            ),
            gray_tolerance=1,
        ),
        # Portrait negative film: soft, with warm lifted shadows and gentle skin.
        "Film Portra": Look(
            red=((0, 18), (48, 62), (128, 143), (208, 219), (255, 254)),
            green=((0, 14), (48, 57), (128, 139), (208, 216), (255, 251)),
            blue=((0, 12), (48, 51), (128, 131), (208, 207), (255, 244)),
            saturation=0.88,
            hues=(
                Hue(angle=SKIN, width=40, saturation=0.08, lightness=2),
                Hue(angle=GREEN, width=55, saturation=-0.08, turn=-6),
                Hue(angle=BLUE, width=60, saturation=-0.06, turn=-6),
            ),
            gray_tolerance=13,
        ),
        # Fine-grained negative film: vivid and clean, reds a little warm.
        "Ektar": Look(
            red=((0, 0), (32, 25), (80, 77), (128, 132), (176, 188), (224, 234), (255, 255)),
            green=_EKTAR,
            blue=((0, 0), (32, 25), (80, 75), (128, 128), (176, 184), (224, 232), (255, 255)),
            saturation=1.2,
            hues=(
                Hue(angle=RED, width=45, saturation=0.16, lightness=-1, turn=4),
                Hue(angle=BLUE, width=60, saturation=0.12, lightness=-4),
                Hue(angle=SKIN, width=25, saturation=-0.08),
            ),
            gray_tolerance=7,
        ),
    }
)


def grade(picture: Pixels, look: str) -> Pixels:
    """Grade a picture by a look.

    Args:
        picture: (H, W, 3) uint8 RGB.
        look: one of `LOOKS`.

    Returns:
        (H, W, 3) uint8, a new array.

    Raises:
        InvalidRecipe: there is no such look.
    """
    if look not in LOOKS:
        known = ", ".join(LOOKS)
        raise InvalidRecipe(f"Color grading takes one of {known}.", field="color_grading")
    chosen = LOOKS[look]
    curves = chosen.exact_curves() / np.float32(255)
    graded = np.empty_like(picture)
    for top in range(0, picture.shape[0], BAND):
        rows = slice(top, top + BAND)
        toned = np.stack([curves[:, k][picture[rows, :, k]] for k in range(3)], axis=2)
        coloured = _recolour(toned, chosen)
        graded[rows] = np.clip(np.rint(coloured * 255), 0, 255)
    return graded


def monotone(points: Curve) -> Floats:
    """The monotone cubic through rising points, at levels 0–255, as (256,) float32."""
    x, y = np.array(points, dtype=np.float64).T
    steps = np.diff(x)
    slopes = np.diff(y) / steps
    # Inner tangents: the harmonic mean of the slopes on both sides, weighted by their distance.
    left, right = 2 * steps[1:] + steps[:-1], steps[1:] + 2 * steps[:-1]
    with np.errstate(divide="ignore"):
        inner = (left + right) / (left / slopes[:-1] + right / slopes[1:])
    tangents = np.concatenate([slopes[:1], inner, slopes[-1:]])
    levels = np.arange(256)
    part = np.clip(np.searchsorted(x, levels, side="right") - 1, 0, len(steps) - 1)
    step, t = steps[part], (levels - x[part]) / steps[part]
    rise = t * t * (3 - 2 * t) * (y[part + 1] - y[part])
    bend = t * (1 - t) * ((1 - t) * tangents[part] - t * tangents[part + 1]) * step
    return np.asarray(y[part] + rise + bend, dtype=np.float32)


def _recolour(picture: Floats, look: Look) -> Floats:
    """Apply a look's saturation and hues; sRGB in 0–1, in and out."""
    lightness, a, b = cv2.split(cv2.cvtColor(picture, cv2.COLOR_RGB2Lab))
    chroma = np.maximum(np.hypot(a, b), np.float32(1e-3))
    gain = np.full_like(chroma, look.saturation - 1)
    turn = np.zeros_like(chroma)
    strength = np.minimum(chroma / np.float32(STRONG), 1)
    for hue in look.hues:
        angle, edge = np.deg2rad(hue.angle), np.float32(np.cos(np.deg2rad(hue.width)))
        near = (a * np.float32(np.cos(angle)) + b * np.float32(np.sin(angle))) / chroma
        weight = np.clip((near - edge) / (1 - edge), 0, 1)
        weight *= weight * (3 - 2 * weight)
        gain += weight * np.float32(hue.saturation)
        turn += weight * np.float32(np.deg2rad(hue.turn))
        lightness += weight * strength * np.float32(hue.lightness)
    room = np.clip(1 - chroma / np.float32(STRONGEST), 0, 1)
    scale = 1 + np.where(gain > 0, gain * room, gain)
    cosine, sine = scale * np.cos(turn), scale * np.sin(turn)
    turned = cv2.merge([lightness, a * cosine - b * sine, a * sine + b * cosine])
    return np.asarray(cv2.cvtColor(turned, cv2.COLOR_Lab2RGB), dtype=np.float32)
