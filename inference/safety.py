"""Stable Diffusion's own safety checker: a picture that it flags is never shown.

It compares a picture, as CLIP sees it, with 17 concepts that only its authors know by name
(Rando et al. 2022, arXiv:2210.04610, tell what it finds and what it misses).
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
from inference.faults import sound
from inference.photo import Pixels
from inference.pretrained import Pretrained
from inference.results import Progress, Result

Flags = Callable[[Sequence[Pixels]], tuple[bool, ...]]

GRAY = 128


class SafetyChecker(Pretrained):
    """The checker, loaded."""

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> Self:
        """Load model and processor from a local folder, in float32.

        Raises:
            DamagedDownload: a weight is not there. A checker with random weights lets all pass.
        """
        model = StableDiffusionSafetyChecker(CLIPConfig.from_pretrained(folder))
        wanted = model.state_dict()
        weights = {
            _today(name, wanted): sound(value.float())
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
        """Which of the pictures, (H, W, 3) uint8 RGB each, are not to be shown."""
        seen = self._processor([Image.fromarray(one) for one in pictures], return_tensors="pt")
        blanks = [np.zeros((1, 1, 3)) for _ in pictures]  # which the model would paint black
        _, flagged = self._model(clip_input=seen.pixel_values.to(self._device), images=blanks)
        return tuple(map(bool, flagged))


def held_back(events: Generator[Progress | Result], flags: Flags) -> Generator[Progress | Result]:
    """A job's events without what must not be seen.

    Pictures that form are not shown, because they are not finished and cannot be checked; of the
    finished ones, those that are flagged are gray.

    Args:
        events: of the job.
        flags: tells which pictures are not to be shown.

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


def _today(name: str, wanted: dict[str, torch.Tensor]) -> str:
    """A weight's name in this version of the library; in the file, the tower is one level down."""
    return name if name in wanted else name.replace("vision_model.", "", 1)
