"""Training of the style LoRAs of the painter's UNet: one for each drawing style except flat.

Low-rank updates (Hu et al. 2021, arXiv:2106.09685) of attention and of convolutions, because most
of this small UNet is convolution, and outlines depend on it.
"""

from __future__ import annotations

import torch
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from torch import Tensor

from tools.training import joint
from tools.training.common import Job, Trainer, averaged
from tools.training.painter import Lessons, Pair, report

STYLES = ("ink", "soft")
RANK = 12
_ATTENTION = ("to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out")
_TARGETS = [*_ATTENTION, "ff.net.0.proj", "ff.net.2", "conv1", "conv2"]


def config() -> LoraConfig:
    """Rank and layers of a style's LoRA."""
    return LoraConfig(r=RANK, lora_alpha=RANK, target_modules=_TARGETS)


def build(job: Job) -> Pair:
    """The trained painter, frozen, with an untrained LoRA."""
    pair = joint.load(job)
    pair.unet.add_adapter(config())
    return pair


def _train_style(job: Job, style: str) -> None:
    torch.manual_seed(0)
    trainer = Trainer(job, f"lora-{style}", build(job), lr=2e-3, decay=0.99, half=True)
    torch.manual_seed(trainer.step)
    lessons = Lessons(job, trainer.step + 6, style)
    trainer.run(lambda: lessons.loss(trainer.model), lambda: report(job, trainer, lessons, style))


def train(job: Job) -> None:
    """Train one LoRA after the other, `job.minutes` each."""
    for style in STYLES:
        _train_style(job, style)


def load(job: Job, style: str) -> dict[str, Tensor]:
    """The trained LoRA of a style, in the format of `save_lora_weights`."""
    unet = averaged(job.work, f"lora-{style}", build(job)).unet
    weights: dict[str, Tensor] = get_peft_model_state_dict(unet)
    return {name: weight.half().contiguous() for name, weight in weights.items()}
