"""Training of the style LoRAs of the finer painter's UNet: one for each drawing style but flat."""

from __future__ import annotations

import torch
from diffusers import UNet2DConditionModel
from peft.utils import get_peft_model_state_dict
from torch import Tensor

from tools.training import fine_joint, fine_painter
from tools.training.common import Job, averaged
from tools.training.fine import Resident
from tools.training.lora import STYLES, config


def build(job: Job) -> UNet2DConditionModel:
    """The UNet, frozen, with an untrained LoRA."""
    unet = fine_joint.unet(job)
    unet.add_adapter(config())
    return unet


def train(job: Job) -> None:
    """Train one LoRA after the other, `job.minutes` each."""
    for style in STYLES:
        torch.manual_seed(0)
        trainer = Resident(job, f"fine_lora-{style}", build(job), lr=6e-4)
        torch.manual_seed(trainer.step)
        _run(job, trainer, fine_painter.Lessons(job, (style,)), style)


def _run(
    job: Job, trainer: Resident[UNet2DConditionModel], lessons: fine_painter.Lessons, style: str
) -> None:
    def velocity(noisy: Tensor, extra: Tensor, when: Tensor, words: Tensor) -> Tensor:
        answer: Tensor = trainer.average(torch.cat([noisy, extra], 1), when, words).sample
        return answer

    def report() -> None:
        fine_painter.report(job, trainer.name, lessons, velocity, style)

    trainer.run(lambda: lessons.loss(trainer.model), report)


def load(job: Job, style: str) -> dict[str, Tensor]:
    """The trained LoRA of a style, in the format of `save_lora_weights`."""
    unet = averaged(job.work, f"fine_lora-{style}", build(job))
    weights: dict[str, Tensor] = get_peft_model_state_dict(unet)
    return {name: weight.half().contiguous() for name, weight in weights.items()}
