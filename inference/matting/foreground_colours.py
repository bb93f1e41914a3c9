"""Foreground estimation: the colours of what is kept, freed of those behind it, and the reverse.

Forte, "Approximate Fast Foreground Colour Estimation" (ICIP 2021): blurred colours of both sides,
in two passes, the second with a smaller window. The formula's last step is taken at full size
(`unmix`), so that the picture's own detail stays.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from inference.matting.window_statistics import box_mean

Floats = npt.NDArray[np.float32]

# Radii of the two passes, in pixels of the small picture.
RADII = 24, 2
LEAST = 1e-4


def blurred_colours(picture: Floats, kept: Floats) -> tuple[Floats, Floats]:
    """Smooth colours of what is kept and of what lies behind it.

    Args:
        picture: (h, w, 3) float32 in 0–1.
        kept: (h, w) float32 in 0–1, the share of each pixel that shows what is kept.

    Returns:
        Two (h, w, 3) float32, in 0–1.
    """
    front, behind = picture, picture
    share = kept[..., None]
    for radius in RADII:
        front_mean = _mean(front, share, radius)
        behind = _mean(behind, 1 - share, radius)
        front = unmix(picture, share, front_mean, behind)
    return front_mean, behind


def unmix(colours: Floats, kept: Floats, front: Floats, behind: Floats) -> Floats:
    """The colours of what is kept, from mixed ones and the smooth colours of both sides.

    Args:
        colours: (…, 3) float32 in 0–1, as they are in the picture.
        kept: (…, 1) float32 in 0–1.
        front, behind: (…, 3), as `blurred_colours` returns them.
    """
    rest = colours - kept * front - (1 - kept) * behind
    return np.asarray(np.clip(front + kept * rest, 0, 1), np.float32)


def _mean(colours: Floats, share: Floats, radius: int) -> Floats:
    """Window means weighted by `share`; those of the whole picture where the window has none."""
    sums = np.concatenate([colours * share, share], axis=2)
    local = box_mean(sums, radius) + np.float32(LEAST) * (sums.mean(axis=(0, 1)) + np.float32(1e-9))
    return np.asarray(local[..., :3] / local[..., 3:], np.float32)
