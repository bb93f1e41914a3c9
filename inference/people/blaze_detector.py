"""Single-shot detectors of MediaPipe: BlazeFace (arXiv:1907.05047) and BlazePose's detector.

Each anchor of a fixed grid has a score, the offset and size of a box, and key points.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from inference.people.turned_square import Floats, TurnedSquare
from inference.picture.geometry import Size, fit_within
from inference.picture.photo import Pixels
from inference.runtime.tflite import TfliteModel, picture_tensor

LONGEST = 1024  # side of a picture in which objects are searched, in pixels
MIN_SCORE = 0.5
MAX_OVERLAP = 0.3  # intersection over union of two boxes of one object
MAX_COVERED = 0.6  # of the smaller box
TILE_OVERLAP = 1 / 3
LONGEST_ASPECT = 3  # where tiles begin to grow


@dataclass(frozen=True, kw_only=True)
class Detection:
    """A detected object.

    Attributes:
        box: (4,) left, top, right, bottom, in pixels of the picture.
        points: (N, 2) the detector's key points, in pixels of the picture.
        score: in 0–1.
    """

    box: Floats = field(repr=False)
    points: Floats = field(repr=False)
    score: float

    @property
    def side(self) -> float:
        """The longer side of the box, in pixels."""
        return float((self.box[2:] - self.box[:2]).max())


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How a detector is called and its outputs are read.

    Attributes:
        grids: (stride in pixels, anchors a cell), in the order of the outputs.
        black: the value of black in its input; white is 1.
        boxes: name of the output (1, anchors, 4 + 2·points): x, y, width, height, points.
        scores: name of the output (1, anchors, 1), logits.
    """

    grids: tuple[tuple[int, int], ...]
    black: float
    boxes: str
    scores: str


class BlazeDetector:
    """A detector with its anchors. Thread-safe."""

    def __init__(self, model: TfliteModel, layout: Layout) -> None:
        self._model = model
        self._layout = layout
        self._side = model.input_size[0]
        self._anchors = anchors(self._side, layout.grids)

    def find(
        self, picture: Pixels, square: TurnedSquare, border: int = cv2.BORDER_CONSTANT
    ) -> list[Detection]:
        """All objects in a square of a picture, before overlapping ones are removed."""
        crop = square.cut(picture, self._side, border)
        found = self._model.run(picture_tensor(crop, self._layout.black))
        scores = sigmoid(found[self._layout.scores][0, :, 0])
        chosen = np.flatnonzero(scores >= MIN_SCORE)
        rows = decode(found[self._layout.boxes][0, chosen], self._anchors[chosen], self._side)
        return [
            _placed(row, float(score), square)
            for row, score in zip(rows, scores[chosen], strict=True)
        ]


def anchors(side: int, grids: Sequence[tuple[int, int]]) -> Floats:
    """Centres of the anchors, (N, 2): x, y in 0–1 of the input, rows first.

    Args:
        side: of the input, in pixels.
        grids: (stride, anchors a cell) of each grid.
    """
    parts = []
    for stride, count in grids:
        cells = side // stride
        y, x = np.divmod(np.arange(cells * cells), cells)
        parts.append(np.repeat((np.stack([x, y], axis=1) + 0.5) / cells, count, axis=0))
    return np.concatenate(parts).astype(np.float32)


def decode(values: Floats, centres: Floats, side: int) -> Floats:
    """Read boxes and key points from a detector's output.

    Args:
        values: (N, 4 + 2·points), in pixels of the input: x, y from the anchor, width, height,
            then x, y of each key point from the anchor.
        centres: (N, 2), the anchors in 0–1.
        side: of the input, in pixels.

    Returns:
        (N, 2 + points, 2) in 0–1 of the input: upper left and lower right corner, key points.
    """
    pairs = values.reshape(len(values), values.shape[1] // 2, 2) / side
    middle, half = pairs[:, 0] + centres, pairs[:, 1] / 2
    points = pairs[:, 2:] + centres[:, None]
    return np.concatenate([(middle - half)[:, None], (middle + half)[:, None], points], axis=1)


def suppress(found: Sequence[Detection]) -> list[Detection]:
    """Non-maximum suppression: of overlapping detections the one with the best score, best first.

    A box that lies for the most part in a better one is removed too: parts of an object that a
    tile cuts through look like that.
    """
    kept: list[Detection] = []
    for one in sorted(found, key=lambda it: -it.score):
        if not any(_is_same(one.box, other.box) for other in kept):
            kept.append(one)
    return kept


def tiles(size: Size, share: float) -> Iterator[TurnedSquare]:
    """Overlapping squares that cover a picture.

    Args:
        size: (width, height) of the picture.
        share: side of a square, as a share of the geometric mean of the picture's sides. In a very
            long picture the squares are larger, so that they stay few.
    """
    side = share * max(float(np.sqrt(size[0] * size[1])), max(size) / LONGEST_ASPECT)
    for y in _centres(size[1], side):
        for x in _centres(size[0], side):
            yield TurnedSquare(x=x, y=y, side=side)


def whole(size: Size, border: float = 0.0) -> TurnedSquare:
    """The square round a whole picture, wider by a border: a share of its side on each side."""
    return TurnedSquare(x=size[0] / 2, y=size[1] / 2, side=max(size) * (1 + 2 * border))


def shrink(picture: Pixels) -> tuple[Pixels, Floats]:
    """The picture at the size at which objects are searched, and what its pixels measure.

    Returns:
        The picture, its longer side at most `LONGEST`, and the (width, height) of one of its
        pixels in pixels of the original, (2,).
    """
    size = (picture.shape[1], picture.shape[0])
    small = fit_within(size, LONGEST)
    scale = np.array([size[0] / small[0], size[1] / small[1]], dtype=np.float32)
    if small == size:
        return picture, scale
    return np.asarray(cv2.resize(picture, small, interpolation=cv2.INTER_AREA), np.uint8), scale


def sigmoid(logits: Floats) -> Floats:
    """The logistic function, without overflow."""
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -60, 60))), dtype=np.float32)


def _centres(length: float, side: float) -> list[float]:
    if length <= side:
        return [length / 2]
    count = int(np.ceil((length - side) / (side * (1 - TILE_OVERLAP)))) + 1
    return [float(one) for one in np.linspace(side / 2, length - side / 2, count)]


def _placed(row: Floats, score: float, square: TurnedSquare) -> Detection:
    """A decoded row, in pixels of the picture. The box of a turned square is kept upright."""
    placed = square.to_picture(row)
    middle = placed[:2].mean(axis=0)
    half = np.abs(row[1] - row[0]) * (square.side / 2)
    return Detection(box=np.concatenate([middle - half, middle + half]), points=placed[2:],
                     score=score)  # fmt: skip


def _is_same(a: Floats, b: Floats) -> bool:
    common = float(np.prod(np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0)))
    areas = [max(float(np.prod(one[2:] - one[:2])), 1e-6) for one in (a, b)]
    return common > MAX_OVERLAP * (sum(areas) - common) or common > MAX_COVERED * min(areas)
