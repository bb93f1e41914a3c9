"""A model on a GPU, and all that is round it on the CPU, where the drawings are made."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_map


class _Border:
    """Brings what goes into a model's parts to their device, and what comes out to the CPU.

    Only a call from outside crosses back: inside, one part hands over to the next.
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
    """Move a model to a device; who calls it, or parts of it, need not know."""
    if device.type == "cpu":
        return
    model.to(device)
    border = _Border(device)
    for part in model.modules():
        part.register_forward_pre_hook(border.enter, with_kwargs=True)
        part.register_forward_hook(border.leave, always_call=True)


def _moved(values: Any, device: torch.device) -> Any:
    return tree_map(lambda one: one.to(device) if torch.is_tensor(one) else one, values)
