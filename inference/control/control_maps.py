"""Control maps (conditioning images) for ControlNet: one function per kind, listed in `CONTROLS`.

Zhang, Rao and Agrawala, "Adding Conditional Control to Text-to-Image Diffusion Models"
(ICCV 2023).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from inference.control.ade20k_palette import ade20k_palette
from inference.control.openpose_skeleton import Keypoints, coco_to_openpose, draw_openpose
from inference.picture.photo import Pixels

CANNY_LOW, CANNY_HIGH = 100, 200
# Standard deviations in pixels of a 512² picture, scaled with the picture's short side.
LINE_WIDTH, EDGE_SCALES = 1.0, (1.0, 2.0, 4.0)
# Contrast, in 0–1, that becomes full white, and the share of it below which nothing is drawn.
LINE_CONTRAST, LINE_FLOOR, EDGE_CONTRAST = 0.03, 0.2, 0.1
SHORTEST_SEGMENT = 0.05  # of the short side
TILE_SHRINK = 4
# Controls whose ControlNet gets -1 in the place of the map where the picture is repainted.
MASKED_CONTROLS = frozenset({"inpaint"})


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Input of the control map functions: a picture, and estimators that run only when called.

    Attributes:
        picture: the painted part of the photo, (H, W, 3) uint8 RGB at generation size.
        keypoints: returns the person's COCO key points, (17, 3), in pixels of `picture`.
        nearness: returns inverse depth, (H, W); larger is nearer.
        classes: returns the ADE20K class of each pixel, (H, W), 0–149.
        repaint: (H, W), true where the picture is repainted; None for nowhere.
    """

    picture: Pixels = field(repr=False)
    keypoints: Callable[[], Keypoints] = field(repr=False)
    nearness: Callable[[], npt.NDArray[np.float32]] = field(repr=False)
    classes: Callable[[], npt.NDArray[np.uint8]] = field(repr=False)
    repaint: npt.NDArray[np.bool_] | None = field(default=None, repr=False)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.picture.shape[1], self.picture.shape[0]


def draw_pose(scene: Scene) -> Pixels:
    """The OpenPose skeleton on black (Cao et al., 2019)."""
    return draw_openpose(coco_to_openpose(scene.keypoints()), scene.size)


def draw_canny(scene: Scene) -> Pixels:
    """Canny edges (1986) in white on black, at the thresholds that ControlNet was trained with."""
    edges = cv2.Canny(scene.picture, CANNY_LOW, CANNY_HIGH)
    return np.asarray(cv2.cvtColor(edges, cv2.COLOR_GRAY2RGB), dtype=np.uint8)


def draw_lineart(scene: Scene) -> Pixels:
    """Line art: the picture's dark lines in white on black, by a difference of Gaussians.

    Marr and Hildreth, "Theory of Edge Detection" (1980).
    """
    width = LINE_WIDTH * _unit(scene)
    gray = _gray(scene)
    fine, coarse = (cv2.GaussianBlur(gray, (0, 0), sigma) for sigma in (width, 1.6 * width))
    darker = np.clip((coarse - fine) / LINE_CONTRAST - LINE_FLOOR, 0, 1)
    return _rgb(darker * 255)


def draw_mlsd(scene: Scene) -> Pixels:
    """Straight line segments in white on black (LSD, Grompone von Gioi et al. 2010)."""
    gray = np.rint(_gray(scene) * 255).astype(np.uint8)
    drawn = np.zeros_like(gray)
    found = cv2.createLineSegmentDetector().detect(gray)[0]
    shortest = SHORTEST_SEGMENT * min(scene.size)
    for x0, y0, x1, y1 in [] if found is None else found.reshape(-1, 4):
        if np.hypot(x1 - x0, y1 - y0) >= shortest:
            start, end = ((round(float(x)), round(float(y))) for x, y in ((x0, y0), (x1, y1)))
            cv2.line(drawn, start, end, 255, max(1, round(_unit(scene))))
    return _rgb(drawn)


def draw_hed(scene: Scene) -> Pixels:
    """Soft edges in white on black: the magnitude of the colour gradient over several scales.

    Replaces the network of Xie and Tu, "Holistically-Nested Edge Detection" (ICCV 2015).
    """
    picture = scene.picture.astype(np.float32) / 255
    total = np.zeros(scene.picture.shape[:2], dtype=np.float32)
    for sigma in (_unit(scene) * scale for scale in EDGE_SCALES):
        smooth = cv2.GaussianBlur(picture, (0, 0), sigma)
        across, along = (cv2.Sobel(smooth, cv2.CV_32F, dx, 1 - dx, scale=1 / 8) for dx in (1, 0))
        total += sigma * np.hypot(across, along).max(axis=2)
    edges = 1 - np.exp(-total / len(EDGE_SCALES) / EDGE_CONTRAST)
    return _rgb(cv2.GaussianBlur(edges, (0, 0), _unit(scene)) * 255)


def draw_tile(scene: Scene) -> Pixels:
    """The picture downscaled and upscaled again, for ControlNet tile, which adds fine detail."""
    small = tuple(max(1, round(side / TILE_SHRINK)) for side in scene.size)
    coarse = cv2.resize(scene.picture, small, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(coarse, scene.size, interpolation=cv2.INTER_CUBIC), np.uint8)


def draw_qr(scene: Scene) -> Pixels:
    """Luminance binarized at the threshold of Otsu (1979)."""
    gray = np.rint(_gray(scene) * 255).astype(np.uint8)
    return _rgb(cv2.threshold(gray, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[1])


def draw_depth(scene: Scene) -> Pixels:
    """Inverse depth as gray: the nearest pixel white, the farthest black."""
    nearness = scene.nearness()
    low, high = float(nearness.min()), float(nearness.max())
    return _rgb((nearness - low) * (255 / max(high - low, 1e-6)))


def draw_segmentation(scene: Scene) -> Pixels:
    """Each pixel in the colour of its ADE20K class."""
    return ade20k_palette()[scene.classes()]


def draw_inpaint(scene: Scene) -> Pixels:
    """What is kept of the picture, and black where it is repainted; see `MASKED_CONTROLS`."""
    if scene.repaint is None:
        return scene.picture
    return np.where(scene.repaint[..., None], np.uint8(0), scene.picture)


def draw_photo(scene: Scene) -> Pixels:
    """The picture itself, for an IP-Adapter."""
    return scene.picture


def _unit(scene: Scene) -> float:
    """Ratio of the picture's short side to 512 pixels."""
    return min(scene.size) / 512


def _gray(scene: Scene) -> npt.NDArray[np.float32]:
    """Luminance in 0–1."""
    gray = cv2.cvtColor(scene.picture, cv2.COLOR_RGB2GRAY)
    return np.asarray(gray, dtype=np.float32) / np.float32(255)


def _rgb(gray: npt.NDArray[Any]) -> Pixels:
    """Convert (H, W) gray in 0–255 to (H, W, 3) uint8 with three equal channels."""
    return np.repeat(np.rint(gray).astype(np.uint8)[..., None], 3, axis=2)


CONTROLS: Mapping[str, Callable[[Scene], Pixels]] = MappingProxyType(
    {
        "pose": draw_pose,
        "canny": draw_canny,
        "depth": draw_depth,
        "lineart": draw_lineart,
        "mlsd": draw_mlsd,
        "hed": draw_hed,
        "tile": draw_tile,
        "segroom": draw_segmentation,
        "composition": draw_photo,
        "reference": draw_photo,
        "ipadapter": draw_photo,
        "qr": draw_qr,
        "inpaint": draw_inpaint,
    }
)
