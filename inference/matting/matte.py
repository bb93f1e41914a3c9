"""Matte: alpha along a mask's edge, solved once on a small grid and sampled at any size."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from inference.matting import closed_form, colour_lines, colour_prior
from inference.matting.foreground_colours import blurred_colours, unmix
from inference.matting.trimap import Trimap
from inference.picture.geometry import View
from inference.picture.photo import Pixels
from inference.picture.resampling import resample, resample_at
from inference.recipe.length import SHORT_SIDE

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

# Longer side of the grid that is solved, and most unknown pixels on it.
GRID, MAX_UNKNOWN = 512, 60_000
# Radius of the neighbourhood whose colours are compared, beyond the band's own width.
BEYOND = 16
# Shares of what is kept that count as nothing and as all; the solver rarely reaches 0 and 1.
LEAST, MOST = 0.06, 0.92
# Distance of two colours (0–1 scale) at which noise and compression hide half of their difference;
# the edge is then half a line along the mask.
INDISTINCT = 0.02


@dataclass(frozen=True, kw_only=True)
class Cutout:
    """What is kept of a picture.

    Attributes:
        repaint: (H, W) float32 in 0–1; 0 = wholly kept, 1 = wholly repainted.
        colours: (H, W, 3) uint8, the picture; where it is partly repainted, without the colours
            of what lies behind.
    """

    repaint: Floats = field(repr=False)
    colours: Pixels = field(repr=False)

    @property
    def alpha(self) -> Pixels:
        """(H, W) uint8, `repaint` in 255ths."""
        return np.rint(self.repaint * 255).astype(np.uint8)


@dataclass(frozen=True, kw_only=True)
class Matte:
    """A solved band, as planes over RGB on a grid that covers a whole picture.

    Attributes:
        trimap: the regions.
        planes: (h, w, 4) float32, see `colour_lines.fit`.
        front, behind: (h, w, 3) float32, see `blurred_colours`.
    """

    trimap: Trimap
    planes: Floats = field(repr=False)
    front: Floats = field(repr=False)
    behind: Floats = field(repr=False)

    @classmethod
    def solve(cls, picture: Pixels, trimap: Trimap, width: float) -> Matte:
        """Solve the unknown band of a picture.

        Args:
            picture: (h, w, 3) uint8, of the trimap's size.
            trimap: the regions.
            width: of the band beside hair, in units of the trimap's distance.
        """
        trimap = _coarser(trimap)
        size = trimap.distance.shape[1], trimap.distance.shape[0]
        colours = _as_floats(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
        radius = math.ceil((width + BEYOND) * min(size) / SHORT_SIDE)
        prior = colour_prior.estimate(colours, trimap, radius)
        solved = closed_form.solve(colours, trimap, prior)
        front, behind = blurred_colours(colours, solved)
        sure = _separation(front, behind)
        planes = colour_lines.fit(colours, solved, trimap.unknown) * sure[..., None]
        planes[..., 3] += (1 - sure) * colour_prior.by_distance(trimap.distance)
        return cls(trimap=trimap, planes=planes, front=front, behind=behind)

    def cut(self, picture: Pixels, view: View) -> Cutout:
        """Cut a picture out along the matte.

        Args:
            picture: (H, W, 3) uint8, the view's part of the whole picture, at its resolution.
            view: which part, and its resolution.
        """
        repaint, unknown = self._regions(view)
        mixed = _as_floats(picture[unknown])
        kept = self._kept(mixed, view, unknown)
        front, behind = (resample_at(one, view, unknown) for one in (self.front, self.behind))
        clean = unmix(mixed, kept[:, None], front, behind)
        colours = picture.copy()
        colours[unknown] = np.where(kept[:, None] < 1, np.rint(255 * clean), picture[unknown])
        repaint[unknown] = 1 - kept
        return Cutout(repaint=repaint, colours=colours)

    def repaint(self, picture: Pixels, view: View) -> Floats:
        """The alpha that `cut` has, without the colours."""
        repaint, unknown = self._regions(view)
        mixed = _as_floats(picture[unknown])
        repaint[unknown] = 1 - self._kept(mixed, view, unknown)
        return repaint

    def _regions(self, view: View) -> tuple[Floats, Bools]:
        """What is repainted by the trimap, as 0 or 1, and the unknown band."""
        unknown = resample(self.trimap.unknown.astype(np.float32), view) >= 0.5
        return (resample(self.trimap.distance, view) > 0).astype(np.float32), unknown

    def _kept(self, colours: Floats, view: View, unknown: Bools) -> Floats:
        """(n,) in 0–1, the shares of the unknown pixels, by their (n, 3) colours."""
        planes = resample_at(self.planes, view, unknown)
        share = (planes[:, :3] * colours).sum(axis=1) + planes[:, 3]
        return np.asarray(np.clip((share - LEAST) / (MOST - LEAST), 0, 1), np.float32)


def _separation(front: Floats, behind: Floats) -> Floats:
    """(h, w) in 0–1, how well the colours of both sides can be told apart in spite of noise."""
    squared = np.square(front - behind).sum(axis=2)
    return np.asarray(squared / (squared + INDISTINCT**2), np.float32)


def _as_floats(colours: npt.NDArray[np.generic]) -> Floats:
    """Colours in 0–1, of colours in 0–255."""
    return np.asarray(colours, np.float32) / np.float32(255)


def _coarser(trimap: Trimap) -> Trimap:
    """The same trimap on a grid no larger than `GRID`, with at most `MAX_UNKNOWN` to solve."""
    height, width = trimap.unknown.shape
    count = max(1, int(np.count_nonzero(trimap.unknown)))
    scale = min(GRID / max(height, width), math.sqrt(MAX_UNKNOWN / count))
    if scale >= 1:
        return trimap
    size = max(3, round(width * scale)), max(3, round(height * scale))
    distance = cv2.resize(trimap.distance, size, interpolation=cv2.INTER_AREA)
    unknown = cv2.resize(trimap.unknown.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return Trimap(distance=np.asarray(distance, np.float32), unknown=np.asarray(unknown >= 0.5))
