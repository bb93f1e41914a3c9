"""Prior of alpha from the colours of the neighbourhood, and from the distance to the edge.

Kept and repainted colours near a pixel are taken for two normal distributions. Where they differ,
the pixel's place between their means says how much of it is kept; where they do not, only the
distance to the edge says something. Both are joined by their variances. After the data term of
Wang and Cohen, "Optimized Color Sampling for Robust Matting" (CVPR 2007), with means for samples.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from inference.matting.trimap import Trimap
from inference.matting.window_statistics import box_mean, covariance, dot, inverse, products

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

# Width of the soft edge that the distance prior assumes, in units of the distance.
SOFT_EDGE = 2.0
# Standard deviations of the two estimates of alpha; the colours' own comes on top of the second.
DISTANCE_DEVIATION, COLOUR_DEVIATION = 0.12, 0.05
# Colour variance (0–1 scale) that is added to each neighbourhood's.
NOISE = 1e-3
# Weight of all of the picture's known pixels in each neighbourhood, for places far from any.
EVERYWHERE = 0.02
LEAST = 1e-6


@dataclass(frozen=True, kw_only=True)
class Prior:
    """An estimate of alpha with its certainty.

    Attributes:
        kept: (n,) float32 in 0–1, the share of each unknown pixel that shows what is kept.
        certainty: (n,) float32, inverse of the estimate's variance.
    """

    kept: Floats = field(repr=False)
    certainty: Floats = field(repr=False)


def estimate(picture: Floats, trimap: Trimap, radius: int) -> Prior:
    """Estimate alpha of the unknown pixels, in reading order, from colours and distance.

    Args:
        picture: (h, w, 3) float32 in 0–1.
        trimap: the regions, on the picture's grid.
        radius: of the neighbourhood, in pixels.
    """
    unknown = trimap.unknown
    nearby = by_distance(trimap.distance[unknown])
    certainty_of_distance = DISTANCE_DEVIATION**-2
    kept_mean, kept_spread = _colours(picture, trimap.kept, radius, unknown)
    new_mean, new_spread = _colours(picture, trimap.repainted, radius, unknown)
    spread = (kept_spread + new_spread) / 2 + np.eye(3, dtype=np.float32) * np.float32(NOISE)
    between = kept_mean - new_mean
    axis = np.einsum("nij,nj->ni", inverse(spread).astype(np.float32), between)
    separation = np.maximum(dot(axis, between), LEAST)  # squared Mahalanobis distance
    place = np.clip(dot(axis, picture[unknown] - new_mean) / separation, 0, 1)
    by_colour = 1 / (1 / separation + COLOUR_DEVIATION**2)
    certainty = certainty_of_distance + by_colour
    kept = (certainty_of_distance * nearby + by_colour * place) / certainty
    return Prior(kept=kept.astype(np.float32), certainty=certainty.astype(np.float32))


def by_distance(distance: Floats) -> Floats:
    """The share that is kept, 0–1, of a line along the edge, by the signed distance to it."""
    return np.asarray(np.clip(0.5 - distance / SOFT_EDGE, 0, 1), np.float32)


def _colours(picture: Floats, region: Bools, radius: int, unknown: Bools) -> tuple[Floats, Floats]:
    """Mean (n, 3) and covariance (n, 3, 3) of a region's colours around each unknown pixel."""
    inside = region.astype(np.float32)[..., None]
    sums = np.concatenate([inside, picture * inside, products(picture) * inside], axis=2)
    local = box_mean(sums, radius)[unknown]
    local = local + EVERYWHERE * sums.mean(axis=(0, 1)) + np.float32(LEAST**2)
    mean, pairs = local[:, 1:4] / local[:, :1], local[:, 4:] / local[:, :1]
    return np.asarray(mean, np.float32), covariance(mean, pairs)
