"""How near each pixel is: Depth Anything (Yang et al. 2024, arXiv:2406.09414) or DPT."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForDepthEstimation
from transformers.models.dpt.image_processing_pil_dpt import DPTImageProcessorPil

from inference.faults import sound
from inference.photo import Pixels
from inference.pretrained import Pretrained

Nearness = NDArray[np.float32]
"""(H, W), larger is nearer; unit and zero are the model's own."""


class DepthEstimator(Pretrained):
    """A depth model on one device. Not thread-safe."""

    MODEL = AutoModelForDepthEstimation
    PROCESSOR = DPTImageProcessorPil

    @torch.inference_mode()
    def find(self, picture: Pixels) -> Nearness:
        """The nearness of each pixel of a picture, (H, W, 3) uint8 RGB."""
        pixels = self._processor(
            picture, input_data_format="channels_last", return_tensors="pt"
        ).pixel_values
        outputs = self._model(pixels.to(self._device))
        sound(outputs.predicted_depth)
        found = self._processor.post_process_depth_estimation(outputs, [picture.shape[:2]])[0]
        return np.asarray(found["predicted_depth"].cpu().numpy(), dtype=np.float32)
