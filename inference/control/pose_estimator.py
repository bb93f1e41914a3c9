"""Human pose estimation: COCO key points by ViTPose (Xu et al., NeurIPS 2022)."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from transformers import VitPoseForPoseEstimation
from transformers.models.vitpose.image_processing_pil_vitpose import VitPoseImageProcessorPil

from inference.control.openpose_skeleton import Keypoints
from inference.picture.geometry import Box
from inference.picture.photo import Pixels
from inference.runtime.library_errors import check_finite
from inference.runtime.pretrained import Pretrained


class PoseEstimator(Pretrained):
    """ViTPose on one device. Not thread-safe."""

    MODEL = VitPoseForPoseEstimation
    PROCESSOR = VitPoseImageProcessorPil

    @torch.inference_mode()
    def find(self, picture: Pixels, person: Box) -> Keypoints:
        """The 17 COCO key points of the person in a box.

        Args:
            picture: (H, W, 3) uint8 RGB.
            person: the box around the person.

        Returns:
            (17, 3) float32: x and y in pixels of `picture`, score in 0–1.
        """
        boxes = [[[float(person.left), float(person.top), *map(float, person.size)]]]
        pixels = self._processor(Image.fromarray(picture), boxes=boxes, return_tensors="pt")
        outputs = self._model(pixels.pixel_values.to(self._device))
        check_finite(outputs.heatmaps)
        found = self._processor.post_process_pose_estimation(outputs, boxes=boxes)[0][0]
        points = torch.cat([found["keypoints"], found["scores"][:, None]], dim=1)
        return points.numpy().astype(np.float32)
