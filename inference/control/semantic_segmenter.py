"""Semantic segmentation into the 150 ADE20K classes, by UperNet or SegFormer.

Xiao et al., "Unified Perceptual Parsing for Scene Understanding" (ECCV 2018); Xie et al.,
"SegFormer" (NeurIPS 2021).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForSemanticSegmentation
from transformers.models.segformer.image_processing_pil_segformer import SegformerImageProcessorPil

from inference.picture.photo import Pixels
from inference.runtime.pretrained import Pretrained

#: (H, W), the index of an ADE20K class, 0–149.
Classes = NDArray[np.uint8]


class SemanticSegmenter(Pretrained):
    """A semantic segmenter on one device. Not thread-safe."""

    MODEL = AutoModelForSemanticSegmentation
    PROCESSOR = SegformerImageProcessorPil  # also named by UperNet's repositories

    @torch.inference_mode()
    def find(self, picture: Pixels) -> Classes:
        """The class of each pixel of a picture, (H, W, 3) uint8 RGB."""
        pixels = self._processor(
            picture, input_data_format="channels_last", return_tensors="pt"
        ).pixel_values
        outputs = self._model(pixels.to(self._device))
        found = self._processor.post_process_semantic_segmentation(outputs, [picture.shape[:2]])[0]
        return np.asarray(found.cpu().numpy(), dtype=np.uint8)
