"""Base class of the helper models from transformers: model, processor and device."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

import torch

from inference.errors import InvalidCatalog
from inference.runtime.load_lock import MODEL_CONSTRUCTION


def load_model(kind: Any, folder: Path) -> Any:
    """A transformers model from a local folder, in float32.

    Args:
        kind: its class.
        folder: with config and safetensors, in full or half precision.

    Raises:
        InvalidCatalog: weights are missing, in whose place transformers puts random ones.
    """
    half = any(folder.glob("*.fp16.safetensors"))
    with MODEL_CONSTRUCTION:
        model, found = kind.from_pretrained(
            folder,
            dtype=torch.float32,
            variant="fp16" if half else None,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )
    if set(found["missing_keys"]) & {name for name, _ in model.named_parameters()}:
        raise misfit(kind.__name__)
    return model


def misfit(title: str) -> InvalidCatalog:
    """The error for weights that do not fit their model, which has this name."""
    return InvalidCatalog(
        f"The weights of {title} do not fit its config: correct its entry in the catalog, or "
        "choose another style."
    )


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
        """Load model and processor from a local folder, in float32: these models are small.

        Raises:
            InvalidCatalog: as `load_model`.
        """
        model = load_model(cls.MODEL, folder)
        processor = cls.PROCESSOR.from_pretrained(folder, local_files_only=True)
        return cls(model, processor, device)
