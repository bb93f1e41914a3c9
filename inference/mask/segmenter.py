"""Text-prompted segmentation by CLIPSeg: heatmaps of phrases in a photo.

Lüddecke and Ecker, "Image Segmentation Using Text and Image Prompts" (CVPR 2022). The vision tower
runs once per photo (`encode_image`); each phrase then costs one text encoding and its share of one
batched pass through the small decoder (`segment`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
import torch
from PIL import Image
from transformers import CLIPSegForImageSegmentation, CLIPSegProcessor, CLIPTokenizer
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from inference.mask.familiarity import Familiarity, grain
from inference.mask.heatmap import Heatmap
from inference.picture.photo import Pixels
from inference.runtime.library_errors import check_finite
from inference.runtime.pretrained import Pretrained, load_model


@dataclass(frozen=True, kw_only=True)
class Activations:
    """The vision tower's output for one photo.

    Attributes:
        layers: a (1, tokens, width) tensor per extracted layer.
        grain: the photo's `familiarity.grain`; 0 for models of all kinds of pictures.
    """

    layers: tuple[torch.Tensor, ...] = field(repr=False)
    grain: float = 0.0


class Segmenter(Pretrained):
    """CLIPSeg on one device. Not thread-safe."""

    def __init__(
        self,
        model: CLIPSegForImageSegmentation,
        processor: CLIPSegProcessor,
        device: torch.device,
        familiarity: Familiarity | None = None,
    ) -> None:
        super().__init__(model, processor, device)
        self._familiarity = familiarity
        # Layers above the highest that the decoder reads are not needed.
        tower = self._model.clip.vision_model.encoder
        tower.layers = tower.layers[: max(model.extract_layers) + 1]

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> Self:
        """Load model and processor from a local folder, in float32: they are small."""
        model = load_model(CLIPSegForImageSegmentation, folder)
        # Explicit classes, because the class names in repositories' files have changed over time.
        processor = CLIPSegProcessor(
            image_processor=ViTImageProcessorPil.from_pretrained(folder, local_files_only=True),
            tokenizer=CLIPTokenizer.from_pretrained(folder, local_files_only=True),
        )
        return cls(model, processor, device, Familiarity.load(folder))

    def encode_image(self, picture: Pixels) -> Activations:
        """Run the vision tower on one picture, (H, W, 3) uint8 RGB of any size."""
        return self.encode_images([picture])[0]

    @torch.inference_mode()
    def encode_images(self, pictures: Sequence[Pixels]) -> list[Activations]:
        """Run the vision tower on several pictures at once; each gets what it gets alone."""
        images = [Image.fromarray(picture) for picture in pictures]
        pixels = self._processor.image_processor(images=images, return_tensors="pt").pixel_values
        hidden = self._model.clip.get_image_features(
            pixels.to(self._device), output_hidden_states=True
        ).hidden_states
        layers = check_finite(tuple(hidden[i + 1] for i in self._model.extract_layers))
        return [
            Activations(
                layers=tuple(layer[k : k + 1] for layer in layers),
                grain=0.0 if self.is_general else grain(picture),
            )
            for k, picture in enumerate(pictures)
        ]

    @property
    def is_general(self) -> bool:
        """Whether the model was trained on pictures of all kinds."""
        return self._familiarity is None

    def knows(self, seen: Activations) -> bool:
        """Whether a photo is like the few kinds of pictures that the model was trained on."""
        return self._familiarity is None or self._familiarity.knows(seen.layers, seen.grain)

    @torch.inference_mode()
    def segment(self, seen: Activations, phrases: Sequence[str]) -> tuple[Heatmap, ...]:
        """Find phrases in a photo.

        Args:
            seen: what `encode_image` returned for the photo.
            phrases: any number of them.

        Returns:
            One heatmap per phrase, in order, at the model's input resolution (352² for CLIPSeg).
        """
        if not phrases:
            return ()
        # Some tokenizers' files do not give the text encoder's length.
        longest = self._model.config.text_config.max_position_embeddings
        tokens = self._processor.tokenizer(
            list(phrases), padding=True, truncation=True, max_length=longest, return_tensors="pt"
        ).to(self._device)
        words = self._model.clip.get_text_features(
            tokens.input_ids, attention_mask=tokens.attention_mask
        ).pooler_output
        # The decoder broadcasts the one photo over all phrases.
        logits = check_finite(self._model.decoder(list(seen.layers), words).logits)
        maps = logits.reshape(len(phrases), *logits.shape[-2:]).float().cpu().numpy()
        return tuple(
            Heatmap(phrase=phrase, logits=np.asarray(one, dtype=np.float32))
            for phrase, one in zip(phrases, maps, strict=True)
        )
