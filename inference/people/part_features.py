"""Input channels of the human parser: colours, person, face coordinates, colour models.

The last four channels are colour models of this one picture (GrabCut's idea with one Gaussian
each; Rother et al. 2004): how well a pixel's colour agrees with that inside the face, above the
forehead, below the chin and outside the person. They mean the same in drawings and in photographs.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Pixels = npt.NDArray[np.uint8]

CHANNELS = 11
# Face coordinates are clipped here, in face widths.
REACH = 3.0
# Boxes (left, top, right, bottom) in face widths from the point between the eyes.
ABOVE_FOREHEAD = -0.45, -1.0, 0.45, -0.62
BELOW_CHIN = -0.7, 1.3, 0.7, 2.2
# Part of the face's outline, about its middle, whose colours count as skin.
INNER = 0.8
SURE = 0.5
# Least pixels of a colour model.
FEWEST = 24
# Variance added to colour models, in 8-bit Lab.
NOISE = 36.0


def part_features(
    picture: Pixels, person: Floats, frame: Floats | None, oval: Floats | None
) -> Floats:
    """The parser's input for a picture.

    Args:
        picture: (H, W, 3) uint8 RGB.
        person: (H, W) in 0–1, where people are.
        frame: (2, 3), from pixels to face coordinates: the origin between the eyes, the unit the
            face's width, y downwards; None without a face.
        oval: (n, 2), the face's outline from the middle of the forehead to the chin, in pixels;
            None without a face.

    Returns:
        (CHANNELS, H, W) float32 in -1–1; the face's channels are 0 without a face.
    """
    height, width = person.shape
    features = np.zeros((CHANNELS, height, width), dtype=np.float32)
    features[:3] = np.moveaxis(picture.astype(np.float32) / 127.5 - 1, -1, 0)
    features[3] = 2 * person - 1
    lab = cv2.cvtColor(cv2.blur(picture, (3, 3)), cv2.COLOR_RGB2LAB).astype(np.float32)
    inside = person >= SURE
    features[10] = _likelihood(lab, ~inside)
    if frame is None or oval is None:
        return features
    across, down = _coordinates(frame, (width, height))
    features[4] = np.clip(across / REACH, -1, 1)
    features[5] = np.clip(down / REACH, -1, 1)
    features[6] = _filled(oval, (width, height))
    middle = oval.mean(axis=0)
    skin = _filled(middle + INNER * (oval - middle), (width, height)) > 0
    features[7] = _likelihood(lab, skin)
    for channel, (left, top, right, bottom) in ((8, ABOVE_FOREHEAD), (9, BELOW_CHIN)):
        within = (across >= left) & (across < right) & (down >= top) & (down < bottom)
        features[channel] = _likelihood(lab, within & inside)
    return features


def _coordinates(frame: Floats, size: tuple[int, int]) -> tuple[Floats, Floats]:
    """Face coordinates of the pixels of a picture of `size` = (width, height)."""
    x = np.arange(size[0], dtype=np.float32)[None] + np.float32(0.5)
    y = np.arange(size[1], dtype=np.float32)[:, None] + np.float32(0.5)
    across, down = (row[0] * x + row[1] * y + row[2] for row in frame.astype(np.float32))
    return across, down


def _filled(outline: Floats, size: tuple[int, int]) -> Floats:
    """A polygon (n, 2) as a map of 0 and 1."""
    canvas = np.zeros(size[::-1], dtype=np.uint8)
    # OpenCV overflows on far-away points.
    points = np.clip(np.rint(outline), -(2**14), 2**14).astype(np.int32)
    cv2.fillPoly(canvas, [points], (1,))
    return canvas.astype(np.float32)


def _likelihood(lab: Floats, chosen: Bools) -> Floats:
    """Likeness of each pixel's colour to the chosen ones', in 0–1; 0 if too few are chosen."""
    colours = lab[chosen]
    if len(colours) < FEWEST:
        return np.zeros(lab.shape[:2], dtype=np.float32)
    mean = colours.mean(axis=0)
    offset = colours - mean
    covariance = offset.T @ offset / np.float32(len(colours)) + NOISE * np.eye(3, dtype=np.float32)
    whitening = np.linalg.inv(np.linalg.cholesky(covariance)).astype(np.float32)
    distance = (((lab - mean) @ whitening.T) ** 2).sum(axis=-1)
    return np.asarray(np.exp(-distance / 8), dtype=np.float32)
