"""Film grain: measured in a photo and added to a picture.

Grain is Gaussian noise of a size, strongest in the mid-tones and zero in black and white. In the
Boolean model of film (Newson et al., "A Stochastic Film Grain Model for Resolution-Independent
Rendering", 2017) its variance is a parabola of the gray level; here its standard deviation is, so
that clipping at black and white does not change the brightness. It is measured by the block method
(Olsen, "Estimation of Noise in Images: An Evaluation", 1993): from the residuals of flat blocks
after their trend is removed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from inference.picture.photo import Pixels

Floats = npt.NDArray[np.float32]
Marks = npt.NDArray[np.bool_]
Kind = TypeVar("Kind", bound=np.generic)

# Luma of RGB (ITU-R BT.601), as in JPEG.
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
BLOCK, CELL = 32, 8
# Share of the usable blocks that is taken, the flattest first, and the least number of them.
FLATTEST, FEWEST = 0.2, 8
# Factor within which the variances of blocks with equal grain lie.
ALIKE = 2.0
# Least visibility of grain in a block; others are too dark or too bright.
VISIBLE = 0.3
LAGS = 5
# Largest size that is measured; grain that is added may be larger.
MAX_SIZE = 6.0
SIGMAS = np.linspace(0.2, 1.7, 151)
# Degree of the polynomial surface that is removed from a block as its trend.
DEGREE = 3
# Largest misfit to the autocorrelation of grain; beyond, it is structure of the scene.
UNLIKE = 0.1
# Variance of the rounding to whole levels (Sheppard's correction).
ROUNDING = 1 / 12
# Rows that are processed at a time, to bound the memory.
BAND = 256


@dataclass(frozen=True, kw_only=True)
class Grain:
    """Strength and size of grain.

    Attributes:
        amount: standard deviation of the luma in mid-tones, in 8-bit levels; 0 is none.
        size: width in pixels of the picture, as the sum of the autocorrelation along a row; up to
            1 it is white noise, the finest that pixels can show. Measured up to `MAX_SIZE`.
    """

    amount: float
    size: float = 1.0


def measure(picture: Pixels, where: Marks | None = None) -> Grain:
    """Measure a picture's own grain in its flattest parts.

    Args:
        picture: (H, W, 3) uint8 RGB.
        where: (H, W) bool, the part to measure in; the whole picture by default.

    Returns:
        The grain; amount 0 where no block of 32×32 pixels is flat and between black and white.
        Fine texture everywhere, as of cloth, is taken for grain.
    """
    luma = _blocks(picture.astype(np.float32) @ LUMA)
    shown = _blocks(visibility(picture) @ LUMA).mean(axis=(1, 2))
    usable = shown >= VISIBLE
    if where is not None:
        usable &= _blocks(where).all(axis=(1, 2))
    luma, shown = luma[usable], shown[usable]
    if not len(luma):
        return Grain(amount=0.0)
    rest = _without_trend(luma) / shown[:, None, None]
    flat = _flattest(rest)
    curve = np.median(_autocovariances(rest[flat]), axis=0)
    rounding = ROUNDING / float(np.median(shown[flat])) ** 2
    variance = float(curve[0, 0]) - rounding
    if variance <= rounding:
        return Grain(amount=0.0)
    curve[:, 0] = variance
    size, unlike, kept = _fit(curve / variance)
    if unlike > UNLIKE:
        return Grain(amount=0.0)
    return Grain(amount=float(np.sqrt(variance / kept)), size=size)


def add(picture: Pixels, grain: Grain, seed: int) -> Pixels:
    """Add grain to a picture; mean brightness and colour stay the same.

    Args:
        picture: (H, W, 3) uint8 RGB.
        grain: strength and size.
        seed: 0 or more; the same seed gives the same grain.

    Returns:
        (H, W, 3) uint8, a new array.
    """
    if grain.amount <= 0:
        return picture.copy()
    height, width = picture.shape[:2]
    noise = _noise((height, width), grain.size, seed)
    noise *= np.float32(grain.amount)
    grainy = np.empty_like(picture)
    for top in range(0, height, BAND):
        rows = slice(top, top + BAND)
        levels = picture[rows] + visibility(picture[rows]) * noise[rows, :, None]
        grainy[rows] = np.clip(np.rint(levels), 0, 255)
    return grainy


def visibility(picture: Pixels) -> Floats:
    """Visibility of grain at each level and channel: 1 in the middle, 0 at black and white."""
    levels = np.arange(256, dtype=np.float32) / np.float32(255)
    return np.asarray((4 * levels * (1 - levels))[picture], dtype=np.float32)


def _noise(shape: tuple[int, int], size: float, seed: int) -> Floats:
    """Gaussian noise of mean 0 and standard deviation 1, correlated over `size` pixels."""
    random = np.random.default_rng(seed)
    if size <= 1:
        return random.standard_normal(shape, dtype=np.float32)
    kernel = _kernel(_sigma(size))
    margin = len(kernel) // 2
    wide = random.standard_normal((shape[0] + 2 * margin, shape[1] + 2 * margin), dtype=np.float32)
    noise = cv2.sepFilter2D(wide, -1, kernel, kernel)[margin:-margin, margin:-margin]
    # Factor by which a separable kernel of sum 1 reduces the standard deviation.
    left = np.float32((kernel**2).sum())
    return np.asarray(noise / left, dtype=np.float32)


def _sigma(size: float) -> float:
    """Standard deviation of the Gaussian that gives white noise this size; exact for large ones."""
    if size > MAX_SIZE:
        return size / (2 * math.sqrt(math.pi))
    return float(np.interp(size, _sizes(), SIGMAS))


def _blocks(values: npt.NDArray[Kind]) -> npt.NDArray[Kind]:
    """(H, W) as (n, BLOCK, BLOCK); the remainder at the right and the bottom is dropped."""
    rows, columns = values.shape[0] // BLOCK, values.shape[1] // BLOCK
    whole = values[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK)
    return whole.swapaxes(1, 2).reshape(-1, BLOCK, BLOCK)


def _without_trend(blocks: Floats) -> Floats:
    """Remove from each block its least-squares surface of degree `DEGREE`."""
    flat, trends = blocks.reshape(len(blocks), -1), _trends()
    return np.asarray((flat - (flat @ trends.T) @ trends).reshape(blocks.shape), dtype=np.float32)


@cache
def _trends() -> Floats:
    """Orthonormal polynomial surfaces on a block, as (terms, BLOCK * BLOCK)."""
    ramp = np.linspace(-1, 1, BLOCK)
    powers = [(i, j) for i in range(DEGREE + 1) for j in range(DEGREE + 1 - i)]
    surfaces = np.stack([np.outer(ramp**i, ramp**j).ravel() for i, j in powers], axis=1)
    return np.asarray(np.linalg.qr(surfaces)[0].T, dtype=np.float32)


def _flattest(rest: Floats) -> npt.NDArray[np.intp]:
    """Indices of the blocks with the least structure at a scale at which grain averages out.

    Sorting by variance would prefer blocks whose grain is weak by chance; variance only excludes
    blocks with structure too fine for that scale.
    """
    count = BLOCK // CELL
    means = rest.reshape(-1, count, CELL, count, CELL).mean(axis=(2, 4))
    structure, variance = (means**2).mean(axis=(1, 2)), (rest**2).mean(axis=(1, 2))
    structure[variance > ALIKE * np.quantile(variance, FLATTEST)] = np.inf
    return np.argsort(structure, kind="stable")[: max(FEWEST, int(FLATTEST * len(rest)))]


def _autocovariances(rest: Floats) -> Floats:
    """Autocovariances of each block along rows and columns, (n, 2, LAGS), lags from 0."""
    pairs = [
        [
            (rest[:, :, lag:] * rest[:, :, : BLOCK - lag]).mean(axis=(1, 2)),
            (rest[:, lag:] * rest[:, : BLOCK - lag]).mean(axis=(1, 2)),
        ]
        for lag in range(LAGS)
    ]
    return np.asarray(np.array(pairs).transpose(2, 1, 0), dtype=np.float32)


def _fit(correlation: Floats) -> tuple[float, float, float]:
    """Fit the grain size to an autocorrelation.

    Args:
        correlation: (2, LAGS), along rows and columns.

    Returns:
        The size, the sum of squared differences, and the share of the variance that is left after
        the trend is removed.
    """
    sizes = _sizes()
    # Removing a term of the trend removes the noise's power at low frequencies too.
    lost = len(_trends()) * sizes**2 / BLOCK**2
    kernels = [_kernel(sigma) for sigma in SIGMAS]
    own = np.array([[k[lag:] @ k[: len(k) - lag] for lag in range(LAGS)] for k in kernels])
    model = (own * sizes[:, None] - lost[:, None]) / (1 - lost[:, None])
    unlike = ((model[:, None] - correlation) ** 2).sum(axis=2).mean(axis=1)
    best = int(unlike.argmin())
    return float(sizes[best]), float(unlike[best]), float(1 - lost[best])


@cache
def _sizes() -> npt.NDArray[np.float64]:
    """The size of noise blurred by each of `SIGMAS`."""
    return np.array([1 / (_kernel(sigma) ** 2).sum() for sigma in SIGMAS])


def _kernel(sigma: float) -> npt.NDArray[np.float64]:
    """A Gaussian kernel of sum 1, wide enough for every lag."""
    radius = max(LAGS, int(np.ceil(4 * sigma)))
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return np.asarray(weights / weights.sum())
