"""What a model foresees in one denoising step: ControlNets, UNet and guidance as one module.

All that changes from step to step comes in as tensors, and what a ControlNet makes of its map is
made before the first step, so that a step is one function that can be compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from torch import nn


class Conditions(NamedTuple):
    """What guides n pictures and stays the same from step to step.

    Under guidance `words` and `seen` have 2n rows, those without what guides first.

    Attributes:
        words: (n or 2n, tokens, width), the prompt's embeddings.
        hints: (1, channels, h, w) of each ControlNet: what it made of its map.
        scales: () of each ControlNet: how strongly it guides.
        extra: (n, 5, h, w), mask and masked latents for a 9-channel UNet.
        seen: (n or 2n, pictures, …) of each IP-Adapter: embeddings of what it is shown.
        balanced: whether under guidance the ControlNets guide both halves, or only the one with
            what guides, so that the guidance scale strengthens them too.
    """

    words: torch.Tensor
    hints: tuple[torch.Tensor, ...] = ()
    scales: tuple[torch.Tensor, ...] = ()
    extra: torch.Tensor | None = None
    seen: tuple[torch.Tensor, ...] = ()
    balanced: bool = True

    def unguided(self) -> Conditions:
        """The half with what guides, for steps without guidance."""
        half = len(self.words) // 2
        return self._replace(words=self.words[half:], seen=tuple(one[half:] for one in self.seen))


class Denoiser(nn.Module):
    """A UNet and the ControlNets that guide it in a step, each of them `split` before.

    Attributes:
        dress: which LoRAs the UNet has and wears, as a key; it takes no part in the arithmetic.
    """

    def __init__(self, unet: UNet2DConditionModel, controlnets: Sequence[ControlNetModel]) -> None:
        super().__init__()
        self.unet = unet
        self.controlnets = nn.ModuleList(controlnets)
        self.dress = ""

    def forward(
        self,
        noisy: torch.Tensor,
        time: torch.Tensor,
        cfg_scale: torch.Tensor | None,
        given: Conditions,
    ) -> torch.Tensor:
        """The model's output, guided (Ho & Salimans 2022, "Classifier-Free Diffusion Guidance").

        Args:
            noisy: (n, 4, h, w) latents, scaled as the scheduler says.
            time: () float32 timestep.
            cfg_scale: () guidance scale; None runs the half with what guides alone.
            given: one entry of `hints` and `scales` for each ControlNet.

        Returns:
            (n, 4, h, w), contiguous.
        """
        rows = noisy if cfg_scale is None else torch.cat([noisy] * 2)
        down, middle = self._control(rows if given.balanced else noisy, time, given)
        if given.extra is not None:
            extra = given.extra if cfg_scale is None else torch.cat([given.extra] * 2)
            rows = torch.cat([rows, extra], dim=1)
        output: torch.Tensor = self.unet(
            rows,
            time,
            encoder_hidden_states=given.words,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
            added_cond_kwargs={"image_embeds": list(given.seen)} if given.seen else None,
            return_dict=False,
        )[0]
        if cfg_scale is not None:
            without, with_words = output.chunk(2)
            output = without + cfg_scale * (with_words - without)
        return output.contiguous()

    def _control(
        self, rows: torch.Tensor, time: torch.Tensor, given: Conditions
    ) -> tuple[list[torch.Tensor] | None, torch.Tensor | None]:
        """The sum of the ControlNets' residuals; without any, nothing."""
        total: list[torch.Tensor] = []
        half = len(rows) < len(given.words)
        words = given.unguided().words if half else given.words
        every = zip(self.controlnets, given.hints, given.scales, strict=True)
        for controlnet, hint, scale in every:
            down, middle = controlnet(
                rows,
                time,
                encoder_hidden_states=words,
                controlnet_cond=hint,
                conditioning_scale=scale,
                return_dict=False,
            )
            residuals = [*down, middle]
            total = [a + b for a, b in zip(total, residuals, strict=True)] if total else residuals
        if half:
            total = [torch.cat([torch.zeros_like(one), one]) for one in total]
        return (total[:-1], total[-1]) if total else (None, None)


# How a denoiser is run: as it is, or compiled.
Run = Callable[
    [Denoiser, torch.Tensor, torch.Tensor, torch.Tensor | None, Conditions], torch.Tensor
]


def split(controlnet: ControlNetModel) -> nn.Module:
    """Take the part that looks at the map out of a ControlNet, which then expects what it gives.

    Returns:
        The part: (1, 3, H, W) in 0–1 → (1, channels, h, w).
    """
    looking: nn.Module = controlnet.controlnet_cond_embedding
    if controlnet.config.controlnet_conditioning_channel_order == "bgr":
        looking = nn.Sequential(_Reversed(), looking)
        controlnet.register_to_config(controlnet_conditioning_channel_order="rgb")
    controlnet.controlnet_cond_embedding = nn.Identity()
    return looking


class _Reversed(nn.Module):
    """The channels of a picture the other way round."""

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        return picture.flip(1)
