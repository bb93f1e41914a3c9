"""Loads Stable Diffusion checkpoints with their ControlNets, IP-Adapters and LoRAs.

Importing diffusers takes a second, so `studio.loaded_models` imports this module late.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import diffusers
import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    StableDiffusionInpaintPipeline,
    UNet2DConditionModel,
)
from diffusers.loaders.single_file_utils import SingleFileComponentError
from torch import nn
from transformers import CLIPTextModel

from inference.catalog.catalog import INPAINT, Catalog
from inference.catalog.hub import Fetch, single_file, weights_variant
from inference.catalog.schema import ControlModel, Style
from inference.catalog.sources import Source
from inference.catalog.weight_forms import OWN_CONFIGS
from inference.painting.ahead_of_time import AheadOfTimeCompiler
from inference.painting.denoiser import Denoiser, RunDenoiser
from inference.painting.inpainting import ControlInput, DenoisingStep, InpaintInput
from inference.painting.painter import Painter
from inference.painting.step_compiler import StepCompiler
from inference.recipe.recipe import Recipe
from inference.runtime.device import Device
from inference.runtime.library_logging import silence
from inference.runtime.load_lock import MODEL_CONSTRUCTION
from inference.runtime.precision import is_bfloat16_fast, is_large, use_less_memory
from inference.runtime.pretrained import misfit

Pipeline: TypeAlias = StableDiffusionInpaintPipeline
Parts: TypeAlias = dict[str, nn.Module]
Reading: TypeAlias = Callable[[str], None]

log = logging.getLogger(__name__)

# Pixels per latent, along each side.
PIXELS = 8
# The parts of a pipeline with weights: title and class.
PARTS: dict[str, tuple[str, Any]] = {
    "text_encoder": ("the text encoder", CLIPTextModel),
    "vae": ("the autoencoder", AutoencoderKL),
    "unet": ("the UNet", UNet2DConditionModel),
}


def silent(_what: str) -> None:
    """Report nothing."""


class Checkpoints:
    """Loads checkpoints and keeps the last one used; two do not fit on most GPUs.

    Args:
        catalog: where models come from.
        device: what they run on.
        compiled: whether denoising steps are compiled, in the background or ahead of time.

    Attributes:
        loaded: the painter; None before the first.
        title: title of the style that it was last used for.
    """

    def __init__(self, catalog: Catalog, device: Device, *, compiled: bool) -> None:
        silence(diffusers.utils.logging, "DIFFUSERS_VERBOSITY")
        self._catalog = catalog
        self._device = device
        self._run: RunDenoiser = Denoiser.__call__
        if compiled:
            self._run = AheadOfTimeCompiler() if device.is_lent else StepCompiler()
        self.loaded: Painter | None = None
        self.title = ""
        # Styles that agree in base, single file and VAE share one checkpoint in memory.
        self._base: tuple[Source, str | None, Source | None] | None = None

    def painter(
        self, style: Style, controls: tuple[str, ...], fetch: Fetch, reading: Reading = silent
    ) -> Painter:
        """The painter with the style's checkpoint and LoRAs, and with these controls loaded.

        Args:
            style: which checkpoint and LoRAs.
            controls: keys of ControlNets and IP-Adapters.
            fetch: turns a source into a folder; may download.
            reading: is told the name of each part before it is read; may raise to stop.

        Raises:
            ModelUnavailable: a model cannot be loaded or downloaded.
        """
        wanted = [self._catalog.control(style.family, key) for key in controls]
        base = (style.base, style.checkpoint, style.vae)
        if self.loaded is None or self._base != base:
            self.loaded, self.title = None, ""
            self.loaded, self._base = self._load(style, fetch, reading), base
        painter = self.loaded
        painter.adapters.detach()  # LoRAs are loaded into the UNet's own layers
        for key in style.loras:
            if key not in painter.loras:
                lora = self._catalog.lora(style.family, key)
                reading(f"the LoRA {lora.title}")
                painter.loras.add(key, fetch(lora.source) / lora.file)
        painter.loras.use(style.loras)
        self.title = style.title
        for control in wanted:
            if not painter.has_control(control.key):
                reading(f"the control {control.title}")
                self._load_control(painter, control, fetch)
        return painter

    def _load_control(self, painter: Painter, control: ControlModel, fetch: Fetch) -> None:
        folder = fetch(control.source)
        compact = self._is_compact(folder)
        if control.adapter is not None:
            encoder = fetch(control.adapter.encoder) / control.adapter.encoder_folder
            painter.adapters.add(control.key, folder / control.adapter.file, encoder)
            return
        with MODEL_CONSTRUCTION:
            model = ControlNetModel.from_pretrained(
                folder,
                dtype=torch.float16 if compact else self._device.dtype,
                variant=weights_variant(folder),
                use_safetensors=True,
                local_files_only=True,
            )
        _check_whole(model)
        if compact:
            use_less_memory(model, bfloat16=self._bfloat16)
        painter.add_control(control.key, model.to(memory_format=self._device.layout))

    def _load(self, style: Style, fetch: Fetch, reading: Reading) -> Painter:
        base = fetch(style.base)
        vae = None if style.vae is None else fetch(style.vae)
        file = base / style.checkpoint if style.checkpoint else single_file(style.base, base)
        parts: Parts = {}
        if vae is not None:
            parts["vae"] = self._load_part("vae", vae, reading)
        compact = self._is_compact(file or base / "unet")
        if file is not None:
            configs = self._configs(style, base, fetch)
            reading(file.name)
            with MODEL_CONSTRUCTION:
                pipe = self._load_single_file(file, configs, parts, compact)
        else:
            for name in PARTS:
                if name not in parts:
                    parts[name] = self._load_part(name, base / name, reading)
            with MODEL_CONSTRUCTION:
                pipe = self._load_folder(base, parts)
        policy = self._device.memory()
        for model in (pipe.unet, pipe.vae):
            _check_whole(model)
            model.to(memory_format=self._device.layout)
        if compact:
            use_less_memory(pipe.unet, bfloat16=self._bfloat16)
            pipe.vae.float()
            pipe.text_encoder.float()
        weighting = self._catalog.family(style.family).weighting
        painter = Painter(pipe, self._device.torch_device, self._run, policy, weighting)
        log.info("style %s is loaded on %s, %s", style.key, self._device.title, policy.title)
        return painter

    def _load_part(self, name: str, folder: Path, reading: Reading) -> nn.Module:
        """One of `PARTS`; read one after the other, they need less memory."""
        title, kind = PARTS[name]
        compact = name == "unet" and self._is_compact(folder)
        reading(title)
        with MODEL_CONSTRUCTION:
            model: nn.Module = kind.from_pretrained(
                folder,
                dtype=torch.float16 if compact else self._device.dtype,
                variant=weights_variant(folder),
                use_safetensors=True,
                local_files_only=True,
            )
        return model

    def _is_compact(self, weights: Path) -> bool:
        """Whether a UNet or ControlNet of these weights is to use less memory."""
        return self._device.torch_device.type == "cpu" and is_large(weights)

    @cached_property
    def _bfloat16(self) -> bool:
        return is_bfloat16_fast()

    def _configs(self, style: Style, base: Path, fetch: Fetch) -> Path | None:
        """Folder of a single-file checkpoint's configs: the style's, its own, the family's."""
        if style.configs is not None:  # the file may lie beside a checkpoint of another kind
            return fetch(style.configs)
        source = self._catalog.family(style.family).configs
        names = {*OWN_CONFIGS} - ({"vae/config.json"} if style.vae else set())
        if all((base / name).is_file() for name in names):
            return base
        return None if source is None else fetch(source)

    def _load_single_file(
        self, file: Path, configs: Path | None, parts: Parts, compact: bool
    ) -> Pipeline:
        """Load a whole checkpoint.

        Raises:
            InvalidCatalog: it lacks something, or the configs are those of another kind of model.
        """
        try:
            return Pipeline.from_single_file(
                file,
                config=None if configs is None else str(configs),
                dtype=torch.float16 if compact else self._device.dtype,
                safety_checker=None,
                feature_extractor=None,
                image_encoder=None,
                requires_safety_checker=False,
                local_files_only=True,
                **parts,
            )
        # The third: a weight is missing, and has no value to be moved.
        except (SingleFileComponentError, ValueError, NotImplementedError, KeyError) as error:
            raise misfit(file.name) from error

    def _load_folder(self, folder: Path, parts: Parts) -> Pipeline:
        """The pipeline of a folder, of which all `PARTS` are loaded."""
        return Pipeline.from_pretrained(
            folder,
            safety_checker=None,
            feature_extractor=None,
            image_encoder=None,
            requires_safety_checker=False,
            local_files_only=True,
            **parts,
        )

    def warm_up_step(self, recipe: Recipe, side: int) -> None:
        """Run one denoising step, which starts the compilation of such steps in the background.

        If steps are compiled ahead of time, it returns after the compilation.

        Args:
            recipe: settings of the step.
            side: side of the picture in pixels.
        """
        assert self.loaded is not None, "a painter is loaded before"
        if isinstance(self._run, AheadOfTimeCompiler):
            with self._run.compiling():
                run_first_step(self.loaded, recipe, (side // PIXELS | 1) * PIXELS)
        else:
            run_first_step(self.loaded, recipe, side)

    def release(self) -> None:
        """Free the device memory that the last job left in use."""
        if self.loaded is not None:
            self.loaded.clear_cache()
        if self._device.torch_device.type == "cuda":
            torch.cuda.empty_cache()


def run_first_step(painter: Painter, recipe: Recipe, side: int) -> None:
    """Run one denoising step on a black square, which starts the compilation of such steps.

    Args:
        painter: its checkpoint, with the recipe's ControlNets.
        recipe: settings of the step.
        side: side of the square in pixels.
    """
    black = np.zeros((side, side, 3), dtype=np.uint8)
    wanted = [one.name for one in recipe.controls]
    if painter.has_control(INPAINT) and INPAINT not in wanted:
        wanted.append(INPAINT)  # joined by itself
    names = [name for name in wanted if name not in painter.adapters]
    patch = InpaintInput(
        picture=black,
        repaint=np.ones((side, side), dtype=np.bool_),
        guides=tuple(ControlInput(control=name, map=black) for name in names),
    )
    with closing(painter.paint(patch, recipe.with_seed())) as events:
        next(event for event in events if isinstance(event, DenoisingStep))


def _check_whole(model: torch.nn.Module) -> None:
    """Check that no weight was missing; diffusers leaves such a one without a value.

    Raises:
        InvalidCatalog: one was.
    """
    if any(parameter.is_meta for parameter in model.parameters()):
        raise misfit(type(model).__name__)
