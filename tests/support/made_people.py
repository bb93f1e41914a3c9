"""Bodies and faces made of a few known points, without any model."""

from __future__ import annotations

import numpy as np

from inference.people.body_landmarks import Body
from inference.people.face_mesh import EYES, FaceMesh
from inference.people.turned_square import Floats, TurnedSquare


def body_of(points: Floats | None = None, canvas: tuple[int, int] = (400, 600)) -> Body:
    """A body whose point k is at (10·k, 5·k), fully seen."""
    if points is None:
        k = np.arange(33, dtype=np.float32)
        points = np.stack([10 * k, 5 * k, np.ones(33), np.ones(33)], axis=1).astype(np.float32)
    square = TurnedSquare(x=200, y=300, side=500)
    mask = np.ones((256, 256), dtype=np.float32)
    return Body(points=points, score=1.0, square=square, mask=mask, canvas=canvas)


def face_at(x: float, y: float, width: float = 40, turn: float = 0.0) -> FaceMesh:
    """A face with its eyes, nose and sides; `turn` moves the nose towards a side, -0.5 to 0.5."""
    points = np.zeros((468, 3), dtype=np.float32)
    for ring, side in zip(EYES, (-0.25, 0.25), strict=True):
        points[list(ring), :2] = side, 0
    points[[234, 454], :2] = (-0.5, 0.1), (0.5, 0.1)
    points[4, :2] = turn, 0.3
    points[:, :2] = points[:, :2] * width + (x, y)
    return FaceMesh(points=points, score=0.95, canvas=(400, 600))
