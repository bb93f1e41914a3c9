"""What the painter's helpers have in common: a model, its processor, and where they run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

import torch


class Pretrained:
    """A model of transformers with its processor, on one device. Not thread-safe.

    A subclass names the classes of both: what the files call them has changed over the years.
    """

    MODEL: ClassVar[Any]
    PROCESSOR: ClassVar[Any]

    def __init__(self, model: Any, processor: Any, device: torch.device) -> None:
        self._model = model.to(device).eval()
        self._processor = processor
        self._device = device

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> Self:
        """Load both from a local folder, in float32: they are small."""
        model = cls.MODEL.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, local_files_only=True
        )
        processor = cls.PROCESSOR.from_pretrained(folder, local_files_only=True)
        return cls(model, processor, device)
