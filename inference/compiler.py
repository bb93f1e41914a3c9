"""Compiles denoising steps behind the scenes; until one is ready, it runs as it is.

A step is compiled for the kind of inputs that it is asked for: its number of ControlNets, with or
without guidance, LoRAs worn. Strength, guidance scale, seed, number of steps and scheduler are
not part of that, and neither is the checkpoint; from the second size on, all sizes share one.
A compiled step counts as ready once it has given what the plain one gives.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Hashable
from queue import SimpleQueue
from subprocess import SubprocessError
from threading import Lock, Thread
from typing import Any, NamedTuple

import torch
from torch._dynamo.exc import FailOnRecompileLimitHit
from torch.utils._pytree import tree_leaves, tree_map

from inference.denoiser import Conditions, Denoiser, Run
from inference.faults import FAULTS

log = logging.getLogger(__name__)

# How far a compiled step may differ from the plain one, as a part of the largest value.
TOLERANCE = {torch.float32: 1e-3, torch.float16: 2e-2, torch.bfloat16: 5e-2}
# More kinds than any session asks for; beyond, further ones run as they are.
MAX_KINDS = 64


class _Order(NamedTuple):
    """A step to compile, with inputs to try it on."""

    kind: Hashable
    denoiser: Denoiser
    inputs: tuple[Any, ...]


class Compiler:
    """Runs denoisers; see `denoiser.Run`. Thread-safe.

    Args:
        backend: of `torch.compile`.
    """

    def __init__(self, backend: str = "inductor") -> None:
        self._compiled: Run = torch.compile(Denoiser.forward, fullgraph=True, backend=backend)
        self._as_compiled_before: Run = torch._dynamo.run(Denoiser.forward)
        self._asked: set[Hashable] = set()
        self._ready: set[Hashable] = set()
        self._tried = 0
        self._orders: SimpleQueue[_Order] = SimpleQueue()
        self._lock = Lock()
        self._worker: Thread | None = None

    def __call__(
        self,
        denoiser: Denoiser,
        noisy: torch.Tensor,
        time: torch.Tensor,
        cfg_scale: torch.Tensor | None,
        given: Conditions,
    ) -> torch.Tensor:
        """Run a step: compiled if that is ready, else as it is, and have it compiled."""
        inputs = noisy, time, cfg_scale, given
        kind = _kind(denoiser, inputs)
        if kind in self._ready:
            return self._as_compiled_before(denoiser, noisy, time, cfg_scale, given)
        # An adapter's scale changes from step to step and is a part of what would be compiled.
        if not given.seen:
            self._ask(kind, denoiser, inputs)
        output: torch.Tensor = denoiser(noisy, time, cfg_scale, given)
        return output

    @property
    def ready(self) -> int:
        """How many kinds of steps run compiled."""
        return len(self._ready)

    @property
    def busy(self) -> bool:
        """Whether something is being compiled."""
        return self._tried < len(self._asked)

    def _ask(self, kind: Hashable, denoiser: Denoiser, inputs: tuple[Any, ...]) -> None:
        with self._lock:
            if kind in self._asked:
                return
            self._asked.add(kind)
            if self._worker is None:
                self._worker = Thread(target=self._work, daemon=True)
                self._worker.start()
        tried = tree_map(lambda one: one.clone() if torch.is_tensor(one) else one, inputs)
        self._orders.put(_Order(kind, _twin(denoiser), tried))

    def _work(self) -> None:
        while True:
            order = self._orders.get()
            self._make(order)
            self._tried += 1
            del order  # its tensors stay on the device as long

    @torch.inference_mode()
    def _make(self, order: _Order) -> None:
        try:
            with torch._dynamo.config.patch(recompile_limit=MAX_KINDS):
                ours = self._compiled(order.denoiser, *order.inputs)
            plain = order.denoiser(*order.inputs)
        except (*FAULTS, ImportError, SubprocessError, FailOnRecompileLimitHit) as error:
            log.warning("a step runs as it is, for it cannot be compiled: %s", error)
            return
        if is_off(ours, plain):
            return
        self._ready.add(order.kind)
        log.info("a step for %s is compiled", tuple(order.inputs[0].shape))


def is_off(ours: torch.Tensor, plain: torch.Tensor) -> bool:
    """Whether a compiled step gave something else than the plain one; says so in the log."""
    off = float((ours - plain).abs().max() / plain.abs().max())
    if off <= TOLERANCE[plain.dtype]:
        return False
    log.warning("a step runs as it is, for compiled it is %.0f %% off", 100 * off)
    return True


def _kind(denoiser: Denoiser, inputs: tuple[Any, ...]) -> Hashable:
    """What a compiled step is made for."""
    shapes = tuple(
        (one.shape, one.dtype, one.device) if torch.is_tensor(one) else one
        for one in tree_leaves(inputs)
    )
    return denoiser.dress, len(denoiser.controlnets), shapes


def _twin(denoiser: Denoiser) -> Denoiser:
    """The same step on the same weights, which keeps its LoRAs when the other changes them."""
    weights = [*denoiser.parameters(), *denoiser.buffers()]
    return copy.deepcopy(denoiser, {id(one): one for one in weights})
