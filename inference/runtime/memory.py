"""GPU memory: what fits on a card, and offloading of models that are not in use."""

from __future__ import annotations

from dataclasses import dataclass

import torch

GIB = 2**30
# Bytes, see docs/performance.md: a checkpoint of Stable Diffusion 1.5 with one ControlNet in half
# precision; UNet and ControlNet, the largest part in use at once; the detectors.
CHECKPOINT, LARGEST, DETECTORS = int(2.7 * GIB), int(2.3 * GIB), 1 * GIB
# Bytes of a step's activations, and of the overhead of allocator and libraries.
WORK, OVERHEAD = int(0.2 * GIB), int(0.3 * GIB)
# Bytes per pixel for decoding, doubled because freed blocks cannot always be reused.
PER_PIXEL = 2 * 1536
# Pixels beyond which the autoencoder always works in tiles.
LARGE = 1280 * 1280


@dataclass(frozen=True, kw_only=True)
class MemoryPolicy:
    """Which models stay on a card, and from which size on the autoencoder works in tiles.

    Attributes:
        offload: keep only the models in use on the card, and the others on the host.
        tile_beyond: the most pixels that the autoencoder takes in one piece.
    """

    offload: bool = False
    tile_beyond: int = LARGE

    @property
    def title(self) -> str:
        """The policy in words, for the log."""
        return "models take turns" if self.offload else "all models stay"

    @classmethod
    def of(cls, free: int) -> MemoryPolicy:
        """The policy for `free` bytes of memory, before a checkpoint is loaded."""
        offload = free < CHECKPOINT + DETECTORS + WORK + OVERHEAD
        # While the decoder runs, the rest of an offloaded checkpoint is on the host.
        room = free - OVERHEAD - (0 if offload else CHECKPOINT + DETECTORS)
        return cls(offload=offload, tile_beyond=min(LARGE, max(0, room) // PER_PIXEL))


class ModelOffloader:
    """Moves the models of one checkpoint between host and device (model CPU offload).

    Args:
        device: where models run.
        offload: keep only active models on the device; without it all of them stay there.

    Attributes:
        active: with `offload`, the models that are on the device.
    """

    def __init__(self, device: torch.device, *, offload: bool = False) -> None:
        self.device = device
        self.offload = offload
        self.active: tuple[torch.nn.Module, ...] = ()

    def place(self, model: torch.nn.Module) -> torch.nn.Module:
        """Move a newly loaded model to the host with `offload`, else to the device."""
        return model.to("cpu" if self.offload else self.device)

    def activate(self, *models: torch.nn.Module) -> None:
        """Move these models to the device and, with `offload`, all others to the host."""
        if not self.offload or models == self.active:
            return
        for model in self.active:
            if model not in models:
                model.to("cpu")
        for model in models:
            model.to(self.device)
        self.active = models
