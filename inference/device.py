"""The only probe of the hardware."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from inference import zero_gpu

GIB = 2**30
# A checkpoint of Stable Diffusion 1.5 with one ControlNet in half precision; the largest part of
# it that works at once, UNet and ControlNet; the detectors beside it. Counted, see
# docs/performance.md.
CHECKPOINT, LARGEST, DETECTORS = int(2.7 * GIB), int(2.3 * GIB), 1 * GIB
# What a step needs beside the weights, and what the allocator and the libraries take of their own.
WORK, OVERHEAD = int(0.2 * GIB), int(0.3 * GIB)
# What decoding needs for a pixel, twice over, because freed blocks do not always fit.
PER_PIXEL = 2 * 1536
# Beyond this many pixels the autoencoder works in tiles in any case.
LARGE = 1280 * 1280


@dataclass(frozen=True, kw_only=True)
class MemoryPolicy:
    """What stays on a card.

    Attributes:
        offload: whether only the models that work are on it, and the others wait on the host.
        tile_beyond: how many pixels the autoencoder takes in one piece.
    """

    offload: bool = False
    tile_beyond: int = LARGE

    @property
    def title(self) -> str:
        """What it does, in words."""
        return "models take turns" if self.offload else "all models stay"

    @classmethod
    def of(cls, free: int) -> MemoryPolicy:
        """The policy for so many free bytes, before a checkpoint is loaded."""
        offload = free < CHECKPOINT + DETECTORS + WORK + OVERHEAD
        # While the decoder works, the rest of an offloaded checkpoint is on the host.
        room = free - OVERHEAD - (0 if offload else CHECKPOINT + DETECTORS)
        return cls(offload=offload, tile_beyond=min(LARGE, max(0, room) // PER_PIXEL))


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

    @property
    def compiles(self) -> bool:
        """Whether compiling a step behind the scenes pays here."""
        return self.torch_device.type == "cuda"

    @property
    def is_lent(self) -> bool:
        """Whether it is lent for a painting at a time, so that nothing can go on behind it."""
        return zero_gpu.is_here()

    @property
    def layout(self) -> torch.memory_format:
        """How pictures lie in memory where convolutions are fastest; see docs/performance.md."""
        is_mps = self.torch_device.type == "mps"
        return torch.contiguous_format if is_mps else torch.channels_last

    def memory(self) -> MemoryPolicy:
        """What fits now."""
        if self.torch_device.type != "cuda":
            return MemoryPolicy()
        return MemoryPolicy.of(torch.cuda.mem_get_info()[0])

    @classmethod
    def probe(cls) -> Device:
        """The best device of this machine: CUDA, then Apple's MPS, then the CPU."""
        if torch.cuda.is_available():
            name = torch.cuda.get_device_name()
            return cls(torch_device=torch.device("cuda"), dtype=torch.float16, title=name)
        if torch.backends.mps.is_available():
            return cls(torch_device=torch.device("mps"), dtype=torch.float16, title="Apple GPU")
        return cls.cpu()

    @classmethod
    def cpu(cls, title: str = "CPU") -> Device:
        """What every machine has."""
        return cls(torch_device=torch.device("cpu"), dtype=torch.float32, title=title)


class Turns:
    """The models of one checkpoint, all of them on the device or only those whose turn it is.

    Args:
        offload: let only those stay on the device that work, and the others wait on the host.
    """

    def __init__(self, device: torch.device, *, offload: bool = False) -> None:
        self.device = device
        self.offload = offload
        self.there: tuple[torch.nn.Module, ...] = ()

    def place(self, model: torch.nn.Module) -> torch.nn.Module:
        """Put a loaded model where it waits for its turn."""
        return model.to("cpu" if self.offload else self.device)

    def take(self, *models: torch.nn.Module) -> None:
        """It is these models' turn."""
        if not self.offload or models == self.there:
            return
        for model in self.there:
            if model not in models:
                model.to("cpu")
        for model in models:
            model.to(self.device)
        self.there = models


class Pace:
    """Keeps the host at most one step ahead of a CUDA device.

    So the device never waits for work, and what is told of a step is true within one step.
    """

    def __init__(self, device: torch.device) -> None:
        self._is_ahead = device.type == "cuda"
        self._last: torch.cuda.Event | None = None

    def keep(self) -> None:
        """A step was handed to the device; wait until the one before it is done."""
        if self._is_ahead:
            before, self._last = self._last, torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._last.record()
            if before is not None:
                before.synchronize()
