"""Point-prompted segmentation by SAM: the thing at a point of a picture.

Kirillov et al., "Segment Anything" (ICCV 2023); Chen et al., "SlimSAM" (NeurIPS 2024,
arXiv:2312.05284) prunes its encoder. The encoder runs once per picture (`encode_image`); each point
then costs one pass through the small decoder (`segment`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from transformers import SamModel
from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

from inference.mask.heatmap import Floats
from inference.picture.geometry import Size
from inference.picture.photo import Pixels
from inference.recipe.strokes import Point, Stroke
from inference.runtime.library_errors import check_finite
from inference.runtime.pretrained import Pretrained


@dataclass(frozen=True, kw_only=True)
class ImageEmbedding:
    """The encoder's output for one picture.

    Attributes:
        features: (1, C, s, s), of the picture and the padding on its right or below it.
        size: (width, height) of the picture within the encoder's square input.
    """

    features: torch.Tensor = field(repr=False)
    size: Size


class PointSegmenter(Pretrained):
    """SAM on one device. Not thread-safe."""

    MODEL = SamModel
    PROCESSOR = SamImageProcessorPil

    @property
    def side(self) -> int:
        """The side of the encoder's input, in pixels."""
        return int(self._model.config.vision_config.image_size)

    @torch.inference_mode()
    def encode_image(self, picture: Pixels) -> ImageEmbedding:
        """Run the encoder.

        Args:
            picture: (H, W, 3) uint8 RGB of any size.
        """
        inputs = self._processor(picture, input_data_format="channels_last", return_tensors="pt")
        height, width = (int(side) for side in inputs["reshaped_input_sizes"][0])
        features = self._model.get_image_embeddings(inputs["pixel_values"].to(self._device))
        return ImageEmbedding(features=check_finite(features), size=(width, height))

    @torch.inference_mode()
    def segment(self, seen: ImageEmbedding, point: Point) -> Floats:
        """Find the thing at a point.

        Args:
            seen: what `encode_image` returned for the picture.
            point: in ten-thousandths of the picture, as in a `Stroke`.

        Returns:
            (h, w) logits over the picture. Of the model's three answers (a part, a larger part, the
            whole), the one that it judges best.
        """
        at = [where * side / Stroke.UNIT for where, side in zip(point, seen.size, strict=True)]
        outputs = self._model(
            image_embeddings=seen.features,
            input_points=torch.tensor([[[at]]], device=self._device),
            multimask_output=True,
        )
        best = int(outputs.iou_scores[0, 0].argmax())
        logits = check_finite(outputs.pred_masks[0, 0, best]).float().cpu().numpy()
        scale = logits.shape[0] / self.side
        width, height = (max(1, round(side * scale)) for side in seen.size)
        return np.asarray(logits[:height, :width], np.float32)
