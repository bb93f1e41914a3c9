"""Counts operations, kernel launches, memory and host-device waits of PyTorch code.

Counts are exact and repeatable. On the device `meta` nothing is computed but everything is counted,
so that full-size models are counted in seconds on any machine.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

# Operators that return a view or uninitialized memory, for which no kernel runs.
FREE = {
    "view", "_unsafe_view", "reshape", "t", "transpose", "permute", "expand", "slice", "select",
    "unsqueeze", "squeeze", "split", "chunk", "detach", "alias", "as_strided", "empty",
    "empty_like", "empty_strided", "unbind", "_reshape_alias", "split_with_sizes", "new_empty",
    "lift_fresh", "is_same_size", "new_empty_strided",
}  # fmt: skip
ONE = {"scaled_dot_product_attention"}  # one kernel on a GPU, though PyTorch can decompose it
READ = {"_local_scalar_dense", "equal", "is_nonzero"}  # operators that the host waits for
# Tensors of at most this many elements belong to a scheduler and stay on the host.
HOSTS = 64


@dataclass
class Work:
    """Counts of some work on a device.

    Attributes:
        launches: operators that run a kernel.
        flops: floating-point operations of matrix products and convolutions; a multiply-add is 2.
        peak: the most bytes of results that were alive at once, weights not counted.
        waits: times that the host waited for the device, or the device for the host's memory.
        operators: how often each ran.
    """

    launches: int = 0
    flops: int = 0
    peak: int = 0
    waits: int = 0
    operators: Counter[str] = field(default_factory=Counter)


class _Watch(TorchDispatchMode):
    """Dispatch mode that counts every operator on a device, but not those on the host."""

    def __init__(self, work: Work, device: torch.device) -> None:
        super().__init__()
        self._work = work
        self._device = device
        self._alive = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        if name == "dropout":  # does nothing outside of training
            return func(*args, **kwargs)
        if name not in ONE:
            with self:  # into the operators that run, which inference mode hides
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        output = func(*args, **kwargs)
        inputs = [one for one in tree_leaves((args, kwargs)) if torch.is_tensor(one)]
        outputs = [one for one in tree_leaves(output) if torch.is_tensor(one)]
        every = [*inputs, *outputs]
        devices = {one.device.type for one in every if one.dim() or name in READ}
        if self._device.type not in {one.device.type for one in every}:
            return output
        if self._device.type == "cpu" and all(one.numel() <= HOSTS for one in every):
            return output
        moved = name in ("_to_copy", "copy_") and len(devices) > 1
        if moved or name in READ:
            self._work.waits += 1
        if name not in FREE:
            self._work.launches += 1
            self._work.operators[name] += 1
        if name not in FREE or "empty" in name:
            for one in outputs:
                self._keep(one)
        return output

    def _keep(self, tensor: torch.Tensor) -> None:
        """Count a tensor's memory for as long as it is referenced."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._seen or tensor.device.type != self._device.type:
            return
        size = storage.nbytes()
        self._seen.add(key)
        self._alive += size
        self._work.peak = max(self._work.peak, self._alive)

        def free() -> None:
            self._seen.discard(key)
            self._alive -= size

        weakref.finalize(storage, free)


@contextmanager
def counted(device: torch.device) -> Iterator[Work]:
    """Context manager that counts the work on a device; complete on exit."""
    work = Work()
    flops = FlopCounterMode(display=False)
    with flops, _Watch(work, device):
        yield work
    work.flops = flops.get_total_flops()
