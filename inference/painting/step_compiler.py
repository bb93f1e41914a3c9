"""Compiles denoising steps with `torch.compile` in a background thread.

Until a compiled step is ready, the step runs uncompiled. A step is compiled once for each kind of
inputs: the number of ControlNets, with or without guidance, the LoRAs in use. Strength, guidance
scale, seed, number of steps, scheduler and checkpoint are not part of the kind; from the second
size on, all sizes share one graph. A compiled step is used after its output was found equal to the
uncompiled one within `TOLERANCE`.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Hashable
from queue import Empty, SimpleQueue
from subprocess import SubprocessError
from threading import Lock, Thread
from typing import Any, NamedTuple

import torch
from torch._dynamo.exc import FailOnRecompileLimitHit
from torch.utils._pytree import tree_leaves, tree_map

from inference.painting.denoiser import Denoiser, DenoiserInputs, RunDenoiser
from inference.runtime.library_errors import LIBRARY_ERRORS

log = logging.getLogger(__name__)

# Largest difference between compiled and uncompiled output, relative to the largest value.
TOLERANCE = {torch.float32: 1e-3, torch.float16: 2e-2, torch.bfloat16: 5e-2}
# Most kinds of inputs that are compiled; steps of further kinds run uncompiled.
MAX_KINDS = 64


class _Task(NamedTuple):
    """A step to compile, with inputs to run it on."""

    kind: Hashable
    denoiser: Denoiser
    arguments: tuple[Any, ...]


class StepCompiler:
    """A `RunDenoiser` that uses compiled steps as soon as they are ready. Thread-safe.

    Args:
        backend: backend of `torch.compile`.
    """

    def __init__(self, backend: str = "inductor") -> None:
        self._compiled: RunDenoiser = torch.compile(
            Denoiser.forward, fullgraph=True, backend=backend
        )
        self._run_compiled: RunDenoiser = torch._dynamo.run(Denoiser.forward)
        self._queued: set[Hashable] = set()
        self._ready: set[Hashable] = set()
        self._tried = 0
        self._tasks: SimpleQueue[_Task] = SimpleQueue()
        self._lock = Lock()
        self._worker: Thread | None = None

    def __call__(
        self,
        denoiser: Denoiser,
        noisy: torch.Tensor,
        time: torch.Tensor,
        cfg_scale: torch.Tensor | None,
        inputs: DenoiserInputs,
    ) -> torch.Tensor:
        """Run a step compiled if possible; else run it uncompiled and queue its compilation."""
        arguments = noisy, time, cfg_scale, inputs
        kind = _kind(denoiser, arguments)
        if kind in self._ready:
            return self._run_compiled(denoiser, *arguments)
        # An IP-Adapter's scale changes from step to step and would be a constant of the graph.
        if not inputs.image_embeds:
            self._enqueue(kind, denoiser, arguments)
        output: torch.Tensor = denoiser(*arguments)
        return output

    @property
    def ready(self) -> int:
        """Number of kinds of inputs whose step runs compiled."""
        return len(self._ready)

    @property
    def busy(self) -> bool:
        """Whether a step is being compiled or waits for it."""
        return self._tried < len(self._queued)

    def _enqueue(self, kind: Hashable, denoiser: Denoiser, arguments: tuple[Any, ...]) -> None:
        with self._lock:
            if kind in self._queued:
                return
            self._queued.add(kind)
        copies = tree_map(lambda one: one.clone() if torch.is_tensor(one) else one, arguments)
        with self._lock:
            self._tasks.put(_Task(kind, _shallow_copy(denoiser), copies))
            if self._worker is None:
                self._worker = Thread(target=self._work, daemon=True, name="step-compiler")
                self._worker.start()

    def _work(self) -> None:
        """Compile what is queued, then end; the next task starts a new thread."""
        while True:
            try:
                task = self._tasks.get_nowait()
            except Empty:
                with self._lock:
                    if self._tasks.empty():
                        self._worker = None
                        return
                continue
            self._compile(task)
            self._tried += 1
            del task  # which keeps its tensors on the device

    @torch.inference_mode()
    def _compile(self, task: _Task) -> None:
        try:
            with torch._dynamo.config.patch(recompile_limit=MAX_KINDS):
                compiled = self._compiled(task.denoiser, *task.arguments)
            uncompiled = task.denoiser(*task.arguments)
        except (*LIBRARY_ERRORS, ImportError, SubprocessError, FailOnRecompileLimitHit) as error:
            log.warning("a step runs uncompiled, because compiling failed: %s", error)
            return
        if differs(compiled, uncompiled):
            return
        self._ready.add(task.kind)
        log.info("a step for %s is compiled", tuple(task.arguments[0].shape))


def differs(compiled: torch.Tensor, uncompiled: torch.Tensor) -> bool:
    """Whether a compiled step's output is out of `TOLERANCE`; logs it."""
    error = float((compiled - uncompiled).abs().max() / uncompiled.abs().max())
    if error <= TOLERANCE[uncompiled.dtype]:
        return False
    log.warning("a step runs uncompiled: compiled, its output differs by %.0f %%", 100 * error)
    return True


def _kind(denoiser: Denoiser, arguments: tuple[Any, ...]) -> Hashable:
    """Key of a compiled graph: LoRAs, ControlNets, shapes, dtypes and constants."""
    shapes = tuple(
        (one.shape, one.dtype, one.device) if torch.is_tensor(one) else one
        for one in tree_leaves(arguments)
    )
    return denoiser.lora_key, len(denoiser.controlnets), shapes


def _shallow_copy(denoiser: Denoiser) -> Denoiser:
    """A copy that shares the weights, but keeps its LoRAs when those of the original change."""
    weights = [*denoiser.parameters(), *denoiser.buffers()]
    return copy.deepcopy(denoiser, {id(one): one for one in weights})
