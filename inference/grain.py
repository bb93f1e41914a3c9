"""Film grain: how much of it a photo has, and the same put over what was painted.

Grain is Gaussian noise of a size, strongest in the mid-tones and none in pure black and white. In
the Boolean model of film (Newson et al., "A Stochastic Film Grain Model for Resolution-Independent
Rendering", 2017) its variance is such a parabola of the gray; here its standard deviation is, so
that black and white cut nothing off and brightness stays. It is measured by the block method, see
Olsen, "Estimation of Noise in Images: An Evaluation" (1993): from what remains of flat blocks when
their trend is taken away.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from inference.photo import Pixels

Floats = npt.NDArray[np.float32]
Marks = npt.NDArray[np.bool_]
Kind = TypeVar("Kind", bound=np.generic)

# Luma of RGB (ITU-R BT.601), as in JPEG.
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
BLOCK, CELL = 32, 8
# Of the blocks that are bright enough to show grain, this part is taken, the flattest first.
FLATTEST, FEWEST = 0.2, 8
# Blocks of like grain differ less than this in their variance.
ALIKE = 2.0
# Blocks that show less of the grain than this are too dark or too bright to tell.
VISIBLE = 0.3
LAGS = 5
MAX_SIZE = 6.0
SIGMAS = np.linspace(0.2, 1.7, 151)
# Of the surface that is taken out of a block as its trend.
DEGREE = 3
# What is farther than this from the autocorrelation of any grain is structure of the scene.
UNLIKE = 0.1
# Rounding to whole levels looks like noise of this variance (Sheppard's correction).
ROUNDING = 1 / 12
# Rows at a time, so that a large picture needs little memory.
BAND = 256


@dataclass(frozen=True, kw_only=True)
class Grain:
    """What a photo's grain looks like.

    Attributes:
        amount: standard deviation of the luma in mid-tones, in 8-bit levels; 0 is none.
        size: how many pixels wide a grain is, 1 to `MAX_SIZE`; 1 is noise of single pixels. It is
            the width of the autocorrelation, its sum along a row.
    """

    amount: float
    size: float = 1.0


def measure(picture: Pixels, where: Marks | None = None) -> Grain:
    """Measure a picture's own grain in its flattest parts.

    Args:
        picture: (H, W, 3) uint8 RGB.
        where: (H, W) bool, the part to look at; the whole picture when left out.

    Returns:
        The grain; none where the part has no block of 32×32 pixels between black and white, or
        none that is flat. Fine texture everywhere, as of cloth, is taken for grain.
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
    """Lay grain over a picture; brightness and colour stay as they are on average.

    Args:
        picture: (H, W, 3) uint8 RGB.
        grain: how much, and how coarse.
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
    """How much of the grain each level shows: 1 in the middle, 0 in black and white.

    Channel by channel, so that a pure colour stays as clean as black and white.
    """
    levels = np.arange(256, dtype=np.float32) / np.float32(255)
    return np.asarray((4 * levels * (1 - levels))[picture], dtype=np.float32)


def _noise(shape: tuple[int, int], size: float, seed: int) -> Floats:
    """Gaussian noise of mean 0 and standard deviation 1 whose grains are `size` pixels wide."""
    random = np.random.default_rng(seed)
    if size <= 1:
        return random.standard_normal(shape, dtype=np.float32)
    kernel = _kernel(float(np.interp(size, _sizes(), SIGMAS)))
    margin = len(kernel) // 2
    wide = random.standard_normal((shape[0] + 2 * margin, shape[1] + 2 * margin), dtype=np.float32)
    noise = cv2.sepFilter2D(wide, -1, kernel, kernel)[margin:-margin, margin:-margin]
    # What a kernel of sum 1, along rows and columns, leaves of the standard deviation.
    left = np.float32((kernel**2).sum())
    return np.asarray(noise / left, dtype=np.float32)


def _blocks(values: npt.NDArray[Kind]) -> npt.NDArray[Kind]:
    """(H, W) as (n, BLOCK, BLOCK); what is left at the right and the bottom is dropped."""
    rows, columns = values.shape[0] // BLOCK, values.shape[1] // BLOCK
    whole = values[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK)
    return whole.swapaxes(1, 2).reshape(-1, BLOCK, BLOCK)


def _without_trend(blocks: Floats) -> Floats:
    """Take out of each block what a surface of degree `DEGREE` follows."""
    flat, trends = blocks.reshape(len(blocks), -1), _trends()
    return np.asarray((flat - (flat @ trends.T) @ trends).reshape(blocks.shape), dtype=np.float32)


@cache
def _trends() -> Floats:
    """Orthonormal surfaces on a block, as (terms, BLOCK * BLOCK)."""
    ramp = np.linspace(-1, 1, BLOCK)
    powers = [(i, j) for i in range(DEGREE + 1) for j in range(DEGREE + 1 - i)]
    surfaces = np.stack([np.outer(ramp**i, ramp**j).ravel() for i, j in powers], axis=1)
    return np.asarray(np.linalg.qr(surfaces)[0].T, dtype=np.float32)


def _flattest(rest: Floats) -> npt.NDArray[np.intp]:
    """Which blocks have the least structure at a scale at which grain averages out.

    Choosing by variance would choose the blocks that have the least grain by chance; it only
    drops those whose structure is too fine to be seen at that scale.
    """
    count = BLOCK // CELL
    means = rest.reshape(-1, count, CELL, count, CELL).mean(axis=(2, 4))
    structure, variance = (means**2).mean(axis=(1, 2)), (rest**2).mean(axis=(1, 2))
    structure[variance > ALIKE * np.quantile(variance, FLATTEST)] = np.inf
    return np.argsort(structure, kind="stable")[: max(FEWEST, int(FLATTEST * len(rest)))]


def _autocovariances(rest: Floats) -> Floats:
    """(n, 2, LAGS): each block with itself, moved by 0, 1, … pixels along rows and columns."""
    pairs = [
        [
            (rest[:, :, lag:] * rest[:, :, : BLOCK - lag]).mean(axis=(1, 2)),
            (rest[:, lag:] * rest[:, : BLOCK - lag]).mean(axis=(1, 2)),
        ]
        for lag in range(LAGS)
    ]
    return np.asarray(np.array(pairs).transpose(2, 1, 0), dtype=np.float32)


def _fit(correlation: Floats) -> tuple[float, float, float]:
    """The size whose autocorrelation comes nearest, how near, and how much of it is seen.

    Args:
        correlation: (2, LAGS), along rows and columns; of grain they are alike.

    Returns:
        The size, the sum of squared differences, and the part of the variance that the trend left.
    """
    sizes = _sizes()
    # Each term of the trend takes the noise's power at low frequencies with it.
    lost = len(_trends()) * sizes**2 / BLOCK**2
    kernels = [_kernel(sigma) for sigma in SIGMAS]
    own = np.array([[k[lag:] @ k[: len(k) - lag] for lag in range(LAGS)] for k in kernels])
    model = (own * sizes[:, None] - lost[:, None]) / (1 - lost[:, None])
    unlike = ((model[:, None] - correlation) ** 2).sum(axis=2).mean(axis=1)
    best = int(unlike.argmin())
    return float(sizes[best]), float(unlike[best]), float(1 - lost[best])


@cache
def _sizes() -> npt.NDArray[np.float64]:
    """The size of noise that was blurred with each of `SIGMAS`."""
    return np.array([1 / (_kernel(sigma) ** 2).sum() for sigma in SIGMAS])


def _kernel(sigma: float) -> npt.NDArray[np.float64]:
    """A Gaussian of sum 1, wide enough for every lag."""
    radius = max(LAGS, int(np.ceil(4 * sigma)))
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return np.asarray(weights / weights.sum())
