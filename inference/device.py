"""The only probe of the hardware."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True, kw_only=True)
class Device:
    """Where models run and in which precision."""

    torch_device: torch.device
    dtype: torch.dtype
    title: str

    @property
    def is_gpu(self) -> bool:
        """Whether full-size models paint in seconds here."""
        return self.torch_device.type != "cpu"

    @classmethod
    def probe(cls) -> Device:
        """The best device of this machine: CUDA, then Apple's MPS, then the CPU."""
        if torch.cuda.is_available():
            name = torch.cuda.get_device_name()
            return cls(torch_device=torch.device("cuda"), dtype=torch.float16, title=name)
        if torch.backends.mps.is_available():
            return cls(torch_device=torch.device("mps"), dtype=torch.float16, title="Apple GPU")
        return cls(torch_device=torch.device("cpu"), dtype=torch.float32, title="CPU")
