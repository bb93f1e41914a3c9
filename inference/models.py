"""The models in memory: each is fetched and loaded when it is first needed.

This module imports torch, which takes seconds; the studio imports it late.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import diffusers
import torch
import transformers
from diffusers import AutoencoderKL, ControlNetModel, StableDiffusionInpaintPipeline

from inference.ahead import Ahead
from inference.catalog import Catalog, ControlModel, Source, Style
from inference.compiler import Compiler
from inference.denoiser import Denoiser, Run
from inference.depth import DepthEstimator
from inference.device import Device
from inference.enlarger import Enlarger
from inference.errors import MissingModel
from inference.hub import weights_variant
from inference.painter import Painter
from inference.pose import PoseEstimator
from inference.pretrained import Pretrained
from inference.recipe import Recipe
from inference.restorer import Restorer
from inference.rooms import RoomSegmenter
from inference.safety import SafetyChecker
from inference.segmenter import Segmenter

log = logging.getLogger(__name__)

Fetch = Callable[[Source], Path]
Helper = TypeVar("Helper", bound=Pretrained)
# What makes up a base: styles that agree in these share one in memory.
_Base = tuple[Source, str | None, Source | None]


# The parts of a family that it may lack, in words.
_TITLES = {
    "pose": "pose estimator", "enlarger": "enlarger", "depth": "depth estimator",
    "rooms": "room segmenter", "checker": "safety checker",
}  # fmt: skip


# How many pixels a latent stands for, along each side.
PIXELS = 8


def _runner(device: Device) -> Run:
    """What compiles steps there."""
    return Ahead() if device.is_lent else Compiler()


class Models:
    """One of each kind of helper per family, and the painter used last.

    Only one painter stays, because two checkpoints of full size do not fit on most cards. With
    `checks`, paintings go through the safety checker of a family that has one; with `compiled`,
    steps are compiled behind the scenes, when left out where that pays.
    """

    def __init__(
        self,
        catalog: Catalog,
        device: Device,
        *,
        checks: bool = False,
        compiled: bool | None = None,
    ) -> None:
        for library in (diffusers.utils.logging, transformers.utils.logging):
            library.disable_progress_bar()  # our own progress is shown instead
        self.device = device
        self._checks = checks
        self._run = _runner(device) if (device.compiles if compiled is None else compiled) else None
        self._lock = threading.Lock()
        self.catalog = catalog
        self._segmenters: dict[str, Segmenter] = {}
        self._poses: dict[str, PoseEstimator] = {}
        self._enlargers: dict[str, Enlarger] = {}
        self._depths: dict[str, DepthEstimator] = {}
        self._rooms: dict[str, RoomSegmenter] = {}
        self._checkers: dict[str, SafetyChecker] = {}
        self._restorers: dict[str, Restorer] = {}
        self._painter: tuple[_Base, Painter] | None = None

    @property
    def compiles(self) -> bool:
        """Whether denoising steps are compiled."""
        return self._run is not None

    def rehearse(self, painter: Painter, recipe: Recipe, side: int) -> None:
        """Have the first step of a painter begun or, where it is compiled ahead of time, made.

        Args:
            side: of the picture, in pixels.
        """
        if isinstance(self._run, Ahead):
            with self._run.making():
                painter.rehearse(recipe, (side // PIXELS | 1) * PIXELS)
        elif self._run is not None:
            painter.rehearse(recipe, side)

    def segmenter(self, family: str, fetch: Fetch) -> Segmenter:
        """The family's CLIPSeg.

        Args:
            family: key of the family in the catalog.
            fetch: turns a source into a folder; may download.

        Raises:
            ModelUnavailable: the model cannot be had; also from the other methods.
        """
        # A preview and a painting may ask for it at once.
        with self._lock:
            if family not in self._segmenters:
                folder = fetch(self.catalog.family(family).segmenter)
                self._segmenters[family] = Segmenter.load(folder, self.device.torch_device)
            return self._segmenters[family]

    def pose(self, family: str, fetch: Fetch) -> PoseEstimator:
        """The family's pose estimator."""
        return self._helper(self._poses, family, "pose", PoseEstimator, fetch)

    def enlarger(self, family: str, fetch: Fetch) -> Enlarger:
        """The family's enlarger; MissingModel if it has none."""
        return self._helper(self._enlargers, family, "enlarger", Enlarger, fetch)

    def depth(self, family: str, fetch: Fetch) -> DepthEstimator:
        """The family's depth estimator; MissingModel if it has none."""
        return self._helper(self._depths, family, "depth", DepthEstimator, fetch)

    def rooms(self, family: str, fetch: Fetch) -> RoomSegmenter:
        """The family's segmenter of rooms; MissingModel if it has none."""
        return self._helper(self._rooms, family, "rooms", RoomSegmenter, fetch)

    def checker(self, family: str, fetch: Fetch) -> SafetyChecker:
        """The family's safety checker; MissingModel if it has none."""
        return self._helper(self._checkers, family, "checker", SafetyChecker, fetch)

    def restorer(self, family: str, fetch: Fetch) -> Restorer | None:
        """The family's model for faces; None if it has none, or what it runs on is missing."""
        source = self.catalog.family(family).restorer
        if source is None or not Restorer.is_installed():
            return None
        if family not in self._restorers:
            self._restorers[family] = Restorer.load(fetch(source))
        return self._restorers[family]

    def checks(self, family: str) -> bool:
        """Whether what this family paints goes through its safety checker."""
        return self._checks and self.catalog.family(family).checker is not None

    def painter(self, style: Style, controls: tuple[str, ...], fetch: Fetch) -> Painter:
        """The style's checkpoint with these controls and the style's LoRAs, and no others."""
        wanted = [self.catalog.control(style.family, key) for key in controls]
        base = (style.base, style.checkpoint, style.vae)
        if self._painter is None or self._painter[0] != base:
            self._painter = None
            self._painter = (base, self._load_painter(style, fetch))
        painter = self._painter[1]
        painter.adapters.put_away()  # a LoRA is for the bare base
        for key in style.loras:
            if key not in painter.loras:
                lora = self.catalog.lora(style.family, key)
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
            dtype=self.device.dtype,
            variant=weights_variant(folder),
            use_safetensors=True,
            local_files_only=True,
        )
        painter.add_control(control.key, model.to(memory_format=self.device.layout))

    def _load_painter(self, style: Style, fetch: Fetch) -> Painter:
        base, dtype = fetch(style.base), self.device.dtype
        vae: AutoencoderKL | None = None
        if style.vae is not None:
            folder = fetch(style.vae)
            vae = AutoencoderKL.from_pretrained(
                folder, dtype=dtype, variant=weights_variant(folder), use_safetensors=True
            )
        parts = {} if vae is None else {"vae": vae}
        if style.checkpoint is not None:
            configs = self.catalog.family(style.family).configs
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
        policy = self.device.memory()
        run: Run = self._run or Denoiser.__call__
        for model in (pipe.unet, pipe.vae):
            model.to(memory_format=self.device.layout)
        painter = Painter(pipe, self.device.torch_device, run, policy)
        log.info("style %s is loaded on %s, %s", style.key, self.device.title, policy.title)
        return painter

    def _helper(
        self, kept: dict[str, Helper], family: str, part: str, kind: type[Helper], fetch: Fetch
    ) -> Helper:
        """The helper that a family has as this part, loaded once."""
        if family not in kept:
            source: Source | None = getattr(self.catalog.family(family), part)
            if source is None:
                raise MissingModel(
                    f"The models of {family!r} have no {_TITLES[part]}: choose another style, or "
                    "add one to the catalog."
                )
            kept[family] = kind.load(fetch(source), self.device.torch_device)
        return kept[family]

    def release(self) -> None:
        """Give back what the last job left on the card."""
        if self._painter is not None:
            self._painter[1].forget()
        if self.device.torch_device.type == "cuda":
            torch.cuda.empty_cache()
