"""The device that models run on: CUDA, Apple's MPS or the CPU.

No other module probes the hardware.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from inference.runtime.host import is_zero_gpu
from inference.runtime.memory import MemoryPolicy


@dataclass(frozen=True, kw_only=True)
class Device:
    """A torch device, the painter's dtype on it, and a display name."""

    torch_device: torch.device
    dtype: torch.dtype
    title: str

    @property
    def is_gpu(self) -> bool:
        """Whether full-size models paint in seconds on this device."""
        return self.torch_device.type != "cpu"

    @property
    def compiles(self) -> bool:
        """Whether compiling denoising steps in the background saves time on this device."""
        return self.torch_device.type == "cuda"

    @property
    def is_lent(self) -> bool:
        """Whether the GPU is allocated per call (ZeroGPU), without background work."""
        return is_zero_gpu()

    @property
    def layout(self) -> torch.memory_format:
        """The memory format in which convolutions are fastest; see docs/performance.md."""
        is_mps = self.torch_device.type == "mps"
        return torch.contiguous_format if is_mps else torch.channels_last

    def memory(self) -> MemoryPolicy:
        """The memory policy for the device's free memory."""
        if self.torch_device.type != "cuda":
            return MemoryPolicy()
        return MemoryPolicy.of(torch.cuda.mem_get_info()[0])

    @classmethod
    def probe(cls) -> Device:
        """The best device of this machine: CUDA, then MPS, then the CPU."""
        if torch.cuda.is_available():
            name = torch.cuda.get_device_name()
            return cls(torch_device=torch.device("cuda"), dtype=torch.float16, title=name)
        if torch.backends.mps.is_available():
            return cls(torch_device=torch.device("mps"), dtype=torch.float16, title="Apple GPU")
        return cls.cpu()

    @classmethod
    def cpu(cls, title: str = "CPU") -> Device:
        """The CPU, in float32."""
        return cls(torch_device=torch.device("cpu"), dtype=torch.float32, title=title)


class StepThrottle:
    """Keeps the host at most one denoising step ahead of a CUDA device.

    The device always has work queued, and progress is at most one step ahead of it.
    """

    def __init__(self, device: torch.device) -> None:
        self._is_asynchronous = device.type == "cuda"
        self._last: torch.cuda.Event | None = None

    def wait(self) -> None:
        """Record the step that was just launched; wait until the one before it is done."""
        if self._is_asynchronous:
            before, self._last = self._last, torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._last.record()
            if before is not None:
                before.synchronize()
