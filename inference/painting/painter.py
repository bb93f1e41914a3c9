"""The inpainting loop as a generator of denoising steps.

Equal to diffusers' `StableDiffusionControlNetInpaintPipeline` at equal settings. Closing the
generator cancels, each step can be previewed, and what a job does not need is not computed. Works
with 9-channel inpainting checkpoints and with 4-channel ones, into which the known latents are
blended at each step (Lugmayr et al., "RePaint", CVPR 2022; Avrahami et al., "Blended Latent
Diffusion", SIGGRAPH 2023).

Values for control flow are kept on the host and tensors for arithmetic on the device, so that
neither waits for the other within a step.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import torch
from diffusers import ControlNetModel, StableDiffusionInpaintPipeline
from diffusers.utils.torch_utils import randn_tensor

from inference.errors import OutOfMemory
from inference.painting.autoencoder import Autoencoder, latent_mask
from inference.painting.conditioning import Conditioner, Conditioning
from inference.painting.denoiser import Denoiser, RunDenoiser
from inference.painting.inpainting import (
    DenoisingStep,
    InpaintInput,
    InpaintOutput,
    Painting,
    Underway,
)
from inference.painting.multi_diffusion import Window, covered, weighted_sum, windows_of
from inference.painting.schedulers import (
    KnownLatents,
    make_scheduler,
    noised,
    predict_clean,
    start_at,
    step_options,
)
from inference.picture.photo import Pixels
from inference.recipe.prompt_weights import Weighting
from inference.recipe.recipe import Recipe
from inference.runtime.device import StepThrottle
from inference.runtime.library_errors import check_finite
from inference.runtime.long_call import LongCalls, Models, takes_long
from inference.runtime.memory import MemoryPolicy, ModelOffloader

Value = TypeVar("Value")


@dataclass(kw_only=True)
class _Job:
    """The state of one run; only `latents` changes from step to step.

    Attributes:
        timesteps: on the host, for the scheduler.
        model_timesteps: the same on the device, float32, for the models.
        known: the photo's latents; None if the UNet sees what is kept, and if nothing is.
    """

    scheduler: Any
    timesteps: torch.Tensor
    model_timesteps: torch.Tensor
    step_options: dict[str, Any]
    latents: torch.Tensor
    known: KnownLatents | None
    windows: tuple[Window, ...]
    conditioning: Conditioning


class Painter:
    """One checkpoint with ControlNets, LoRAs and IP-Adapters on one device. Not thread-safe."""

    def __init__(
        self,
        pipe: StableDiffusionInpaintPipeline,
        device: torch.device,
        run: RunDenoiser = Denoiser.__call__,
        policy: MemoryPolicy | None = None,
        weighting: Weighting = "scaled",
    ) -> None:
        """Wrap a loaded checkpoint.

        Args:
            pipe: its components.
            device: where they run.
            run: runs a denoising step; uncompiled by default.
            policy: which models stay on the device; all of them by default.
            weighting: how weights in a prompt act.
        """
        policy = policy or MemoryPolicy()
        offloader = ModelOffloader(device, offload=policy.offload)
        parts = pipe.text_encoder, pipe.unet, pipe.vae
        for model in parts:
            offloader.place(model)
        self._pipe = pipe
        self._device = device
        self._run = run
        factor, tile_beyond = pipe.vae_scale_factor, policy.tile_beyond
        self._autoencoder = Autoencoder(pipe.vae, offloader, factor, tile_beyond)
        self._conditioner = Conditioner(pipe, offloader, weighting)
        is_long = run is Denoiser.__call__ and takes_long(pipe.unet, device)
        self._long_calls = LongCalls.watching(*parts) if is_long else None
        self.loras = self._conditioner.loras
        self.adapters = self._conditioner.adapters

    @property
    def inpaints(self) -> bool:
        """Whether the UNet itself sees what is kept, in five more channels."""
        return int(self._pipe.unet.config.in_channels) == 9

    def tile(self, tiled: bool) -> None:
        """Set whether the VAE works in tiles at any size, or only on large pictures."""
        self._autoencoder.tiled = tiled

    def has_control(self, key: str) -> bool:
        """Whether the ControlNet or IP-Adapter of this control is loaded."""
        return key in self._conditioner.controlnets or key in self.adapters

    def add_control(self, key: str, model: ControlNetModel) -> None:
        """Register a loaded ControlNet under the key of its control."""
        self._conditioner.add(key, model)
        if self._long_calls is not None:
            self._long_calls.attach(model)

    def unread(self, text: str, *, use_lpw: bool = False) -> str:
        """The end of a prompt that is not read because it is too long, "" for none."""
        return self._conditioner.prompt_encoder.unread(text, use_lpw=use_lpw)

    def clear_cache(self) -> None:
        """Drop the caches of earlier jobs."""
        self._conditioner.clear_cache()
        self._autoencoder.clear_cache()

    def paint(self, patch: InpaintInput, recipe: Recipe) -> Painting:
        """Repaint a part of a photo.

        Args:
            patch: the part.
            recipe: with a concrete seed; picture k equals the single picture of seed + k.

        Yields:
            A `DenoisingStep` after each step, `Underway` events between them, an `InpaintOutput`
            at the end. Closing cancels.

        Raises:
            PaintingFailed: the model produced NaN.
            OutOfMemory: the device is too small for this job.
        """
        try:
            yield from self._paint(patch, recipe)
        except torch.OutOfMemoryError as error:
            raise OutOfMemory from error

    @torch.inference_mode()
    def _paint(self, patch: InpaintInput, recipe: Recipe) -> Painting:
        if int(recipe.steps * recipe.denoising_strength) == 0:
            yield InpaintOutput(pictures=(patch.picture,) * recipe.num_images)
            return
        job = yield from self._run_long(partial(self._prepare, patch, recipe), Underway())
        total, throttle = len(job.timesteps), StepThrottle(self._device)
        for index in range(total):
            before = Underway(step=index, steps=total)
            models = [self._conditioner.denoiser(job.conditioning.at(index)[0])] * len(job.windows)
            clean = yield from self._run_long(partial(self._step, job, index), before, models)
            throttle.wait()
            yield DenoisingStep(step=index + 1, steps=total, preview=partial(self._preview, clean))
        latents = check_finite(job.latents)[:, None]
        decoded = partial(tuple, map(self._autoencoder.decode, latents))
        pictures = yield from self._run_long(decoded, Underway(step=total, steps=total))
        yield InpaintOutput(pictures=pictures)

    def _run_long(
        self, call: Callable[[], Value], before: Underway, models: Models = ()
    ) -> Generator[Underway, None, Value]:
        """Run a call of models, in a thread if they take long; yields how far it is."""
        if before.step in (0, before.steps):
            yield before
        long = self._long_calls
        if long is None:
            return call()
        return (yield from long.run(call, lambda share: replace(before, share=share), models))

    # --- before the first step ---------------------------------------------------------------

    def _prepare(self, patch: InpaintInput, recipe: Recipe) -> _Job:
        assert recipe.seed is not None, "the studio makes the seed concrete"
        scheduler = make_scheduler(recipe.scheduler, self._pipe.scheduler.config)
        scheduler.set_timesteps(recipe.steps, device="cpu")
        timesteps = start_at(scheduler, recipe.steps, recipe.denoising_strength)
        generators = [
            torch.Generator().manual_seed(recipe.seed + k) for k in range(recipe.num_images)
        ]
        from_noise = recipe.denoising_strength == 1.0
        noise, known, mask_latents = self._draw(patch, generators, from_noise=from_noise)
        if known is None or from_noise:
            latents = noise * scheduler.init_noise_sigma
        else:
            keep, spread = noised(scheduler, timesteps[:1], noise.dtype)
            latents = keep * known + spread * noise
        painted = latent_mask(patch.repaint, noise)
        windows = windows_of(noise, patch.window, self._autoencoder.factor, painted)
        conditioning = self._conditioner.condition(
            patch.guides, recipe, windows, mask_latents, len(timesteps)
        )
        blended: KnownLatents | None = None
        if known is not None and (mask_latents is None or patch.strength is not None):
            mask = painted if patch.strength is None else latent_mask(patch.strength, noise)
            blended = KnownLatents(clean=known, noise=noise, strength=mask)
        elif mask_latents is not None and patch.window is not None:
            mask = covered(windows, noise)
            blended = KnownLatents(clean=mask_latents[:, 1:], noise=noise, strength=mask)
        return _Job(
            scheduler=scheduler,
            timesteps=timesteps,
            model_timesteps=timesteps.float().to(self._device),
            step_options=step_options(scheduler, generators),
            latents=latents,
            known=blended,
            windows=windows,
            conditioning=conditioning,
        )

    def _draw(
        self, patch: InpaintInput, generators: list[torch.Generator], *, from_noise: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """Draw the initial noise and encode the photo.

        Random numbers are drawn in the order of diffusers' pipeline. That pipeline also encodes
        the photo when no step uses it, and the masked photo for 4-channel UNets; here only the
        random numbers of these are drawn.

        Returns:
            Noise; the photo's latents or None; mask and masked latents or None.
        """
        inpainting = self.inpaints
        known = mask_latents = None
        if not from_noise or not (inpainting or patch.repaint.all()):
            known = self._autoencoder.encode(patch.picture, generators)
        elif not inpainting:
            self._noise(patch, generators)
        noise = self._noise(patch, generators)
        if inpainting:
            masked = self._autoencoder.encode(patch.picture, generators, hidden=patch.repaint)
            mask_latents = torch.cat([latent_mask(patch.repaint, noise), masked], dim=1)
        else:
            self._noise(patch, generators)
        if known is None and patch.strength is not None:
            known = self._autoencoder.encode(patch.picture, generators)
        return noise, known, mask_latents

    def _noise(self, patch: InpaintInput, generators: list[torch.Generator]) -> torch.Tensor:
        shape = (len(generators), *self._autoencoder.shape(*patch.repaint.shape))
        # CPU generators: a seed paints the same picture on every device.
        noise: torch.Tensor = randn_tensor(shape, generators, self._device, self._pipe.vae.dtype)
        return noise

    # --- a step ------------------------------------------------------------------------------

    def _step(self, job: _Job, index: int) -> partial[torch.Tensor]:
        """Run one denoising step; returns a function that computes the predicted clean latents."""
        time = job.timesteps[index]
        noisy = job.scheduler.scale_model_input(job.latents, time)
        output = self._predict(job, noisy, index)
        job.latents = job.scheduler.step(
            output, time, job.latents, return_dict=False, **job.step_options
        )[0]
        if job.known is not None:
            job.latents = job.known.blend(job.latents, job.scheduler, job.timesteps, index + 1)
        return partial(_clean, job, noisy[:1], output[:1], time)

    def _predict(self, job: _Job, noisy: torch.Tensor, index: int) -> torch.Tensor:
        """The model's output for all latents; of several windows, their weighted sum."""
        controls, cfg_scale, inputs = job.conditioning.at(index)
        denoiser, time = self._conditioner.denoiser(controls), job.model_timesteps[index]
        return weighted_sum(
            job.windows,
            noisy,
            lambda k, part: self._run(denoiser, part, time, cfg_scale, inputs[k]),
        )

    def _preview(self, clean: partial[torch.Tensor]) -> Pixels:
        return self._autoencoder.preview(clean())


@torch.inference_mode()
def _clean(
    job: _Job, noisy: torch.Tensor, output: torch.Tensor, time: torch.Tensor
) -> torch.Tensor:
    """The first picture's clean latents, as one step's output predicts them."""
    clean = predict_clean(job.scheduler, noisy, output, time)
    if job.known is None:
        return clean
    painted = job.known.painted(1.0)[:1]
    return (1 - painted) * job.known.clean[:1] + painted * clean
