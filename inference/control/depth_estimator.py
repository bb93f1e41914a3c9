"""Monocular depth estimation by Depth Anything (Yang et al. 2024, arXiv:2406.09414) or DPT."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForDepthEstimation
from transformers.models.dpt.image_processing_pil_dpt import DPTImageProcessorPil

from inference.picture.photo import Pixels
from inference.runtime.library_errors import check_finite
from inference.runtime.pretrained import Pretrained

#: Inverse depth, (H, W), larger is nearer; scale and offset depend on the model.
Nearness = NDArray[np.float32]


class DepthEstimator(Pretrained):
    """A depth model on one device. Not thread-safe."""

    MODEL = AutoModelForDepthEstimation
    PROCESSOR = DPTImageProcessorPil

    @torch.inference_mode()
    def find(self, picture: Pixels) -> Nearness:
        """Inverse depth of each pixel of a picture, (H, W, 3) uint8 RGB."""
        pixels = self._processor(
            picture, input_data_format="channels_last", return_tensors="pt"
        ).pixel_values
        outputs = self._model(pixels.to(self._device))
        check_finite(outputs.predicted_depth)
        found = self._processor.post_process_depth_estimation(outputs, [picture.shape[:2]])[0]
        return np.asarray(found["predicted_depth"].cpu().numpy(), dtype=np.float32)
