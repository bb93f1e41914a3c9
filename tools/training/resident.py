"""A training loop that lies wholly on the job's device, for the stages of the painter."""

from __future__ import annotations

from typing import TypeVar

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0
from torch import nn

from tools.training.common import Job, Trainer
from tools.training.muon import Muon

M = TypeVar("M", bound=nn.Module)


class Resident(Trainer[M]):
    """A training loop whose model and lessons lie on the job's device, with Muon, in bfloat16."""

    report_seconds = 900.0  # a sheet at 384 pixels takes half a minute

    def __init__(self, job: Job, name: str, model: M, lr: float, decay: float = 0.998) -> None:
        """Set up `model`, resuming from `job.work/name.pt` where that exists."""
        super().__init__(job, name, model, lr, decay, half=True)

    def _place(self, model: nn.Module) -> None:
        model.to(self.job.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if is_gpu(self.job):
            return
        for part in model.modules():
            if isinstance(part, UNet2DConditionModel | ControlNetModel):
                part.set_attn_processor(
                    {
                        # 2.5 times as fast there in bfloat16
                        name: AttnProcessor() if isinstance(one, AttnProcessor2_0) else one
                        for name, one in part.attn_processors.items()
                    }
                )

    def _optimizer(self, weights: list[nn.Parameter]) -> torch.optim.Optimizer:
        return Muon(weights, self.lr)


def is_gpu(job: Job) -> bool:
    """Whether the job runs on a GPU, which takes larger batches."""
    return torch.device(job.device).type != "cpu"
