"""How near each pixel is: Depth Anything (Yang et al. 2024, arXiv:2406.09414) or DPT."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForDepthEstimation
from transformers.models.dpt.image_processing_pil_dpt import DPTImageProcessorPil

from inference.faults import sound
from inference.photo import Pixels

Nearness = NDArray[np.float32]
"""(H, W), larger is nearer; unit and zero are the model's own."""


class DepthEstimator:
    """A depth model on one device. Not thread-safe."""

    def __init__(
        self,
        model: AutoModelForDepthEstimation,
        processor: DPTImageProcessorPil,
        device: torch.device,
    ) -> None:
        self._model = model.to(device).eval()
        self._processor = processor
        self._device = device

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> DepthEstimator:
        """Load model and processor from a local folder, in float32."""
        model = AutoModelForDepthEstimation.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, local_files_only=True
        )
        processor = DPTImageProcessorPil.from_pretrained(folder, local_files_only=True)
        return cls(model, processor, device)

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
