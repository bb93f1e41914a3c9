"""The stock pipeline and ours, with the same models and inputs."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from diffusers import (
    MultiControlNetModel,
    StableDiffusionControlNetInpaintPipeline,
    StableDiffusionInpaintPipeline,
)
from PIL import Image

from inference.painting.denoiser import Denoiser, DenoiserInputs
from inference.painting.inpainting import ControlInput, InpaintInput, InpaintOutput
from inference.painting.painter import Painter
from inference.painting.schedulers import make_scheduler
from inference.painting.step_compiler import StepCompiler
from inference.picture.photo import Pixels
from inference.recipe.recipe import Recipe
from tools.speed import models

CONTROL = "pose"
PROMPT = "a portrait wearing a yellow spacesuit, space"


@dataclass(frozen=True, kw_only=True)
class Case:
    """A painting case: picture size, steps and options, with half of the picture masked."""

    size: tuple[int, int]
    images: int = 1
    steps: int = 30
    seed: int = 7

    @property
    def recipe(self) -> Recipe:
        """The recipe: guidance, and the default scheduler."""
        return Recipe(
            prompt=PROMPT, steps=self.steps, seed=self.seed, num_images=self.images, cfg_scale=5.0
        )

    @property
    def patch(self) -> InpaintInput:
        """A picture of noise, a mask over half of it and a map of noise."""
        random = np.random.default_rng(self.seed)
        width, height = self.size
        picture, control = (
            random.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(2)
        )
        repaint = np.zeros((height, width), dtype=np.bool_)
        repaint[:, width // 4 : -width // 4] = True
        guides = (ControlInput(control=CONTROL, map=control),)
        return InpaintInput(picture=picture, repaint=repaint, guides=guides)


class Rivals:
    """Both pipelines, each with its own models of the same weights.

    Args:
        compiler: runs our steps; uncompiled by default.
        layout: memory format of our models; the stock ones have torch's default.

    Attributes:
        compiler: the same.
    """

    def __init__(
        self,
        device: torch.device,
        dtype: torch.dtype,
        *,
        small: bool,
        compiler: StepCompiler | None = None,
        layout: torch.memory_format = torch.contiguous_format,
    ) -> None:
        pipe = models.pipeline(device, dtype, small=small)
        net = models.controlnet(pipe, device)
        self.stock = StableDiffusionControlNetInpaintPipeline(
            **{name: part for name, part in pipe.components.items() if name != "image_encoder"},
            controlnet=MultiControlNetModel([copy.deepcopy(net)]),
            requires_safety_checker=False,
        )
        self.stock.set_progress_bar_config(disable=True)
        self.pipe = _with_own_models(pipe, layout)
        self.compiler = compiler
        self._uses_compiler = True
        self.painter = Painter(self.pipe, device, self.step)
        self.painter.add_control(CONTROL, net.to(memory_format=layout))

    def step(
        self,
        denoiser: Denoiser,
        noisy: torch.Tensor,
        time: torch.Tensor,
        cfg_scale: torch.Tensor | None,
        inputs: DenoiserInputs,
    ) -> torch.Tensor:
        """Run one of our denoising steps, through the compiler except within `uncompiled`."""
        run = self.compiler if self.compiler and self._uses_compiler else Denoiser.__call__
        return run(denoiser, noisy, time, cfg_scale, inputs)

    @contextmanager
    def uncompiled(self) -> Iterator[None]:
        """Run our steps without the compiler; a compiled step's operators cannot be counted."""
        self._uses_compiler = False
        try:
            yield
        finally:
            self._uses_compiler = True

    def paint_stock(self, case: Case) -> Sequence[Pixels]:
        """Paint by diffusers' pipeline."""
        recipe, patch = case.recipe, case.patch
        self.stock.scheduler = make_scheduler(recipe.scheduler, self.pipe.scheduler.config)
        seeds = range(case.seed, case.seed + case.images)
        pictures = self.stock(
            prompt=recipe.prompt,
            negative_prompt=recipe.negative_prompt,
            image=Image.fromarray(patch.picture),
            mask_image=Image.fromarray(patch.repaint.astype(np.uint8) * 255),
            control_image=[Image.fromarray(guide.map) for guide in patch.guides],
            controlnet_conditioning_scale=[guide.scale for guide in patch.guides],
            width=case.size[0],
            height=case.size[1],
            strength=recipe.denoising_strength,
            num_inference_steps=recipe.steps,
            guidance_scale=recipe.cfg_scale,
            num_images_per_prompt=case.images,
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
        ).images
        return [np.asarray(one) for one in pictures]

    def paint_ours(self, case: Case) -> Sequence[Pixels]:
        """Paint by the product's painter, with empty caches."""
        self.painter.clear_cache()
        return self.paint_again(case)

    def paint_again(self, case: Case) -> Sequence[Pixels]:
        """Paint by the product's painter, with the caches of earlier paintings."""
        *_, last = self.painter.paint(case.patch, case.recipe)
        assert isinstance(last, InpaintOutput)
        return last.pictures

    @property
    def weights(self) -> int:
        """Bytes of weights that a step reads: those of UNet and ControlNet."""
        net = self.painter._conditioner.controlnets[CONTROL]
        return sum(
            one.numel() * one.element_size()
            for model in (self.pipe.unet, net)
            for one in model.parameters()
        )


def _with_own_models(
    pipe: StableDiffusionInpaintPipeline, layout: torch.memory_format
) -> StableDiffusionInpaintPipeline:
    """The same checkpoint, on weights of its own in another layout."""
    parts = dict(pipe.components)
    for name in ("unet", "vae"):
        parts[name] = copy.deepcopy(parts[name]).to(memory_format=layout)
    return StableDiffusionInpaintPipeline(**parts, requires_safety_checker=False)
