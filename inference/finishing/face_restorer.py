"""Face restoration by GFPGAN (Wang et al., CVPR 2021, arXiv:2101.04061) as an ONNX graph.

Optional: needs onnxruntime, because the model's own packages cannot be installed with a current
PyTorch. An ONNX graph holds weights and operators, but no code.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.control.openpose_skeleton import MIN_SCORE, Keypoints
from inference.errors import MissingModel, PaintingFailed
from inference.picture.compositing import Alpha
from inference.picture.geometry import Box
from inference.picture.photo import Pixels

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

# Positions of these COCO key points in the model's aligned 512² crops, which are those of FFHQ
# (Karras et al., CVPR 2019).
SIDE = 512
NOSE_AND_EYES = (0, 1, 2)
TEMPLATE = ((256.6, 314.0), (318.9, 240.2), (193.0, 240.0))
MAX_OVERSAMPLING = 8  # samples a side for each pixel of a crop
EDGE = 24  # width of the fading border of a crop
HOW_TO_INSTALL = (
    "Faces were only repainted faintly: for a model that restores them, run "
    "«pip install onnxruntime» where Masquerade runs."
)


@dataclass(frozen=True, kw_only=True)
class RestoredFace:
    """A box of a picture with its face restored.

    Attributes:
        pixels: (h, w, 3) uint8 RGB.
        alpha: (h, w) uint8, 255 = restored.
    """

    pixels: Pixels = field(repr=False)
    alpha: Alpha = field(repr=False)


class FaceRestorer:
    """A face restoration network. Not thread-safe."""

    def __init__(self, session: InferenceSession) -> None:
        self._session = session
        self._input = session.get_inputs()[0]

    @staticmethod
    def is_installed() -> bool:
        """Whether onnxruntime is installed."""
        return importlib.util.find_spec("onnxruntime") is not None

    @classmethod
    def load(cls, folder: Path) -> FaceRestorer:
        """Load the .onnx file of a folder.

        Raises:
            MissingModel: the folder has no .onnx file, or it is damaged.
        """
        from onnxruntime import InferenceSession
        from onnxruntime.capi import onnxruntime_pybind11_state as runtime

        faults = (
            StopIteration, runtime.Fail, runtime.InvalidArgument, runtime.InvalidGraph,
            runtime.InvalidProtobuf, runtime.NotImplemented,
        )  # fmt: skip
        try:
            file = next(folder.glob("*.onnx"))
            return cls(InferenceSession(file, providers=["CPUExecutionProvider"]))
        except faults as error:
            raise MissingModel(
                f"There is no usable .onnx file in {folder.name}: correct the catalog's restorer."
            ) from error

    def restore(self, picture: Pixels, points: Keypoints, box: Box) -> RestoredFace | None:
        """Restore one face.

        Args:
            picture: (H, W, 3) uint8 RGB.
            points: the person's COCO key points, (17, 3), in pixels of `picture`.
            box: the part of the picture to return.

        Returns:
            The box; None where nose and eyes are not all visible.

        Raises:
            PaintingFailed: the output is not a picture, or not finite.
        """
        seen = points[list(NOSE_AND_EYES)]
        if (seen[:, 2] < MIN_SCORE).any():
            return None
        to_crop = _alignment(seen[:, :2])
        crop = _crop(picture, to_crop)
        back = cv2.invertAffineTransform(to_crop)
        back[:, 2] -= (box.left, box.top)
        inner = np.zeros((SIDE, SIDE), dtype=np.uint8)
        inner[EDGE:-EDGE, EDGE:-EDGE] = 255
        fading = cv2.blur(inner, (2 * EDGE - 1, 2 * EDGE - 1))
        pixels = cv2.warpAffine(self._run(crop), back, box.size, flags=cv2.INTER_LINEAR)
        alpha = cv2.warpAffine(fading, back, box.size, flags=cv2.INTER_LINEAR)
        return RestoredFace(pixels=np.asarray(pixels, np.uint8), alpha=np.asarray(alpha, np.uint8))

    def _run(self, crop: NDArray[np.uint8]) -> Pixels:
        """Run the network on a crop; its tensors are (1, 3, side, side) in −1…1."""
        shape = self._input.shape
        side = shape[2] if isinstance(shape[2], int) else SIDE
        sized = cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA)
        given = (sized.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)[None]
        made = np.asarray(self._session.run(None, {self._input.name: given})[0])[0]
        if made.ndim != 3 or made.shape[0] != 3 or not np.isfinite(made).all():
            raise PaintingFailed("The face model gave no picture: turn Correct faces off.")
        levels = np.rint((np.clip(made, -1, 1).transpose(1, 2, 0) + 1) * 127.5).astype(np.uint8)
        return np.asarray(cv2.resize(levels, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC), np.uint8)


def _crop(picture: Pixels, to_crop: NDArray[np.float64]) -> Pixels:
    """The aligned crop; a large face is oversampled and averaged."""
    finer = int(np.clip(round(1 / np.hypot(*to_crop[:, 0])), 1, MAX_OVERSAMPLING))
    size = SIDE * finer, SIDE * finer
    fine = cv2.warpAffine(picture, to_crop * finer, size, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(cv2.resize(fine, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def _alignment(points: NDArray[np.float32]) -> NDArray[np.float64]:
    """The similarity transform, (2, 3), that brings nose and eyes nearest to the template.

    Least squares over its four parameters (Umeyama 1991, without reflection).
    """
    wanted = np.array(TEMPLATE)
    x, y = points.astype(np.float64).T
    one, none = np.ones_like(x), np.zeros_like(x)
    rows = np.concatenate([np.stack([x, -y, one, none], 1), np.stack([y, x, none, one], 1)])
    a, b, right, down = np.linalg.lstsq(rows, wanted.T.ravel(), rcond=None)[0]
    return np.array([[a, -b, right], [b, a, down]])
