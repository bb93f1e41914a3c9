"""Pictures in place of words: IP-Adapters on a loaded checkpoint.

Ye et al. 2023, "IP-Adapter: Text Compatible Image Prompt Adapter" (arXiv:2308.06721). An adapter
adds attention to a picture's embeddings beside that to the prompt's. Those in use are put on for
a job; without any, the base's own attention runs and computes the very bits that it did before.
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

from inference.cache import Cache, digest
from inference.device import Turns
from inference.errors import InvalidCatalog
from inference.patch import Guide
from inference.photo import Pixels

Weights = dict[str, dict[str, torch.Tensor]]
Embeddings = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """The pictures that a job's adapters see, ready for the UNet.

    Attributes:
        embeddings: one tensor per adapter, for both halves of guidance where it is on.
        guides: their scales and windows, in the same order.
        scales: what the UNet's attention reads at each step.
    """

    embeddings: list[torch.Tensor] = field(repr=False)
    guides: tuple[Guide, ...]
    scales: list[float]

    def at(self, index: int, total: int) -> None:
        """Set the scales for a step."""
        self.scales[:] = [one.scale if one.guides(index, total) else 0.0 for one in self.guides]


class Adapters:
    """The IP-Adapters of one pipeline and their image encoders. Not thread-safe."""

    def __init__(self, pipe: StableDiffusionInpaintPipeline, turns: Turns) -> None:
        self._unet = pipe.unet
        self._device = turns.device
        self._turns = turns
        self._bare = dict(pipe.unet.attn_processors)
        self._weights: dict[str, Weights] = {}
        self._encoder_of: dict[str, Path] = {}
        self._encoders: dict[Path, CLIPVisionModelWithProjection] = {}
        self._seen: Cache[Embeddings] = Cache(8)
        self._worn: tuple[str, ...] = ()

    def __contains__(self, key: str) -> bool:
        """Whether this adapter is loaded, in use or not."""
        return key in self._weights

    def add(self, key: str, file: Path, encoder: Path) -> None:
        """Load an adapter; it is not in use until `show` gets a picture for it.

        Args:
            key: the name of its control.
            file: its weights.
            encoder: the folder of the CLIP image encoder that it was trained with.

        Raises:
            InvalidCatalog: there is no such file, or it was made for another kind of model.
        """
        try:
            weights = self._read(file)
            self._put_on((weights,))
            if encoder not in self._encoders:
                model = CLIPVisionModelWithProjection.from_pretrained(
                    encoder, dtype=self._unet.dtype, use_safetensors=True, local_files_only=True
                )
                self._encoders[encoder] = self._turns.place(model)
        except (OSError, SafetensorError, ValueError, RuntimeError, KeyError) as error:
            raise InvalidCatalog(
                f"The IP-Adapter {key!r} does not fit this style's model: correct its entry in "
                "the catalog, or choose another control."
            ) from error
        finally:
            self.put_away()
        self._weights[key] = weights
        self._encoder_of[key] = encoder

    def put_away(self) -> None:
        """Give the UNet its own attention back."""
        self._worn = ()
        self._unet.encoder_hid_proj = None
        self._unet.config.encoder_hid_dim_type = None
        self._unet.set_attn_processor(dict(self._bare))

    def show(self, guides: Sequence[Guide], count: int, *, guided: bool) -> Shown:
        """Put on the adapters that are among these guides, and no others.

        Args:
            guides: of an adapter the map is the picture to show, of any size.
            count: how many pictures are painted at once.
            guided: whether there are two halves, the first without what guides.
        """
        guides = [one for one in guides if one.control in self and one.scale > 0]
        keys = tuple(guide.control for guide in guides)
        if keys != self._worn:
            self.put_away()
            if keys:
                self._put_on([self._weights[key] for key in keys])
                self._worn = keys
        embeddings = []
        for place, guide in enumerate(guides):
            nothing, seen = self._look(guide, place)
            halves = (nothing, seen) if guided else (seen,)
            embeddings.append(torch.cat([half.repeat_interleave(count, 0) for half in halves]))
        return Shown(embeddings=embeddings, guides=tuple(guides), scales=self._scales(len(keys)))

    def _read(self, file: Path) -> Weights:
        weights: Weights = {"image_proj": {}, "ip_adapter": {}}
        for name, tensor in load_file(file).items():
            part, _, rest = name.partition(".")
            weights[part][rest] = tensor.to(self._unet.dtype)
        return weights

    def _put_on(self, weights: Sequence[Weights]) -> None:
        """As diffusers' own loader, which moves the whole UNet to its own device each time."""
        unet = self._unet
        processors = unet._convert_ip_adapter_attn_to_diffusers(list(weights))
        layers = [
            unet._convert_ip_adapter_image_proj_to_diffusers(one["image_proj"]) for one in weights
        ]
        projection = MultiIPAdapterImageProjection(layers)
        for module in (projection, *processors.values()):
            if isinstance(module, torch.nn.Module):
                module.to(self._device, unet.dtype).eval()
        unet.set_attn_processor(processors)
        unet.encoder_hid_proj = projection
        unet.config.encoder_hid_dim_type = "ip_image_proj"

    def _scales(self, count: int) -> list[float]:
        """One list of scales, which all of the UNet's layers read."""
        scales = [1.0] * count
        for processor in self._unet.attn_processors.values():
            if count and hasattr(processor, "to_k_ip"):
                processor.scale = scales
        return scales

    def _look(self, guide: Guide, place: int) -> Embeddings:
        """Embeddings of nothing and of the guide's picture, computed once for a picture."""
        projection = self._unet.encoder_hid_proj.image_projection_layers[place]
        whole = isinstance(projection, ImageProjection)
        encoder = self._encoder_of[guide.control]
        key = f"{encoder} {whole} {digest(guide.map)}"
        return self._seen.get(key, lambda: self._encode(guide.map, self._encoders[encoder], whole))

    def _encode(
        self, picture: Pixels, encoder: CLIPVisionModelWithProjection, whole: bool
    ) -> Embeddings:
        """One embedding of the `whole` picture, or one of each of its parts."""
        self._turns.take(encoder)
        side = encoder.config.image_size
        processor = CLIPImageProcessorPil(
            size={"shortest_edge": side}, crop_size={"height": side, "width": side}
        )
        pixels = processor(Image.fromarray(picture), return_tensors="pt").pixel_values
        pixels = pixels.to(self._device, encoder.dtype)
        if whole:
            embedding = encoder(pixels).image_embeds[None]
            return torch.zeros_like(embedding), embedding
        nothing, seen = (
            encoder(one, output_hidden_states=True).hidden_states[-2][None]
            for one in (torch.zeros_like(pixels), pixels)
        )
        return nothing, seen
