"""What each pixel belongs to: a segmenter of ADE20K's classes, such as UperNet or SegFormer.

Xiao et al., "Unified Perceptual Parsing for Scene Understanding" (ECCV 2018).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForSemanticSegmentation
from transformers.models.segformer.image_processing_pil_segformer import SegformerImageProcessorPil

from inference.photo import Pixels

Classes = NDArray[np.uint8]
"""(H, W), the number of an ADE20K class, 0–149."""


class RoomSegmenter:
    """A semantic segmenter on one device. Not thread-safe."""

    def __init__(
        self,
        model: AutoModelForSemanticSegmentation,
        processor: SegformerImageProcessorPil,
        device: torch.device,
    ) -> None:
        self._model = model.to(device).eval()
        self._processor = processor
        self._device = device

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> RoomSegmenter:
        """Load model and processor from a local folder, in float32."""
        model = AutoModelForSemanticSegmentation.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, local_files_only=True
        )
        # UperNet's repositories name SegFormer's processor too.
        processor = SegformerImageProcessorPil.from_pretrained(folder, local_files_only=True)
        return cls(model, processor, device)

    @torch.inference_mode()
    def find(self, picture: Pixels) -> Classes:
        """The class of each pixel of a picture, (H, W, 3) uint8 RGB."""
        pixels = self._processor(
            picture, input_data_format="channels_last", return_tensors="pt"
        ).pixel_values
        outputs = self._model(pixels.to(self._device))
        found = self._processor.post_process_semantic_segmentation(outputs, [picture.shape[:2]])[0]
        return np.asarray(found.cpu().numpy(), dtype=np.uint8)
