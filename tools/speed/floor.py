"""Measured peak rates of a device (roofline): matrix products and memory copies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

REPEATS = 7


@dataclass(frozen=True, kw_only=True)
class Floor:
    """The measured rates of a device.

    Attributes:
        flops: floating-point operations a second, in a large matrix product.
        bytes: bytes read a second, in a large copy.
    """

    flops: float
    bytes: float

    def seconds(self, flops: float, read: float) -> float:
        """The least time for a number of operations and of bytes of weights read."""
        return max(flops / self.flops, read / self.bytes)


def measure(
    device: torch.device, dtype: torch.dtype, now: Callable[[], float], *, small: bool
) -> Floor:
    """Measure a device with the clock `now`; `small` uses smaller matrices."""
    side = 1024 if small else 8192
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    product = timed(lambda: left @ right, device, now)
    numbers = torch.zeros(2**24 if small else 2**29, dtype=torch.uint8, device=device)
    target = torch.empty_like(numbers)
    copy = timed(lambda: target.copy_(numbers), device, now)
    return Floor(flops=2 * side**3 / product, bytes=2 * numbers.numel() / copy)


def timed(work: Callable[[], object], device: torch.device, now: Callable[[], float]) -> float:
    """Seconds of the fastest of several runs, after one to warm up."""
    work()
    seconds = []
    for _ in range(REPEATS):
        finish(device)
        started = now()
        work()
        finish(device)
        seconds.append(now() - started)
    return min(seconds)


def finish(device: torch.device) -> None:
    """Wait until a device has finished its queued work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
