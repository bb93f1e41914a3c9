"""Noise schedulers by their names in a prompt block, and helpers for the denoising loop."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch
from diffusers import (
    DPMSolverMultistepScheduler,
    DPMSolverSinglestepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    SchedulerMixin,
    TCDScheduler,
)

# Strengths and shares of the steps are sums of floats.
ROUNDING = 1e-6

# Every entry gives its options in full, because a checkpoint's own config may have other ones.
PLAIN = {"use_karras_sigmas": False}
KARRAS = {"use_karras_sigmas": True}
ODE = {"algorithm_type": "dpmsolver++"}
# `lower_order_final` is what diffusers sets itself, with a warning, for a last sigma of zero.
SDE = {"algorithm_type": "sde-dpmsolver++", "lower_order_final": True}

SCHEDULER_CLASSES: Mapping[str, tuple[type[SchedulerMixin], Mapping[str, Any]]] = MappingProxyType(
    {
        "euler": (EulerDiscreteScheduler, PLAIN),
        "euler_a": (EulerAncestralDiscreteScheduler, {}),
        "dpm++2m": (DPMSolverMultistepScheduler, ODE | PLAIN),
        "dpm++2m_karras": (DPMSolverMultistepScheduler, ODE | KARRAS),
        "dpm++sde": (DPMSolverSinglestepScheduler, SDE | PLAIN),
        "dpm++sde_karras": (DPMSolverSinglestepScheduler, SDE | KARRAS),
        "lcm": (LCMScheduler, {}),
        "tcd": (TCDScheduler, {}),
    }
)


def make_scheduler(name: str, config: Mapping[str, Any]) -> SchedulerMixin:
    """Make a new scheduler, one per run, because schedulers keep state.

    Args:
        name: one of `SCHEDULER_CLASSES`.
        config: the checkpoint's own scheduler config, for betas and prediction type.
    """
    scheduler, overrides = SCHEDULER_CLASSES[name]
    # As keywords: in the config, diffusers drops options that the checkpoint's class leaves out.
    return scheduler.from_config(config, **overrides)


def start_at(scheduler: Any, steps: int, strength: float) -> torch.Tensor:
    """The timesteps that are left for image-to-image at this denoising strength."""
    start = max(steps - min(int(steps * strength), steps), 0) * scheduler.order
    scheduler.set_begin_index(start)
    timesteps: torch.Tensor = scheduler.timesteps[start:]
    return timesteps


def noised(
    scheduler: Any, time: torch.Tensor, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """The factors of picture and noise in a picture noised to a timestep.

    Computed on the host, so that the loop does not wait for the device.

    Args:
        scheduler: made by `make_scheduler`.
        time: (1,), the timestep at which the scheduler is.
        dtype: dtype of the factors.

    Returns:
        Two () tensors.
    """
    one, nothing = torch.ones(1, dtype=dtype), torch.zeros(1, dtype=dtype)
    return scheduler.add_noise(one, nothing, time)[0], scheduler.add_noise(nothing, one, time)[0]


@dataclass(frozen=True, kw_only=True)
class KnownLatents:
    """The photo's latents, which replace the painted ones at each step where they are kept.

    Where the strength lies between 0 and 1, they are kept in the first steps only (Levin and Fried
    2023, "Differential Diffusion", arXiv:2306.00950).

    Attributes:
        clean: (n, c, h, w).
        noise: of the same shape.
        strength: (n, 1, h, w) in 0–1, the share of the steps in which a latent is painted.
    """

    clean: torch.Tensor = field(repr=False)
    noise: torch.Tensor = field(repr=False)
    strength: torch.Tensor = field(repr=False)

    def painted(self, share: float) -> torch.Tensor:
        """The latents that are painted after this share of the steps: 1, and 0 for the others."""
        begun = self.strength + share >= 1 - ROUNDING
        return (begun & (self.strength > 0)).to(self.clean.dtype)

    def blend(
        self, latents: torch.Tensor, scheduler: Any, timesteps: torch.Tensor, done: int
    ) -> torch.Tensor:
        """Painted latents with the known ones, noised as they are after `done` steps."""
        known, following = self.clean, timesteps[done : done + 1]
        if len(following):
            keep, spread = noised(scheduler, following, known.dtype)
            known = keep * known + spread * self.noise
        painted = self.painted(done / len(timesteps))
        return (1 - painted) * known + painted * latents


def step_options(scheduler: Any, generators: list[torch.Generator]) -> dict[str, Any]:
    """The optional arguments that this scheduler's `step` takes."""
    accepted = inspect.signature(scheduler.step).parameters
    options = {"generator": generators, "eta": 0.0}
    return {name: value for name, value in options.items() if name in accepted}


def predict_clean(
    scheduler: Any, noisy: torch.Tensor, output: torch.Tensor, time: torch.Tensor
) -> torch.Tensor:
    """The clean latents x₀ that one model output predicts (Ho et al., 2020).

    `noisy` is the scaled model input, which is variance preserving for all our schedulers.
    """
    signal = float(scheduler.alphas_cumprod[int(time)])
    keep, spread = math.sqrt(signal), math.sqrt(1 - signal)
    if scheduler.config.prediction_type == "v_prediction":
        return keep * noisy - spread * output
    if scheduler.config.prediction_type == "sample":
        return output
    return (noisy - spread * output) / keep
