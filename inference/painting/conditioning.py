"""Conditioning tensors of the denoiser: prompt, control maps and image prompts.

Each text, map and picture is encoded once and cached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from diffusers import ControlNetModel, StableDiffusionInpaintPipeline
from torch import nn

from inference.painting.autoencoder import to_tensor
from inference.painting.denoiser import Denoiser, DenoiserInputs, split_hint_embedding
from inference.painting.inpainting import ControlInput
from inference.painting.ip_adapter import ImagePrompts, IPAdapters
from inference.painting.lora import Loras
from inference.painting.multi_diffusion import Window
from inference.painting.prompt_embeddings import PromptEncoder
from inference.recipe.prompt_weights import Weighting
from inference.recipe.recipe import Recipe
from inference.runtime.cache import Cache, digest
from inference.runtime.memory import ModelOffloader

KEPT_HINTS = 16  # embeddings of control maps
HIDDEN = -1.0  # of a control map in 0–1, where a ControlNet for inpainting is shown nothing


@dataclass(frozen=True, kw_only=True)
class Conditioning:
    """The conditioning of one job.

    Attributes:
        steps: number of denoising steps.
        guides: the ControlNets' maps.
        image_prompts: the IP-Adapters' pictures.
        cfg_scale: (), the guidance scale.
        guidance_end: the step, perhaps a fraction, from which on there is no guidance; None
            without any guidance.
        inputs: the denoiser's inputs for each window, with a hint for each of `guides`.
    """

    steps: int
    guides: tuple[ControlInput, ...]
    image_prompts: ImagePrompts
    cfg_scale: torch.Tensor = field(repr=False)
    guidance_end: float | None
    inputs: tuple[DenoiserInputs, ...] = field(repr=False)

    def at(self, index: int) -> tuple[tuple[str, ...], torch.Tensor | None, list[DenoiserInputs]]:
        """The conditioning of step `index`, counted from 0.

        ControlNets outside their part of the steps do not run. The IP-Adapters' scales are set.

        Returns:
            Keys of the ControlNets that run; the guidance scale, None without guidance; the
            denoiser's inputs for each window.
        """
        self.image_prompts.set_scales(index, self.steps)
        active = [k for k, one in enumerate(self.guides) if one.guides(index, self.steps)]
        inputs = [
            one._replace(
                hints=tuple(one.hints[k] for k in active),
                scales=tuple(one.scales[k] for k in active),
            )
            for one in self.inputs
        ]
        keys = tuple(self.guides[k].control for k in active)
        if self.guidance_end is None:
            return keys, None, inputs
        if index < self.guidance_end:
            return keys, self.cfg_scale, inputs
        return keys, None, [one.conditional() for one in inputs]


class Conditioner:
    """The ControlNets, LoRAs, IP-Adapters and text encoder of one checkpoint. Not thread-safe."""

    def __init__(
        self,
        pipe: StableDiffusionInpaintPipeline,
        offloader: ModelOffloader,
        weighting: Weighting = "scaled",
    ) -> None:
        self.loras = Loras(pipe)
        self.adapters = IPAdapters(pipe, offloader)
        self.prompt_encoder = PromptEncoder(pipe, self.loras, offloader, weighting)
        self.controlnets: dict[str, ControlNetModel] = {}
        self._unet = pipe.unet
        self._factor = pipe.vae_scale_factor
        self._offloader = offloader
        self._hint_embeddings: dict[str, nn.Module] = {}
        self._denoisers: dict[tuple[str, ...], Denoiser] = {}
        self.clear_cache()

    def clear_cache(self) -> None:
        """Drop the cached embeddings of earlier jobs."""
        self.prompt_encoder.clear_cache()
        self._hints: Cache[torch.Tensor] = Cache(KEPT_HINTS)

    def add(self, key: str, model: ControlNetModel) -> None:
        """Register a loaded ControlNet under the key of its control."""
        embedding = split_hint_embedding(model)
        self._hint_embeddings[key] = embedding.to(self._offloader.device).eval()
        self.controlnets[key] = self._offloader.place(model).eval()

    def denoiser(self, controls: tuple[str, ...]) -> Denoiser:
        """The UNet with these ControlNets, on the device, with the LoRAs that are in use now."""
        if controls not in self._denoisers:
            nets = [self.controlnets[key] for key in controls]
            self._denoisers[controls] = Denoiser(self._unet, nets)
        denoiser = self._denoisers[controls]
        denoiser.lora_key = self.loras.key
        self._offloader.activate(self._unet, *denoiser.controlnets)
        return denoiser

    def condition(
        self,
        guides: Sequence[ControlInput],
        recipe: Recipe,
        windows: Sequence[Window],
        mask_latents: torch.Tensor | None,
        steps: int,
    ) -> Conditioning:
        """Encode the conditioning of a job.

        Args:
            guides: control maps, and pictures for IP-Adapters.
            recipe: prompt, guidance scale and control mode.
            windows: the windows in which the picture is painted.
            mask_latents: (n, 5, h, w), mask and masked latents for a 9-channel UNet.
            steps: number of denoising steps.
        """
        count, guided = recipe.num_images, recipe.guidance_scale > 1
        image_prompts = self.adapters.attach(guides, count, guided=guided)
        guides = tuple(one for one in guides if one.scale > 0 and one.control in self.controlnets)
        dtype, device = self._unet.dtype, self._offloader.device
        prompt_embeds = self._prompt_embeds(recipe, guided=guided)
        scales = tuple(torch.tensor(one.scale, dtype=dtype, device=device) for one in guides)
        return Conditioning(
            steps=steps,
            guides=guides,
            image_prompts=image_prompts,
            cfg_scale=torch.tensor(recipe.guidance_scale, dtype=dtype, device=device),
            guidance_end=steps * recipe.guidance_stop if guided else None,
            inputs=tuple(
                DenoiserInputs(
                    prompt_embeds=prompt_embeds,
                    hints=tuple(self._hint(one, window) for one in guides),
                    scales=scales,
                    mask_latents=None if mask_latents is None else window.cut(mask_latents),
                    image_embeds=tuple(image_prompts.embeddings),
                    balanced=recipe.control_mode != "unbalanced",
                )
                for window in windows
            ),
        )

    def _prompt_embeds(self, recipe: Recipe, *, guided: bool) -> torch.Tensor:
        """Prompt embeddings of all pictures, under guidance with the negative prompt's first."""
        positive, negative = self.prompt_encoder.encode(
            recipe.prompt,
            recipe.negative_prompt if guided else recipe.prompt,
            use_lpw=recipe.use_lpw,
        )
        halves = (negative, positive) if guided else (positive,)
        rows = torch.cat([half.repeat(recipe.num_images, 1, 1) for half in halves])
        return rows.to(self._unet.dtype)

    def _hint(self, guide: ControlInput, window: Window) -> torch.Tensor:
        """A ControlNet's embedding of its map, the same in every step and for every picture."""
        embedding = self._hint_embeddings[guide.control]

        def embed() -> torch.Tensor:
            picture = to_tensor(guide.map)
            if guide.hidden is not None:
                picture = picture.masked_fill(torch.from_numpy(guide.hidden), HIDDEN)
            picture = picture.to(self._offloader.device, self._unet.dtype)
            hint: torch.Tensor = embedding(window.cut(picture, self._factor))
            return hint

        shown = digest(guide.map), "" if guide.hidden is None else digest(guide.hidden)
        key = f"{guide.control} {window.rows} {window.columns} {shown}"
        return self._hints.get(key, embed)
