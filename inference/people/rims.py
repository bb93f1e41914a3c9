"""Whether a face wears glasses, by the edges of their rims.

Faces have no such edges: the skin below the eyes is smooth, whereas a rim crosses every ray from an
eye downwards and a bridge every line from forehead to nose. Rimless glasses are not seen.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.people.face_mesh import FaceMesh
from inference.people.turned_square import Floats, TurnedSquare
from inference.picture.photo import Pixels

# Side of the square that is looked at, in face widths, and pixels for each of them.
SIDE, SCALE = 1.6, 128
SMOOTHING = 1.2
# Rays below an eye: angles in degrees, and distances in face widths.
ANGLES, REACH = (30, 151, 8), (0.12, 0.27, 0.01)
# Lines across the bridge, from the point between the eyes, in face widths.
ACROSS, DOWN = (-0.05, 0.051, 0.01), (-0.1, 0.14, 0.01)
DARKEST = 20.0
#: Contrast from which there are rims: change a pixel, as a share of the face's luminance.
RIMS = 0.095


def rim_contrast(picture: Pixels, face: FaceMesh) -> float:
    """Contrast of the weakest of both rims and the bridge.

    Args:
        picture: (H, W, 3) uint8 RGB.
        face: one of its faces.

    Returns:
        Change of luminance a pixel, at `SCALE` pixels a face width, as a share of the luminance.
    """
    x, y = (float(one) for one in face.eyes.mean(axis=0))
    square = TurnedSquare(x=x, y=y, side=SIDE * face.width, angle=face.upright)
    side = round(SIDE * SCALE)
    gray = cv2.cvtColor(square.cut(picture, side, cv2.BORDER_REPLICATE), cv2.COLOR_RGB2GRAY)
    smooth = cv2.GaussianBlur(gray.astype(np.float32), (0, 0), SMOOTHING)
    across, down = (cv2.Sobel(smooth, cv2.CV_32F, dx, 1 - dx, scale=1 / 8) for dx in (1, 0))
    matrix = square.affine(side)
    eyes = face.eyes @ matrix[:, :2].T + matrix[:, 2]
    angles = np.deg2rad(np.arange(*ANGLES))[:, None]
    distances = SCALE * np.arange(*REACH)[None]
    found = []
    for eye in eyes:
        x, y = float(eye[0]), float(eye[1])
        outwards = np.cos(angles), np.sin(angles)
        rays = x + outwards[0] * distances, y + outwards[1] * distances
        radial = np.asarray(_at(across, *rays) * outwards[0] + _at(down, *rays) * outwards[1])
        found.append(float(np.median(np.abs(radial).max(axis=1))))
    middle = eyes.mean(axis=0)
    columns = middle[0] + SCALE * np.arange(*ACROSS)
    rows = middle[1] + SCALE * np.arange(*DOWN)
    x_of, y_of = np.meshgrid(columns, rows)
    bridge = np.abs(_at(down, x_of, y_of))
    found.append(float(np.median(bridge.max(axis=0))))
    return min(found) / max(DARKEST, float(np.median(smooth)))


def _at(values: NDArray[Any], x: NDArray[np.floating], y: NDArray[np.floating]) -> Floats:
    """Samples of a map at coordinates of one shape."""
    border = cv2.BORDER_REPLICATE
    sampled = cv2.remap(
        values, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR, borderMode=border
    )
    return np.asarray(sampled, np.float32)
