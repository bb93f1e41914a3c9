"""Moves a model to a GPU while its callers stay on the CPU, where the drawings are made."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_map


class _Border:
    """Hooks that move the inputs of a model's parts to a device, and their outputs to the CPU.

    Only the outermost call is moved; calls between parts stay on the device.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._depth = 0

    def enter(self, _: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        self._depth += 1
        return _moved((given, named), self._device) if self._depth == 1 else None

    def leave(self, _: nn.Module, __: tuple[Any, ...], output: Any) -> Any:
        self._depth -= 1
        return None if self._depth else _moved(output, torch.device("cpu"))


def lend(model: nn.Module, device: torch.device) -> None:
    """Move a model to a device, with hooks that move inputs and outputs of its calls."""
    if device.type == "cpu":
        return
    model.to(device)
    border = _Border(device)
    for part in model.modules():
        part.register_forward_pre_hook(border.enter, with_kwargs=True)
        part.register_forward_hook(border.leave, always_call=True)


def _moved(values: Any, device: torch.device) -> Any:
    return tree_map(lambda one: one.to(device) if torch.is_tensor(one) else one, values)
