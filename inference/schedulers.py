"""The eight schedulers by the names that prompt blocks use."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from diffusers import (
    DPMSolverMultistepScheduler,
    DPMSolverSinglestepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    SchedulerMixin,
    TCDScheduler,
)

SDE = {"algorithm_type": "sde-dpmsolver++"}
KARRAS = {"use_karras_sigmas": True}

SCHEDULER_CLASSES: Mapping[str, tuple[type[SchedulerMixin], Mapping[str, Any]]] = MappingProxyType(
    {
        "euler": (EulerDiscreteScheduler, {}),
        "euler_a": (EulerAncestralDiscreteScheduler, {}),
        "dpm++2m": (DPMSolverMultistepScheduler, {}),
        "dpm++2m_karras": (DPMSolverMultistepScheduler, KARRAS),
        "dpm++sde": (DPMSolverSinglestepScheduler, SDE),
        "dpm++sde_karras": (DPMSolverSinglestepScheduler, SDE | KARRAS),
        "lcm": (LCMScheduler, {}),
        "tcd": (TCDScheduler, {}),
    }
)


def make_scheduler(name: str, config: Mapping[str, Any]) -> SchedulerMixin:
    """A fresh scheduler, because they keep state while they run.

    Args:
        name: one of `SCHEDULER_CLASSES`.
        config: the checkpoint's own scheduler config: its betas and its prediction type.
    """
    scheduler, overrides = SCHEDULER_CLASSES[name]
    return scheduler.from_config({**config, **overrides})
