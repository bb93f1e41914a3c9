"""Model calls that take seconds: run in a thread, watched and interrupted between layers."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Self, TypeAlias, TypeVar

import torch
from torch import nn

from inference.errors import Cancelled
from inference.runtime.background_task import BEAT_SECONDS

Event = TypeVar("Event")
Value = TypeVar("Value")
Models: TypeAlias = Sequence[nn.Module]

# Parameters from which on a model takes about a second or more on a CPU.
LARGE = 100_000_000


class LongCalls:
    """Runs calls of models in a thread, so that a generator can yield and be closed meanwhile.

    After the generator was closed, a call ends at the next layer of an attached model. Not
    thread-safe: one call at a time.
    """

    def __init__(self) -> None:
        self._done = 0
        self._stopped = False

    @classmethod
    def watching(cls, *models: nn.Module) -> Self:
        """A new instance with these models attached."""
        calls = cls()
        for model in models:
            calls.attach(model)
        return calls

    def attach(self, model: nn.Module) -> None:
        """Watch the layers of a model."""
        for layer in _layers(model):
            layer.register_forward_pre_hook(self._begin_layer)

    def run(
        self, call: Callable[[], Value], report: Callable[[float], Event], models: Models = ()
    ) -> Generator[Event, None, Value]:
        """Run a call without gradients; yields reports of its share done, returns its value.

        Args:
            call: what to run.
            report: makes an event of the share of the layers that have run, in 0–1, about every
                `BEAT_SECONDS`.
            models: each attached model that the call runs, as often as it runs it.

        Raises:
            Whatever `call` raises.
        """
        layers = max(1, sum(len(_layers(model)) for model in models))
        self._done, self._stopped = 0, False
        with ThreadPoolExecutor(1, thread_name_prefix="long call") as pool:
            running = pool.submit(torch.inference_mode()(call))
            try:
                while not wait((running,), BEAT_SECONDS).done:
                    yield report(min(1.0, self._done / layers) if models else 0.0)
            finally:
                self._stopped = True
                wait((running,))
                self._stopped = False
            return running.result()

    def _begin_layer(self, _layer: nn.Module, _inputs: object) -> None:
        if self._stopped:
            raise Cancelled
        self._done += 1


def takes_long(model: nn.Module, device: torch.device) -> bool:
    """Whether a call of a model takes about a second or more on a device."""
    parameters = sum(one.numel() for one in model.parameters())
    return device.type in ("cpu", "mps") and parameters >= LARGE


def _layers(model: nn.Module) -> list[nn.Module]:
    """The layers that take most of a model's time."""
    return [one for one in model.modules() if isinstance(one, nn.Conv2d | nn.Linear)]
