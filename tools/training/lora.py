"""Training of the style LoRAs of the painter's UNet: one for each drawing style except flat.

Low-rank updates (Hu et al. 2021, arXiv:2106.09685) of attention and of convolutions, because most
of this small UNet is convolution, and outlines depend on it.
"""

from __future__ import annotations

import torch
from diffusers import UNet2DConditionModel
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from torch import Tensor

from tools.training import joint
from tools.training.common import Job, averaged
from tools.training.lessons import Lessons, write_paintings
from tools.training.resident import Resident

STYLES = ("ink", "soft")
RANK = 12
_ATTENTION = ("to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out")
_TARGETS = [*_ATTENTION, "ff.net.0.proj", "ff.net.2", "conv1", "conv2"]


def build(job: Job) -> UNet2DConditionModel:
    """The trained UNet, frozen, with an untrained LoRA."""
    unet = joint.unet(job)
    unet.add_adapter(LoraConfig(r=RANK, lora_alpha=RANK, target_modules=_TARGETS))
    return unet


def train(job: Job) -> None:
    """Train one LoRA after the other, `job.minutes` each."""
    for style in STYLES:
        torch.manual_seed(0)
        trainer = Resident(job, f"lora-{style}", build(job), lr=6e-4)
        _put_on(trainer, joint.unet(job))
        torch.manual_seed(trainer.step)
        _run(job, trainer, Lessons(job, (style,)), style)


def _put_on(trainer: Resident[UNet2DConditionModel], unet: UNet2DConditionModel) -> None:
    """Put the LoRA on this UNet; the one in a checkpoint may have been trained on since."""
    for model in (trainer.model, trainer.average):
        below = {name.replace(".base_layer.", "."): one for name, one in model.state_dict().items()}
        for name, weight in unet.state_dict().items():
            below[name].copy_(weight)


def _run(job: Job, trainer: Resident[UNet2DConditionModel], lessons: Lessons, style: str) -> None:
    def velocity(noisy: Tensor, extra: Tensor, when: Tensor, words: Tensor) -> Tensor:
        answer: Tensor = trainer.average(torch.cat([noisy, extra], 1), when, words).sample
        return answer

    def report() -> None:
        write_paintings(job, trainer.name, lessons, velocity, style)

    trainer.run(lambda: lessons.loss(trainer.model), report)


def load(job: Job, style: str) -> dict[str, Tensor]:
    """The trained LoRA of a style, in the format of `save_lora_weights`."""
    unet = averaged(job.work, f"lora-{style}", build(job))
    weights: dict[str, Tensor] = get_peft_model_state_dict(unet)
    return {name: weight.half().contiguous() for name, weight in weights.items()}
