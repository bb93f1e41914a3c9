"""Base class of the helper models from transformers: model, processor and device."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

import torch

from inference.runtime.load_lock import MODEL_CONSTRUCTION


class Pretrained:
    """A transformers model with its processor on one device. Not thread-safe.

    Subclasses name the classes of model and processor, because the class names in the
    repositories' files have changed over time.
    """

    MODEL: ClassVar[Any]
    PROCESSOR: ClassVar[Any]

    def __init__(self, model: Any, processor: Any, device: torch.device) -> None:
        self._model = model.to(device).eval()
        self._processor = processor
        self._device = device

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> Self:
        """Load model and processor from a local folder, in float32: these models are small."""
        with MODEL_CONSTRUCTION:
            model = cls.MODEL.from_pretrained(
                folder, dtype=torch.float32, use_safetensors=True, local_files_only=True
            )
        processor = cls.PROCESSOR.from_pretrained(folder, local_files_only=True)
        return cls(model, processor, device)
