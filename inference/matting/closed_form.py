"""Closed-form matting: alpha as a local linear function of the colours.

Levin, Lischinski and Weiss, "A Closed-Form Solution to Natural Image Matting" (PAMI 2008), with a
prior for each pixel, and solved in the unknown band only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from inference.matting.colour_prior import Prior
from inference.matting.trimap import Trimap
from inference.matting.window_statistics import inverse

if TYPE_CHECKING:
    from scipy.sparse import csc_matrix

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.intp]

# Colour variance (0–1 scale) that is added to each window of 3×3 pixels.
EPSILON = 1e-8
# Weight of the prior, per unit of its certainty, against that of one window.
PRIOR_WEIGHT = 1e-5
# Rows and columns of the pixels of a window, and of a pixel's neighbours, from their centre.
WINDOW = np.mgrid[-1:2, -1:2].reshape(2, 9)
NEIGHBOURS = np.mgrid[-2:3, -2:3].reshape(2, 25)
ITSELF = 12


def solve(picture: Floats, trimap: Trimap, prior: Prior) -> Floats:
    """The share of each pixel that shows what is kept.

    Args:
        picture: (h, w, 3) float32 in 0–1; at least 3×3 pixels.
        trimap: the regions, on the picture's grid.
        prior: an estimate for each unknown pixel.

    Returns:
        (h, w) float32 in 0–1; 1 or 0 outside the unknown band.
    """
    kept = trimap.kept.astype(np.float32)
    unknown = trimap.unknown
    if not unknown.any():
        return kept
    weight = (PRIOR_WEIGHT * prior.certainty).astype(np.float64)
    laplacian, right = _system(picture, unknown, kept.astype(np.float64))
    solved = _solve(laplacian, weight, right + weight * prior.kept)
    kept[unknown] = np.clip(solved, 0, 1)
    return kept


def _system(
    picture: Floats, unknown: npt.NDArray[np.bool_], known: Doubles
) -> tuple[csc_matrix, Doubles]:
    """The matting Laplacian among the unknown pixels, and the right side from the known ones."""
    from scipy.sparse import csr_matrix

    width = unknown.shape[1]
    places = np.flatnonzero(unknown)
    number = np.full(unknown.size, -1)
    number[places] = np.arange(len(places))
    stencil = _stencils(picture, unknown, number)
    neighbours = places[:, None] + NEIGHBOURS[0] * width + NEIGHBOURS[1]
    neighbours = np.where(stencil != 0, neighbours, places[:, None])
    column = number[neighbours]
    inside = (stencil != 0) & (column >= 0)
    outside = (stencil != 0) & (column < 0)
    right = -np.where(outside, stencil * known.ravel()[neighbours], 0).sum(axis=1)
    starts = np.concatenate([[0], np.cumsum(inside.sum(axis=1))])
    shape = len(places), len(places)
    return csr_matrix((stencil[inside], column[inside], starts), shape=shape).tocsc(), right


def _stencils(picture: Floats, unknown: npt.NDArray[np.bool_], number: Numbers) -> Doubles:
    """For each unknown pixel the Laplacian's entries for its 25 neighbours, (n, 25)."""
    width = unknown.shape[1]
    reached = cv2.dilate(unknown.astype(np.uint8), np.ones((3, 3), np.uint8))
    rows, columns = np.nonzero(reached[1:-1, 1:-1])
    centres = (rows + 1) * width + columns + 1
    window = centres[:, None] + WINDOW[0] * width + WINDOW[1]
    colours = picture.reshape(-1, 3).astype(np.float64)[window]
    colours -= colours.mean(axis=1, keepdims=True)
    spread = colours.transpose(0, 2, 1) @ colours / 9 + np.eye(3) * EPSILON / 9
    affinity = (1 + colours @ inverse(spread) @ colours.transpose(0, 2, 1)) / 9
    own = number[window]
    is_unknown = own >= 0
    down, right = (axis[None, :] - axis[:, None] + 2 for axis in WINDOW)
    entry = (25 * own[:, :, None] + 5 * down + right)[is_unknown]
    count = int(np.count_nonzero(unknown))
    weights = affinity[is_unknown].ravel()
    sums = np.bincount(entry.ravel(), weights, 25 * count)
    stencil = -np.asarray(sums, np.float64).reshape(count, 25)
    stencil[:, ITSELF] += np.bincount(own[is_unknown], minlength=count)
    return stencil


def _solve(laplacian: csc_matrix, weight: Doubles, right: Doubles) -> Doubles:
    """Solve the symmetric system, with the prior's weight on its diagonal, by factorization."""
    from scipy.sparse import diags
    from scipy.sparse.linalg import splu

    factors = splu(
        (laplacian + diags(weight)).tocsc(),
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0,
        options={"SymmetricMode": True},
    )
    return np.asarray(factors.solve(right), np.float64)
