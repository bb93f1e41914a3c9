"""The checkpoints of Stable Diffusion: one in memory, with what its styles and controls need.

This module imports diffusers, which takes a second; `models` imports it late.
"""

from __future__ import annotations

import logging

import diffusers
import torch
from diffusers import AutoencoderKL, ControlNetModel, StableDiffusionInpaintPipeline

from inference.ahead import Ahead
from inference.catalog import Catalog, ControlModel, Source, Style
from inference.compiler import Compiler
from inference.denoiser import Denoiser, Run
from inference.device import Device
from inference.hub import Fetch, weights_variant
from inference.painter import Painter
from inference.recipe import Recipe

log = logging.getLogger(__name__)

# How many pixels a latent stands for, along each side.
PIXELS = 8


class Checkpoints:
    """The painter used last; only one stays, because two do not fit on most cards.

    Args:
        compiled: whether denoising steps are compiled, behind the scenes or ahead of time.

    Attributes:
        loaded: the painter, None before the first.
    """

    def __init__(self, catalog: Catalog, device: Device, *, compiled: bool) -> None:
        diffusers.utils.logging.disable_progress_bar()  # our own progress is shown instead
        self._catalog = catalog
        self._device = device
        self._run: Run = Denoiser.__call__
        if compiled:
            self._run = Ahead() if device.is_lent else Compiler()
        self.loaded: Painter | None = None
        # What makes up a base: styles that agree in these share one in memory.
        self._base: tuple[Source, str | None, Source | None] | None = None

    def painter(self, style: Style, controls: tuple[str, ...], fetch: Fetch) -> Painter:
        """The style's checkpoint with these controls and the style's LoRAs, and no others.

        Args:
            fetch: turns a source into a folder; may download.

        Raises:
            ModelUnavailable: a model cannot be had.
        """
        wanted = [self._catalog.control(style.family, key) for key in controls]
        base = (style.base, style.checkpoint, style.vae)
        if self.loaded is None or self._base != base:
            self.loaded = None
            self.loaded, self._base = self._load(style, fetch), base
        painter = self.loaded
        painter.adapters.put_away()  # a LoRA is for the bare base
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
        model = ControlNetModel.from_pretrained(
            folder,
            dtype=self._device.dtype,
            variant=weights_variant(folder),
            use_safetensors=True,
            local_files_only=True,
        )
        painter.add_control(control.key, model.to(memory_format=self._device.layout))

    def _load(self, style: Style, fetch: Fetch) -> Painter:
        base, dtype = fetch(style.base), self._device.dtype
        vae: AutoencoderKL | None = None
        if style.vae is not None:
            folder = fetch(style.vae)
            vae = AutoencoderKL.from_pretrained(
                folder, dtype=dtype, variant=weights_variant(folder), use_safetensors=True
            )
        parts = {} if vae is None else {"vae": vae}
        if style.checkpoint is not None:
            configs = self._catalog.family(style.family).configs
            pipe = StableDiffusionInpaintPipeline.from_single_file(
                base / style.checkpoint,
                config=fetch(configs) if configs else None,
                dtype=dtype,
                safety_checker=None,
                local_files_only=True,
                **parts,
            )
        else:
            pipe = StableDiffusionInpaintPipeline.from_pretrained(
                base,
                dtype=dtype,
                variant=weights_variant(base),
                safety_checker=None,
                feature_extractor=None,
                image_encoder=None,
                requires_safety_checker=False,
                use_safetensors=True,
                local_files_only=True,
                **parts,
            )
        policy = self._device.memory()
        for model in (pipe.unet, pipe.vae):
            model.to(memory_format=self._device.layout)
        painter = Painter(pipe, self._device.torch_device, self._run, policy)
        log.info("style %s is loaded on %s, %s", style.key, self._device.title, policy.title)
        return painter

    def rehearse(self, recipe: Recipe, side: int) -> None:
        """Have the first step of the painter begun or, where it is compiled ahead of time, made.

        Args:
            recipe: the settings to rehearse.
            side: of the picture, in pixels.
        """
        assert self.loaded is not None, "a painter is loaded before"
        if isinstance(self._run, Ahead):
            with self._run.making():
                self.loaded.rehearse(recipe, (side // PIXELS | 1) * PIXELS)
        else:
            self.loaded.rehearse(recipe, side)

    def release(self) -> None:
        """Give back what the last job left on the card."""
        if self.loaded is not None:
            self.loaded.forget()
        if self._device.torch_device.type == "cuda":
            torch.cuda.empty_cache()
