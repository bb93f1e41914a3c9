"""Control maps: what of the photo a ControlNet sees. A new control is one function and one row.

Zhang, Rao and Agrawala, "Adding Conditional Control to Text-to-Image Diffusion Models"
(ICCV 2023).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import cv2
import numpy as np

from inference.photo import Pixels
from inference.skeleton import Keypoints, coco_to_openpose, draw_openpose

CANNY_LOW, CANNY_HIGH = 100, 200


@dataclass(frozen=True, kw_only=True)
class Scene:
    """The part of the photo that is painted, as a ControlNet's map is drawn from it.

    Attributes:
        picture: (H, W, 3) uint8 RGB at generation size.
        keypoints: finds the person's COCO key points, (17, 3), in pixels of `picture`; a call,
            because only the maps that need it should pay for it.
    """

    picture: Pixels = field(repr=False)
    keypoints: Callable[[], Keypoints] = field(repr=False)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.picture.shape[1], self.picture.shape[0]


def draw_pose(scene: Scene) -> Pixels:
    """The OpenPose skeleton on black (Cao et al., 2019)."""
    return draw_openpose(coco_to_openpose(scene.keypoints()), scene.size)


def draw_canny(scene: Scene) -> Pixels:
    """White edges on black (Canny, 1986), at the thresholds that ControlNet was trained with."""
    edges = cv2.Canny(scene.picture, CANNY_LOW, CANNY_HIGH)
    return np.asarray(cv2.cvtColor(edges, cv2.COLOR_GRAY2RGB), dtype=np.uint8)


CONTROLS: Mapping[str, Callable[[Scene], Pixels]] = MappingProxyType(
    {"pose": draw_pose, "canny": draw_canny}
)
