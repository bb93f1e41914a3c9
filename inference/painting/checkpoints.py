"""Loads Stable Diffusion checkpoints with their ControlNets, IP-Adapters and LoRAs.

Importing diffusers takes a second, so `studio.loaded_models` imports this module late.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TypeAlias

import diffusers
import torch
from diffusers import AutoencoderKL, ControlNetModel, StableDiffusionInpaintPipeline

from inference.catalog.catalog import Catalog
from inference.catalog.hub import Fetch, weights_variant
from inference.catalog.schema import ControlModel, Source, Style
from inference.painting.ahead_of_time import AheadOfTimeCompiler
from inference.painting.denoiser import Denoiser, RunDenoiser
from inference.painting.painter import Painter
from inference.painting.step_compiler import StepCompiler
from inference.recipe.recipe import Recipe
from inference.runtime.device import Device
from inference.runtime.library_logging import silence
from inference.runtime.load_lock import MODEL_CONSTRUCTION

Pipeline: TypeAlias = StableDiffusionInpaintPipeline
Parts: TypeAlias = dict[str, AutoencoderKL]

log = logging.getLogger(__name__)

# Pixels per latent, along each side.
PIXELS = 8


class Checkpoints:
    """Loads checkpoints and keeps the last one used; two do not fit on most GPUs.

    Args:
        catalog: where models come from.
        device: what they run on.
        compiled: whether denoising steps are compiled, in the background or ahead of time.

    Attributes:
        loaded: the painter; None before the first.
    """

    def __init__(self, catalog: Catalog, device: Device, *, compiled: bool) -> None:
        silence(diffusers.utils.logging, "DIFFUSERS_VERBOSITY")
        self._catalog = catalog
        self._device = device
        self._run: RunDenoiser = Denoiser.__call__
        if compiled:
            self._run = AheadOfTimeCompiler() if device.is_lent else StepCompiler()
        self.loaded: Painter | None = None
        # Styles that agree in base, single file and VAE share one checkpoint in memory.
        self._base: tuple[Source, str | None, Source | None] | None = None

    def painter(self, style: Style, controls: tuple[str, ...], fetch: Fetch) -> Painter:
        """The painter with the style's checkpoint and LoRAs, and with these controls loaded.

        Args:
            style: which checkpoint and LoRAs.
            controls: keys of ControlNets and IP-Adapters.
            fetch: turns a source into a folder; may download.

        Raises:
            ModelUnavailable: a model cannot be loaded or downloaded.
        """
        wanted = [self._catalog.control(style.family, key) for key in controls]
        base = (style.base, style.checkpoint, style.vae)
        if self.loaded is None or self._base != base:
            self.loaded = None
            self.loaded, self._base = self._load(style, fetch), base
        painter = self.loaded
        painter.adapters.detach()  # LoRAs are loaded into the UNet's own layers
        for key in style.loras:
            if key not in painter.loras:
                lora = self._catalog.lora(style.family, key)
                painter.loras.add(key, fetch(lora.source) / lora.file)
        painter.loras.use(style.loras)
        for control in wanted:
            if not painter.has_control(control.key):
                self._load_control(painter, control, fetch)
        return painter

    def _load_control(self, painter: Painter, control: ControlModel, fetch: Fetch) -> None:
        folder = fetch(control.source)
        if control.adapter is not None:
            encoder = fetch(control.adapter.encoder) / control.adapter.encoder_folder
            painter.adapters.add(control.key, folder / control.adapter.file, encoder)
            return
        with MODEL_CONSTRUCTION:
            model = ControlNetModel.from_pretrained(
                folder,
                dtype=self._device.dtype,
                variant=weights_variant(folder),
                use_safetensors=True,
                local_files_only=True,
            )
        painter.add_control(control.key, model.to(memory_format=self._device.layout))

    def _load(self, style: Style, fetch: Fetch) -> Painter:
        base = fetch(style.base)
        vae = None if style.vae is None else fetch(style.vae)
        source = self._catalog.family(style.family).configs
        configs = fetch(source) if source and style.checkpoint else None
        with MODEL_CONSTRUCTION:
            parts = {} if vae is None else {"vae": self._load_vae(vae)}
            if style.checkpoint is not None:
                pipe = self._load_single_file(base / style.checkpoint, configs, parts)
            else:
                pipe = self._load_folder(base, parts)
        policy = self._device.memory()
        for model in (pipe.unet, pipe.vae):
            model.to(memory_format=self._device.layout)
        weighting = self._catalog.family(style.family).weighting
        painter = Painter(pipe, self._device.torch_device, self._run, policy, weighting)
        log.info("style %s is loaded on %s, %s", style.key, self._device.title, policy.title)
        return painter

    def _load_vae(self, folder: Path) -> AutoencoderKL:
        return AutoencoderKL.from_pretrained(
            folder,
            dtype=self._device.dtype,
            variant=weights_variant(folder),
            use_safetensors=True,
        )

    def _load_single_file(self, file: Path, configs: Path | None, parts: Parts) -> Pipeline:
        return Pipeline.from_single_file(
            file,
            config=configs,
            dtype=self._device.dtype,
            safety_checker=None,
            local_files_only=True,
            **parts,
        )

    def _load_folder(self, folder: Path, parts: Parts) -> Pipeline:
        return Pipeline.from_pretrained(
            folder,
            dtype=self._device.dtype,
            variant=weights_variant(folder),
            safety_checker=None,
            feature_extractor=None,
            image_encoder=None,
            requires_safety_checker=False,
            use_safetensors=True,
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
                self.loaded.warm_up_step(recipe, (side // PIXELS | 1) * PIXELS)
        else:
            self.loaded.warm_up_step(recipe, side)

    def release(self) -> None:
        """Free the device memory that the last job left in use."""
        if self.loaded is not None:
            self.loaded.clear_cache()
        if self._device.torch_device.type == "cuda":
            torch.cuda.empty_cache()
