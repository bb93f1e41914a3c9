"""The denoising loop, one step at a time: a patch of the photo and a recipe become pictures.

Equal to diffusers' `StableDiffusionControlNetInpaintPipeline` at equal settings, but a generator:
closing it cancels, every step can be looked at, and what a job does not need is not computed.
Works with 9-channel inpainting checkpoints and with 4-channel ones, whose known latents are
blended in at each step (Lugmayr et al., "RePaint", CVPR 2022; Avrahami et al., "Blended Latent
Diffusion", SIGGRAPH 2023).

What the loop decides by is kept on the host, and what it computes with on the device, so that
neither waits for the other within a step.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the usual name
from diffusers import ControlNetModel, StableDiffusionInpaintPipeline
from diffusers.utils.torch_utils import randn_tensor

from inference.codec import Codec
from inference.conditioner import Conditioner, Guiding
from inference.denoiser import Denoiser, Run
from inference.device import MemoryPolicy, Pace, Turns
from inference.errors import OutOfMemory
from inference.faults import sound
from inference.patch import Guide, Painted, PaintStep, Patch
from inference.photo import Pixels
from inference.recipe import Recipe
from inference.schedulers import foresee, make_scheduler, noised, start_at, step_options
from inference.windows import Window, windows_of


@dataclass(kw_only=True)
class _Job:
    """One run. `latents` moves on; the rest stays.

    Attributes:
        timesteps: on the host, where the scheduler decides by them.
        clock: the same on the device, for the models.
        known: the photo's latents, where they are blended in.
    """

    scheduler: Any
    timesteps: torch.Tensor
    clock: torch.Tensor
    step_options: dict[str, Any]
    latents: torch.Tensor
    noise: torch.Tensor
    mask: torch.Tensor
    known: torch.Tensor | None
    windows: tuple[Window, ...]
    guiding: Guiding


class Painter:
    """One checkpoint with ControlNets, LoRAs and IP-Adapters on one device. Not thread-safe."""

    def __init__(
        self,
        pipe: StableDiffusionInpaintPipeline,
        device: torch.device,
        run: Run = Denoiser.__call__,
        policy: MemoryPolicy | None = None,
    ) -> None:
        """Take in a loaded checkpoint.

        Args:
            run: runs a step; as it is when left out.
            policy: what stays on the device; all of it when left out.
        """
        policy = policy or MemoryPolicy()
        turns = Turns(device, offload=policy.offload)
        for model in (pipe.text_encoder, pipe.unet, pipe.vae):
            turns.place(model)
        self._pipe = pipe
        self._device = device
        self._run = run
        self._codec = Codec(pipe.vae, turns, pipe.vae_scale_factor, policy.tile_beyond)
        self._conditioner = Conditioner(pipe, turns)
        self.loras = self._conditioner.loras
        self.adapters = self._conditioner.adapters

    def tile(self, tiled: bool) -> None:
        """Let the autoencoder work in tiles, however small the picture, or only if it is large."""
        self._codec.tiled = tiled

    def has_control(self, key: str) -> bool:
        """Whether the ControlNet or IP-Adapter of this control is loaded."""
        return key in self._conditioner.controlnets or key in self.adapters

    def add_control(self, key: str, model: ControlNetModel) -> None:
        """Take in a loaded ControlNet."""
        self._conditioner.add(key, model)

    def unread(self, text: str, *, use_lpw: bool = False) -> str:
        """What of a prompt is not read because it is too long, "" for nothing."""
        return self._conditioner.wording.unread(text, use_lpw=use_lpw)

    def forget(self) -> None:
        """Let go of what is kept of earlier jobs."""
        self._conditioner.forget()
        self._codec.forget()

    def rehearse(self, recipe: Recipe, side: int) -> None:
        """Take one step on a black square, so that what a first step makes ready is ready.

        Args:
            recipe: the settings to rehearse; its ControlNets are loaded.
            side: in pixels.
        """
        black = np.zeros((side, side, 3), dtype=np.uint8)
        names = [one.name for one in recipe.controls if one.name not in self.adapters]
        patch = Patch(
            picture=black,
            repaint=np.ones((side, side), dtype=np.bool_),
            guides=tuple(Guide(control=name, map=black) for name in names),
        )
        with closing(self.paint(patch, recipe.with_seed())) as steps:
            next(steps)

    def paint(self, patch: Patch, recipe: Recipe) -> Generator[PaintStep | Painted]:
        """Repaint a patch.

        Args:
            patch: the part of the photo.
            recipe: needs a concrete seed; picture k is what seed + k paints alone.

        Yields:
            A `PaintStep` after each step, `Painted` at the end. Closing the generator stops it.

        Raises:
            PaintingFailed: the model produced NaN.
            OutOfMemory: the device is too small for this job.
        """
        try:
            yield from self._paint(patch, recipe)
        except torch.OutOfMemoryError as error:
            raise OutOfMemory from error

    @torch.inference_mode()
    def _paint(self, patch: Patch, recipe: Recipe) -> Generator[PaintStep | Painted]:
        if int(recipe.steps * recipe.denoising_strength) == 0:
            yield Painted(pictures=(patch.picture,) * recipe.num_images)
            return
        job = self._prepare(patch, recipe)
        total, pace = len(job.timesteps), Pace(self._device)
        for index in range(total):
            clean = self._step(job, index)
            pace.keep()
            preview = partial(self._preview, clean)
            yield PaintStep(step=index + 1, steps=total, preview=preview)
        latents = sound(job.latents)[:, None]
        yield Painted(pictures=tuple(self._codec.decode(one) for one in latents))

    # --- before the first step ---------------------------------------------------------------

    def _prepare(self, patch: Patch, recipe: Recipe) -> _Job:
        assert recipe.seed is not None, "the studio makes the seed concrete"
        scheduler = make_scheduler(recipe.scheduler, self._pipe.scheduler.config)
        scheduler.set_timesteps(recipe.steps, device="cpu")
        timesteps = start_at(scheduler, recipe.steps, recipe.denoising_strength)
        generators = [
            torch.Generator().manual_seed(recipe.seed + k) for k in range(recipe.num_images)
        ]
        from_noise = recipe.denoising_strength == 1.0
        noise, known, extra = self._draw(patch, generators, from_noise=from_noise)
        if known is None or from_noise:
            latents = noise * scheduler.init_noise_sigma
        else:
            keep, spread = noised(scheduler, timesteps[:1], noise.dtype)
            latents = keep * known + spread * noise
        windows = windows_of(noise, patch.window, self._codec.factor)
        guiding = self._conditioner.guiding(patch.guides, recipe, windows, extra, len(timesteps))
        return _Job(
            scheduler=scheduler,
            timesteps=timesteps,
            clock=timesteps.float().to(self._device),
            step_options=step_options(scheduler, generators),
            latents=latents,
            noise=noise,
            mask=_mask(patch, noise),
            known=known if extra is None else None,
            windows=windows,
            guiding=guiding,
        )

    def _draw(
        self, patch: Patch, generators: list[torch.Generator], *, from_noise: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """Noise; the photo's latents; what a 9-channel UNet sees beside the noisy ones.

        Random numbers are drawn in the stock pipeline's order, which encodes a photo that no step
        reads, and a masked one that 4-channel UNets do not take: only their numbers are drawn.
        """
        inpainting = self._pipe.unet.config.in_channels == 9
        known = extra = None
        if not from_noise or not (inpainting or patch.repaint.all()):
            known = self._codec.encode(patch.picture, generators)
        elif not inpainting:
            self._noise(patch, generators)
        noise = self._noise(patch, generators)
        if inpainting:
            masked = self._codec.encode(patch.picture, generators, hidden=patch.repaint)
            extra = torch.cat([_mask(patch, noise), masked], dim=1)
        else:
            self._noise(patch, generators)
        return noise, known, extra

    def _noise(self, patch: Patch, generators: list[torch.Generator]) -> torch.Tensor:
        shape = (len(generators), *self._codec.shape(*patch.repaint.shape))
        # CPU generators: a seed paints the same picture on every device.
        noise: torch.Tensor = randn_tensor(shape, generators, self._device, self._pipe.unet.dtype)
        return noise

    # --- a step ------------------------------------------------------------------------------

    def _step(self, job: _Job, index: int) -> partial[torch.Tensor]:
        """Take one denoising step; returns what gives the clean latents that it foresees."""
        time = job.timesteps[index]
        noisy = job.scheduler.scale_model_input(job.latents, time)
        output = self._predict(job, noisy, index)
        job.latents = job.scheduler.step(
            output, time, job.latents, return_dict=False, **job.step_options
        )[0]
        if job.known is not None:
            known, following = job.known, job.timesteps[index + 1 : index + 2]
            if len(following):
                keep, spread = noised(job.scheduler, following, known.dtype)
                known = keep * known + spread * job.noise
            job.latents = (1 - job.mask) * known + job.mask * job.latents
        return partial(_clean, job, noisy[:1], output[:1], time)

    def _predict(self, job: _Job, noisy: torch.Tensor, index: int) -> torch.Tensor:
        """What the model foresees; of a large patch the windows' outputs, blended at every step.

        Bar-Tal et al., "MultiDiffusion" (ICML 2023): so no seam can grow between windows.
        """
        controls, cfg_scale, given = job.guiding.at(index)
        denoiser, time = self._conditioner.denoiser(controls), job.clock[index]
        if len(job.windows) == 1:
            return self._run(denoiser, noisy.contiguous(), time, cfg_scale, given[0])
        total = torch.zeros_like(noisy)
        for window, conditions in zip(job.windows, given, strict=True):
            part = window.cut(noisy).contiguous()
            output = self._run(denoiser, part, time, cfg_scale, conditions)
            window.cut(total).add_(output * window.weight)
        return total

    @torch.inference_mode()
    def _preview(self, clean: partial[torch.Tensor]) -> Pixels:
        return self._codec.preview(clean())


def _mask(patch: Patch, noise: torch.Tensor) -> torch.Tensor:
    """(n, 1, h, w), 1 where the painter may paint."""
    mask = torch.from_numpy(patch.repaint.astype(np.float32))[None, None]
    return F.interpolate(mask, size=noise.shape[-2:]).expand(len(noise), -1, -1, -1).to(noise)


def _clean(
    job: _Job, noisy: torch.Tensor, output: torch.Tensor, time: torch.Tensor
) -> torch.Tensor:
    """The first picture's clean latents, as one step's output foresees them."""
    clean = foresee(job.scheduler, noisy, output, time)
    if job.known is None:
        return clean
    return (1 - job.mask[:1]) * job.known[:1] + job.mask[:1] * clean
