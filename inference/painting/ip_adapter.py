"""IP-Adapters: pictures as prompts, on a loaded checkpoint.

Ye et al. 2023, "IP-Adapter: Text Compatible Image Prompt Adapter" (arXiv:2308.06721). An adapter
adds cross-attention to a picture's embeddings beside that to the prompt's. Adapters are attached
for one job; without any, the UNet's own attention runs and its output is bit-identical.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from diffusers import StableDiffusionInpaintPipeline
from diffusers.models.embeddings import ImageProjection, MultiIPAdapterImageProjection
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import CLIPVisionModelWithProjection
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from inference.errors import InvalidCatalog
from inference.painting.inpainting import ControlInput
from inference.picture.photo import Pixels
from inference.runtime.cache import Cache, digest
from inference.runtime.load_lock import MODEL_CONSTRUCTION
from inference.runtime.memory import ModelOffloader

Weights = dict[str, dict[str, torch.Tensor]]
#: Unconditional embedding, and embedding of a picture.
Embeddings = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class ImagePrompts:
    """The pictures of a job's attached adapters, encoded for the UNet.

    Attributes:
        embeddings: one tensor per adapter, for both halves of guidance where it is on.
        guides: their scales and parts of the steps, in the same order.
        scales: the list that the UNet's attention layers read at each step.
    """

    embeddings: list[torch.Tensor] = field(repr=False)
    guides: tuple[ControlInput, ...]
    scales: list[float]

    def set_scales(self, index: int, total: int) -> None:
        """Set the scales for step `index` of `total`; 0 for an adapter outside its steps."""
        self.scales[:] = [one.scale if one.guides(index, total) else 0.0 for one in self.guides]


class IPAdapters:
    """The IP-Adapters of one pipeline and their image encoders. Not thread-safe."""

    def __init__(self, pipe: StableDiffusionInpaintPipeline, offloader: ModelOffloader) -> None:
        self._unet = pipe.unet
        self._device = offloader.device
        self._offloader = offloader
        self._own_processors = dict(pipe.unet.attn_processors)
        self._weights: dict[str, Weights] = {}
        self._encoder_of: dict[str, Path] = {}
        self._encoders: dict[Path, CLIPVisionModelWithProjection] = {}
        self._embeddings: Cache[Embeddings] = Cache(8)
        self._attached: tuple[str, ...] = ()

    def __contains__(self, key: str) -> bool:
        """Whether the adapter of this control is loaded, attached or not."""
        return key in self._weights

    def add(self, key: str, file: Path, encoder: Path) -> None:
        """Load an adapter, without attaching it.

        Args:
            key: key of its control.
            file: its weights.
            encoder: folder of the CLIP image encoder that it was trained with.

        Raises:
            InvalidCatalog: there is no such file, or it was made for another kind of model.
        """
        try:
            weights = self._read(file)
            self._attach((weights,))
            if encoder not in self._encoders:
                with MODEL_CONSTRUCTION:
                    model = CLIPVisionModelWithProjection.from_pretrained(
                        encoder, dtype=self._unet.dtype, use_safetensors=True, local_files_only=True
                    )
                self._encoders[encoder] = self._offloader.place(model)
        except (OSError, SafetensorError, ValueError, RuntimeError, KeyError) as error:
            raise InvalidCatalog(
                f"The IP-Adapter {key!r} does not fit this style's model: correct its entry in "
                "the catalog, or choose another control."
            ) from error
        finally:
            self.detach()
        self._weights[key] = weights
        self._encoder_of[key] = encoder

    def detach(self) -> None:
        """Restore the UNet's own attention processors."""
        self._attached = ()
        self._unet.encoder_hid_proj = None
        self._unet.config.encoder_hid_dim_type = None
        self._unet.set_attn_processor(dict(self._own_processors))

    def attach(self, guides: Sequence[ControlInput], count: int, *, guided: bool) -> ImagePrompts:
        """Attach exactly the adapters that are among these guides.

        Args:
            guides: an adapter's map is the picture to encode, of any size.
            count: number of pictures painted at once.
            guided: whether there are two halves, the unconditional one first.
        """
        guides = [one for one in guides if one.control in self and one.scale > 0]
        keys = tuple(guide.control for guide in guides)
        if keys != self._attached:
            self.detach()
            if keys:
                self._attach([self._weights[key] for key in keys])
                self._attached = keys
        embeddings = []
        for index, guide in enumerate(guides):
            unconditional, conditional = self._embed(guide, index)
            halves = (unconditional, conditional) if guided else (conditional,)
            embeddings.append(torch.cat([half.repeat_interleave(count, 0) for half in halves]))
        scales = self._shared_scales(len(keys))
        return ImagePrompts(embeddings=embeddings, guides=tuple(guides), scales=scales)

    def _read(self, file: Path) -> Weights:
        weights: Weights = {"image_proj": {}, "ip_adapter": {}}
        for name, tensor in load_file(file).items():
            part, _, rest = name.partition(".")
            weights[part][rest] = tensor.to(self._unet.dtype)
        return weights

    def _attach(self, weights: Sequence[Weights]) -> None:
        """Attach as diffusers' own loader does, but without moving the whole UNet to the device."""
        unet = self._unet
        with MODEL_CONSTRUCTION:
            processors = unet._convert_ip_adapter_attn_to_diffusers(list(weights))
            layers = [
                unet._convert_ip_adapter_image_proj_to_diffusers(one["image_proj"])
                for one in weights
            ]
            projection = MultiIPAdapterImageProjection(layers)
        for module in (projection, *processors.values()):
            if isinstance(module, torch.nn.Module):
                module.to(self._device, unet.dtype).eval()
        unet.set_attn_processor(processors)
        unet.encoder_hid_proj = projection
        unet.config.encoder_hid_dim_type = "ip_image_proj"

    def _shared_scales(self, count: int) -> list[float]:
        """One list of scales for all attention layers of the UNet."""
        scales = [1.0] * count
        for processor in self._unet.attn_processors.values():
            if count and hasattr(processor, "to_k_ip"):
                processor.scale = scales
        return scales

    def _embed(self, guide: ControlInput, index: int) -> Embeddings:
        """Embeddings for the attached adapter `index`, computed once for a picture."""
        projection = self._unet.encoder_hid_proj.image_projection_layers[index]
        whole = isinstance(projection, ImageProjection)
        encoder = self._encoder_of[guide.control]
        key = f"{encoder} {whole} {digest(guide.map)}"
        return self._embeddings.get(
            key, lambda: self._encode(guide.map, self._encoders[encoder], whole)
        )

    def _encode(
        self, picture: Pixels, encoder: CLIPVisionModelWithProjection, whole: bool
    ) -> Embeddings:
        """One embedding of the `whole` picture, or one for each of its patches."""
        self._offloader.activate(encoder)
        side = encoder.config.image_size
        processor = CLIPImageProcessorPil(
            size={"shortest_edge": side}, crop_size={"height": side, "width": side}
        )
        pixels = processor(Image.fromarray(picture), return_tensors="pt").pixel_values
        pixels = pixels.to(self._device, encoder.dtype)
        if whole:
            embedding = encoder(pixels).image_embeds[None]
            return torch.zeros_like(embedding), embedding
        unconditional, conditional = (
            encoder(one, output_hidden_states=True).hidden_states[-2][None]
            for one in (torch.zeros_like(pixels), pixels)
        )
        return unconditional, conditional
