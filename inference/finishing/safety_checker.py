"""Stable Diffusion's safety checker: pictures that it flags are withheld.

It compares a picture's CLIP embedding with those of 17 undisclosed concepts (Rando et al. 2022,
arXiv:2210.04610, describe what it finds and misses).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np
import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from PIL import Image
from safetensors.torch import load_file
from transformers import CLIPConfig
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from inference.errors import DamagedDownload, Withheld
from inference.picture.photo import Pixels
from inference.picture.progress import Progress
from inference.picture.result import Result
from inference.runtime.library_errors import check_finite
from inference.runtime.load_lock import MODEL_CONSTRUCTION
from inference.runtime.pretrained import Pretrained

Flags = Callable[[Sequence[Pixels]], tuple[bool, ...]]

GRAY = 128


class SafetyChecker(Pretrained):
    """The safety checker on one device. Not thread-safe."""

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> Self:
        """Load model and processor from a local folder, in float32.

        Raises:
            DamagedDownload: a weight is missing; a checker with random weights flags nothing.
        """
        with MODEL_CONSTRUCTION:
            model = StableDiffusionSafetyChecker(CLIPConfig.from_pretrained(folder))
        wanted = model.state_dict()
        weights = {
            _current_name(name, wanted): check_finite(value.float())
            for file in sorted(folder.glob("model*.safetensors"))
            for name, value in load_file(file).items()
        }
        if wanted.keys() - weights.keys():
            raise DamagedDownload("The safety checker's file is incomplete: delete it, start anew.")
        model.load_state_dict({name: weights[name] for name in wanted})
        processor = CLIPImageProcessorPil.from_pretrained(folder, local_files_only=True)
        return cls(model, processor, device)

    @torch.inference_mode()
    def flags(self, pictures: Sequence[Pixels]) -> tuple[bool, ...]:
        """Which of the pictures, (H, W, 3) uint8 RGB each, are flagged."""
        seen = self._processor([Image.fromarray(one) for one in pictures], return_tensors="pt")
        blanks = [np.zeros((1, 1, 3)) for _ in pictures]  # the model blackens flagged ones in place
        _, flagged = self._model(clip_input=seen.pixel_values.to(self._device), images=blanks)
        return tuple(map(bool, flagged))


def withhold_flagged(
    events: Generator[Progress | Result], flags: Flags
) -> Generator[Progress | Result]:
    """A job's events without previews, and with flagged pictures replaced by gray.

    Previews are left out because unfinished pictures cannot be checked.

    Args:
        events: the job's events.
        flags: returns which pictures are flagged.

    Raises:
        Withheld: every picture was flagged.
        MasqueradeError: as the job.
    """
    with closing(events):
        for event in events:
            if isinstance(event, Result):
                yield _checked(event, flags(event.images))
            else:
                yield replace(event, preview=None)


def _checked(result: Result, flags: tuple[bool, ...]) -> Result:
    if all(flags):
        raise Withheld
    images = tuple(
        np.full_like(image, GRAY) if flagged else image
        for image, flagged in zip(result.images, flags, strict=True)
    )
    withheld = tuple(k for k, flagged in enumerate(flags) if flagged)
    return replace(result, images=images, withheld=withheld)


def _current_name(name: str, wanted: dict[str, torch.Tensor]) -> str:
    """A weight's name in the installed transformers; files may nest the vision tower deeper."""
    return name if name in wanted else name.replace("vision_model.", "", 1)
