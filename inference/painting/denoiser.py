"""One denoising step of the models: ControlNets, UNet and guidance as a single module.

Everything that changes from step to step is a tensor argument, and the embeddings of the control
maps are computed before the first step, so that a step is one function that can be compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from torch import nn


class DenoiserInputs(NamedTuple):
    """Inputs of the denoiser that are the same in every step, for n pictures.

    Under guidance `prompt_embeds` and `image_embeds` have 2n rows, the unconditional ones first.

    Attributes:
        prompt_embeds: (n or 2n, tokens, width).
        hints: for each ControlNet, (1, channels, h, w), the embedding of its map.
        scales: for each ControlNet, (), its conditioning scale.
        mask_latents: (n, 5, h, w), mask and masked latents for a 9-channel UNet.
        image_embeds: for each IP-Adapter, (n or 2n, pictures, …).
        balanced: under guidance, whether the ControlNets run on both halves, or only on the
            conditional one, so that the guidance scale strengthens them too.
    """

    prompt_embeds: torch.Tensor
    hints: tuple[torch.Tensor, ...] = ()
    scales: tuple[torch.Tensor, ...] = ()
    mask_latents: torch.Tensor | None = None
    image_embeds: tuple[torch.Tensor, ...] = ()
    balanced: bool = True

    def conditional(self) -> DenoiserInputs:
        """The conditional half, for steps without guidance."""
        half = len(self.prompt_embeds) // 2
        return self._replace(
            prompt_embeds=self.prompt_embeds[half:],
            image_embeds=tuple(one[half:] for one in self.image_embeds),
        )


class Denoiser(nn.Module):
    """A UNet with the ControlNets that guide it, each passed through `split_hint_embedding`.

    Attributes:
        lora_key: identifies the LoRAs in the UNet and their weights, for caches of compiled steps.
    """

    def __init__(self, unet: UNet2DConditionModel, controlnets: Sequence[ControlNetModel]) -> None:
        super().__init__()
        self.unet = unet
        self.controlnets = nn.ModuleList(controlnets)
        self.lora_key = ""

    def forward(
        self,
        noisy: torch.Tensor,
        time: torch.Tensor,
        cfg_scale: torch.Tensor | None,
        inputs: DenoiserInputs,
    ) -> torch.Tensor:
        """Predict with guidance (Ho & Salimans 2022, "Classifier-Free Diffusion Guidance").

        The models compute in the type of `inputs.prompt_embeds`, which may be a shorter one.

        Args:
            noisy: (n, 4, h, w) latents, scaled for the model by the scheduler.
            time: () float32 timestep.
            cfg_scale: () guidance scale; None runs the conditional half alone.
            inputs: one entry of `hints` and `scales` for each ControlNet.

        Returns:
            (n, 4, h, w), contiguous: the model's prediction, of the kind its scheduler expects.
        """
        single = noisy.to(inputs.prompt_embeds.dtype)
        rows = single if cfg_scale is None else torch.cat([single] * 2)
        down, middle = self._control(rows if inputs.balanced else single, time, inputs)
        if inputs.mask_latents is not None:
            extra = inputs.mask_latents
            extra = extra if cfg_scale is None else torch.cat([extra] * 2)
            rows = torch.cat([rows, extra.to(rows.dtype)], dim=1)
        images = {"image_embeds": list(inputs.image_embeds)} if inputs.image_embeds else None
        output: torch.Tensor = self.unet(
            rows,
            time,
            encoder_hidden_states=inputs.prompt_embeds,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
            added_cond_kwargs=images,
            return_dict=False,
        )[0].to(noisy.dtype)
        if cfg_scale is not None:
            unconditional, conditional = output.chunk(2)
            output = unconditional + cfg_scale * (conditional - unconditional)
        return output.contiguous()

    def _control(
        self, rows: torch.Tensor, time: torch.Tensor, inputs: DenoiserInputs
    ) -> tuple[list[torch.Tensor] | None, torch.Tensor | None]:
        """Summed residuals of the ControlNets for down and middle blocks; None without any."""
        total: list[torch.Tensor] = []
        half = len(rows) < len(inputs.prompt_embeds)
        prompt_embeds = inputs.conditional().prompt_embeds if half else inputs.prompt_embeds
        every = zip(self.controlnets, inputs.hints, inputs.scales, strict=True)
        for controlnet, hint, scale in every:
            down, middle = controlnet(
                rows,
                time,
                encoder_hidden_states=prompt_embeds,
                controlnet_cond=hint,
                conditioning_scale=scale,
                return_dict=False,
            )
            residuals = [*down, middle]
            total = [a + b for a, b in zip(total, residuals, strict=True)] if total else residuals
        if half:
            total = [torch.cat([torch.zeros_like(one), one]) for one in total]
        return (total[:-1], total[-1]) if total else (None, None)


#: A way to run a denoiser: as it is, or compiled.
RunDenoiser = Callable[
    [Denoiser, torch.Tensor, torch.Tensor, torch.Tensor | None, DenoiserInputs], torch.Tensor
]


def split_hint_embedding(controlnet: ControlNetModel) -> nn.Module:
    """Split the embedding of control maps off a ControlNet, which then takes its output as input.

    Returns:
        The embedding, (1, 3, H, W) in 0–1 → (1, channels, h, w).
    """
    embedding: nn.Module = controlnet.controlnet_cond_embedding
    if controlnet.config.controlnet_conditioning_channel_order == "bgr":
        embedding = nn.Sequential(_FlipChannels(), embedding)
        controlnet.register_to_config(controlnet_conditioning_channel_order="rgb")
    controlnet.controlnet_cond_embedding = nn.Identity()
    return embedding


class _FlipChannels(nn.Module):
    """RGB to BGR, or back."""

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        return picture.flip(1)
