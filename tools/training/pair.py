"""The painter's UNet and its ControlNet: architecture, initialization, noise schedule, sampling."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from diffusers import (
    ControlNetModel,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    UNet2DConditionModel,
)
from torch import Tensor, nn
from torch.nn import functional as F

from inference.control.openpose_skeleton import coco_to_openpose, draw_openpose
from tools.portraits import sample_spec, solo
from tools.portraits.figure import keypoints_of
from tools.training import text
from tools.training.common import SQUARE

CHANNELS = (64, 112, 144)
STEPS, GUIDANCE = 20, 4.0  # of the sheets


def build_unet() -> UNet2DConditionModel:
    """An untrained inpainting UNet; its cross-attention sits at half resolution and below."""
    return UNet2DConditionModel(
        sample_size=SQUARE[0] // 8,
        in_channels=9,
        out_channels=4,
        block_out_channels=CHANNELS,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=text.WIDTH,
        attention_head_dim=4,
        norm_num_groups=16,
    )


def build_controlnet(unet: UNet2DConditionModel) -> ControlNetModel:
    """An untrained ControlNet for `unet`; like the real ones it sees the noisy latents only.

    The class's own initialization lets thin lines on black fade to a thousandth on their way
    through eight convolutions, and starts the last of them at zero: a small model then never
    learns to look at the map. So each layer's output is brought to unit variance on drawn
    skeletons (LSUV; Mishkin and Matas 2016, arXiv:1511.06422).
    """
    model = ControlNetModel(
        in_channels=4,
        block_out_channels=unet.config.block_out_channels,
        down_block_types=unet.config.down_block_types,
        layers_per_block=unet.config.layers_per_block,
        cross_attention_dim=unet.config.cross_attention_dim,
        attention_head_dim=unet.config.attention_head_dim,
        norm_num_groups=unet.config.norm_num_groups,
        conditioning_embedding_out_channels=(8, 16, 32, 64),
    )
    _wake(model.controlnet_cond_embedding, pose_maps(range(16), SQUARE))
    return model


@torch.no_grad()
def _wake(embedding: nn.Module, maps: Tensor) -> None:
    """Scale each convolution, in order, to unit variance of its output on `maps`."""
    seen: list[float] = []
    for layer in [module for module in embedding.modules() if isinstance(module, nn.Conv2d)]:
        nn.init.kaiming_normal_(layer.weight)
        nn.init.zeros_(layer.bias)
        hook = layer.register_forward_hook(lambda _, __, out: seen.append(out.std().item()))
        embedding(maps)
        hook.remove()
        layer.weight /= seen[-1]


def build_scheduler() -> DDIMScheduler:
    """The noise schedule of Stable Diffusion 1.5, for velocity prediction.

    Salimans and Ho 2022 (arXiv:2202.00512).
    """
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="v_prediction",
    )


class Pair(nn.Module):
    """UNet and ControlNet as one module, for one optimizer and one moving average."""

    def __init__(self) -> None:
        """Build both, untrained."""
        super().__init__()
        self.unet = build_unet()
        self.controlnet = build_controlnet(self.unet)

    def forward(
        self, noisy: Tensor, extra: Tensor, when: Tensor, words: Tensor, poses: Tensor
    ) -> Tensor:
        """Velocity (n, 4, h, w).

        noisy (n, 4, h, w); extra (n, 5, h, w): mask and masked-image latents; when (n,);
        words (n, 77, width); poses (m, 3, 8h, 8w) in 0-1 steer the first m samples.
        """
        m, rest = len(poses), len(noisy) - len(poses)
        down = middle = None
        if m:
            down, middle = self.controlnet(
                noisy[:m], when[:m], words[:m], controlnet_cond=poses, return_dict=False
            )
            down = [F.pad(d, (0,) * 7 + (rest,)) for d in down]
            middle = F.pad(middle, (0,) * 7 + (rest,))
        velocity: Tensor = self.unet(
            torch.cat([noisy, extra], 1),
            when,
            words,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
        ).sample
        return velocity


def pose_maps(seeds: Sequence[int], size: tuple[int, int]) -> Tensor:
    """The skeletons of the drawings of `seeds`, (n, 3, height, width) in 0-1."""
    maps = [
        draw_openpose(coco_to_openpose(keypoints_of(solo(sample_spec(int(s))), size)), size)
        for s in seeds
    ]
    return torch.from_numpy(np.stack(maps)).permute(0, 3, 1, 2).float() / 255


def denoise(velocity: Callable[[Tensor, Tensor], Tensor], shape: Sequence[int]) -> Tensor:
    """Latents of a shape (n, 4, h, w) from pure noise.

    `velocity` gives that of latents at time steps (2n,), (2n, 4, h, w): first for the empty prompt.
    """
    scheduler = DPMSolverMultistepScheduler.from_config(build_scheduler().config)
    scheduler.set_timesteps(STEPS)
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(1))
    for t in scheduler.timesteps:
        empty, told = velocity(x, t.expand(2 * len(x))).chunk(2)
        x = scheduler.step(empty + GUIDANCE * (told - empty), t, x).prev_sample
    return x
