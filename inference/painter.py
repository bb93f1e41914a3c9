"""The denoising loop, one step at a time: a patch of the photo and a recipe become pictures.

Equal to diffusers' `StableDiffusionControlNetInpaintPipeline` at equal settings, but a generator:
closing it cancels, every step can be looked at, and what a job does not need is not computed.
Works with 9-channel inpainting checkpoints and with 4-channel ones, whose known latents are
blended in at each step (Lugmayr et al., "RePaint", CVPR 2022; Avrahami et al., "Blended Latent
Diffusion", SIGGRAPH 2023).
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the usual name
from diffusers import ControlNetModel, StableDiffusionInpaintPipeline
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from diffusers.utils.torch_utils import randn_tensor

from inference.adapters import Adapters, Shown
from inference.cache import Cache, digest
from inference.errors import OutOfMemory
from inference.faults import sound
from inference.latent_preview import LatentPreview
from inference.loras import Loras
from inference.patch import Guide, Painted, PaintStep, Patch
from inference.photo import Pixels
from inference.recipe import Recipe
from inference.schedulers import foresee, make_scheduler, start_at, step_options
from inference.windows import Window, windows_of
from inference.wording import Wording

# Up to this many pixels decoding is cheap enough to show every step as it really is.
SMALL = 256 * 256
# Beyond this many pixels the autoencoder works in tiles, whose memory a card has.
LARGE = 1280 * 1280


@dataclass(kw_only=True)
class _Job:
    """The tensors of one run. `latents` moves on; the rest stays."""

    scheduler: Any
    timesteps: torch.Tensor
    step_options: dict[str, Any]
    words: torch.Tensor
    cfg_scale: float
    latents: torch.Tensor
    noise: torch.Tensor
    mask: torch.Tensor
    known: torch.Tensor | None
    unet_extra: torch.Tensor | None
    shown: Shown
    windows: list[Window]
    guides: list[tuple[ControlNetModel, torch.Tensor, Guide]] = field(default_factory=list)

    @property
    def guided(self) -> bool:
        return self.cfg_scale > 1

    def twice(self, tensor: torch.Tensor) -> torch.Tensor:
        """For both halves of classifier-free guidance, where it is on."""
        return torch.cat([tensor] * 2) if self.guided else tensor


class Painter:
    """One checkpoint with ControlNets, LoRAs and IP-Adapters on one device. Not thread-safe."""

    def __init__(self, pipe: StableDiffusionInpaintPipeline, device: torch.device) -> None:
        self._pipe = pipe
        self._device = device
        self._dtype = pipe.unet.dtype
        self.thrifty = False  # whether the autoencoder works in tiles, however small the picture
        self._wording = Wording(pipe, device)
        self.loras = Loras(pipe)
        self.adapters = Adapters(pipe, device)
        self._controlnets: dict[str, ControlNetModel] = {}
        self._words: Cache[tuple[torch.Tensor, torch.Tensor]] = Cache(8)
        self._moments: Cache[DiagonalGaussianDistribution] = Cache(8)
        self._rough: LatentPreview | None = None

    def has_control(self, key: str) -> bool:
        """Whether the ControlNet or IP-Adapter of this control is loaded."""
        return key in self._controlnets or key in self.adapters

    def add_control(self, key: str, model: ControlNetModel) -> None:
        """Take in a loaded ControlNet."""
        self._controlnets[key] = model.to(self._device).eval()

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
        for index in range(len(job.timesteps)):
            clean = self._step(job, index)
            preview = partial(self._preview, clean[:1])
            yield PaintStep(step=index + 1, steps=len(job.timesteps), preview=preview)
        latents = sound(job.latents)[:, None]
        yield Painted(pictures=tuple(self._decode(one) for one in latents))

    def _prepare(self, patch: Patch, recipe: Recipe) -> _Job:
        """Everything before the first step; draws random numbers in the stock pipeline's order."""
        assert recipe.seed is not None, "the studio makes the seed concrete"
        scheduler = make_scheduler(recipe.scheduler, self._pipe.scheduler.config)
        scheduler.set_timesteps(recipe.steps, device=self._device)
        timesteps = start_at(scheduler, recipe.steps, recipe.denoising_strength)
        generators = [
            torch.Generator().manual_seed(recipe.seed + k) for k in range(recipe.num_images)
        ]
        inpainting = self._pipe.unet.config.in_channels == 9
        from_noise = recipe.denoising_strength == 1.0
        image = 2 * _to_tensor(patch.picture) - 1
        mask = torch.from_numpy(patch.repaint.astype(np.float32))[None, None]
        known = None if inpainting and from_noise else self._encode(image, generators)
        noise = self._noise(patch, generators)
        if from_noise:
            latents = noise * scheduler.init_noise_sigma
        else:
            latents = scheduler.add_noise(known, noise, timesteps[:1].repeat(len(noise)))
        small_mask = F.interpolate(mask, size=noise.shape[-2:])
        small_mask = small_mask.expand(len(noise), -1, -1, -1).to(self._device, self._dtype)
        extra = None
        if inpainting:
            masked = self._encode(image * (mask < 0.5), generators)
            extra = torch.cat([small_mask, masked], dim=1)
        else:
            # The stock pipeline encodes a masked image here and never uses it; drawing the same
            # random numbers keeps ancestral schedulers in step with it.
            self._noise(patch, generators)
        job = _Job(
            scheduler=scheduler,
            timesteps=timesteps,
            step_options=step_options(scheduler, generators),
            words=self._encode_words(recipe),
            cfg_scale=recipe.cfg_scale,
            latents=latents,
            noise=noise,
            mask=small_mask,
            known=None if inpainting else known,
            unet_extra=extra,
            shown=self.adapters.show(patch.guides, len(noise), guided=recipe.cfg_scale > 1),
            windows=windows_of(noise, patch.window, self._pipe.vae_scale_factor),
        )
        job.guides = [self._guide(job, one) for one in patch.guides if self._is_mapped(one)]
        return job

    def _noise(self, patch: Patch, generators: list[torch.Generator]) -> torch.Tensor:
        height, width = patch.repaint.shape
        factor = self._pipe.vae_scale_factor
        channels = self._pipe.vae.config.latent_channels
        shape = (len(generators), channels, height // factor, width // factor)
        # CPU generators: a seed paints the same picture on every device.
        noise: torch.Tensor = randn_tensor(shape, generators, self._device, self._dtype)
        return noise

    def _encode(self, image: torch.Tensor, generators: list[torch.Generator]) -> torch.Tensor:
        """Latents of an image in −1…1, one sample per generator; the encoder runs once."""
        image = image.to(self._device, self._dtype)
        self._mind_memory(image[0, 0].numel())
        key = f"{digest(image.float().cpu().numpy())} {self._pipe.vae.use_tiling}"
        moments = self._moments.get(key, lambda: sound(self._pipe.vae.encode(image).latent_dist))
        samples = torch.cat([moments.sample(generator) for generator in generators])
        return samples.mul(self._pipe.vae.config.scaling_factor)

    def _mind_memory(self, pixels: int) -> None:
        """Let the autoencoder cut a large picture into tiles."""
        if self.thrifty or pixels > LARGE:
            self._pipe.vae.enable_tiling()
        else:
            self._pipe.vae.disable_tiling()

    def _encode_words(self, recipe: Recipe) -> torch.Tensor:
        """Prompt embeddings, with a negative half under guidance; LoRAs may change how they are."""
        words = (recipe.prompt, recipe.negative_prompt)
        positive, negative = self._words.get(
            repr((words, recipe.use_lpw, self.loras.weights)),
            lambda: sound(self._wording.encode(*words, use_lpw=recipe.use_lpw)),
        )
        positive = positive.repeat(recipe.num_images, 1, 1)
        if recipe.cfg_scale <= 1:
            return positive
        return torch.cat([negative.repeat(recipe.num_images, 1, 1), positive])

    def unread(self, text: str, *, use_lpw: bool = False) -> str:
        """What of a prompt is not read because it is too long, "" for nothing."""
        return self._wording.unread(text, use_lpw=use_lpw)

    def _is_mapped(self, guide: Guide) -> bool:
        return guide.scale > 0 and guide.control not in self.adapters

    def _guide(self, job: _Job, guide: Guide) -> tuple[ControlNetModel, torch.Tensor, Guide]:
        condition = _to_tensor(guide.map).to(self._device, self._dtype)
        condition = job.twice(condition.expand(len(job.noise), -1, -1, -1))
        return self._controlnets[guide.control], condition, guide

    def _step(self, job: _Job, index: int) -> torch.Tensor:
        """Take one denoising step; returns the clean latents that the model foresees."""
        time = job.timesteps[index]
        noisy = job.scheduler.scale_model_input(job.twice(job.latents), time)
        output = self._predict(job, noisy, index)
        if job.guided:
            without, with_words = output.chunk(2)
            output = without + job.cfg_scale * (with_words - without)
        clean = foresee(job.scheduler, noisy[: len(output)], output, time)
        job.latents = job.scheduler.step(
            output, time, job.latents, return_dict=False, **job.step_options
        )[0]
        if job.known is None:
            return clean
        known, following = job.known, job.timesteps[index + 1 : index + 2]
        if len(following):
            known = job.scheduler.add_noise(known, job.noise, following)
        job.latents = (1 - job.mask) * known + job.mask * job.latents
        return (1 - job.mask) * job.known + job.mask * clean

    def _predict(self, job: _Job, noisy: torch.Tensor, index: int) -> torch.Tensor:
        """The UNet's output; of a large patch the windows' outputs, blended at every step.

        Bar-Tal et al., "MultiDiffusion" (ICML 2023): so no seam can grow between windows.
        """
        if len(job.windows) == 1:
            return self._run(job, noisy, index, job.windows[0])
        total = torch.zeros_like(noisy)
        weight = torch.zeros_like(noisy[:1, :1])
        for window in job.windows:
            output = self._run(job, window.cut(noisy), index, window)
            window.cut(total).add_(output * window.weight.to(output))
            window.cut(weight).add_(window.weight.to(output))
        return total / weight

    def _run(self, job: _Job, noisy: torch.Tensor, index: int, window: Window) -> torch.Tensor:
        """One pass of the ControlNets and the UNet over a window."""
        down, middle = self._control(job, noisy, index, window)
        extra = [] if job.unet_extra is None else [job.twice(window.cut(job.unet_extra))]
        output: torch.Tensor = self._pipe.unet(
            torch.cat([noisy, *extra], dim=1),
            job.timesteps[index],
            encoder_hidden_states=job.words,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
            added_cond_kwargs=job.shown.at(index, len(job.timesteps)),
            return_dict=False,
        )[0]
        return output

    def _control(
        self, job: _Job, noisy: torch.Tensor, index: int, window: Window
    ) -> tuple[list[torch.Tensor] | None, torch.Tensor | None]:
        """The sum of the ControlNets' residuals; those outside their window do not run."""
        residuals: list[list[torch.Tensor]] = []
        total = len(job.timesteps)
        for model, condition, guide in job.guides:
            if not guide.guides(index, total):
                continue
            down, middle = model(
                noisy,
                job.timesteps[index],
                encoder_hidden_states=job.words,
                controlnet_cond=window.cut(condition, self._pipe.vae_scale_factor),
                conditioning_scale=guide.scale,
                return_dict=False,
            )
            residuals.append([*down, middle])
        if not residuals:
            return None, None
        *down, middle = [sum(layer[1:], layer[0]) for layer in zip(*residuals, strict=True)]
        return down, middle

    @torch.inference_mode()
    def _decode(self, latents: torch.Tensor) -> Pixels:
        """One picture at a time, so that the decoder's peak memory is that of one."""
        self._mind_memory(latents[0, 0].numel() * self._pipe.vae_scale_factor**2)
        image = self._pipe.vae.decode(latents / self._pipe.vae.config.scaling_factor).sample
        return _to_pixels(sound(image))

    @torch.inference_mode()
    def _preview(self, clean: torch.Tensor) -> Pixels:
        """The clean latents as a picture: decoded if they are small, else approximated."""
        if clean[0, 0].numel() * self._pipe.vae_scale_factor**2 <= SMALL:
            return self._decode(clean)
        if self._rough is None:
            self._rough = LatentPreview.fit(self._pipe.vae)
        return self._rough.show(sound(clean))


def _to_tensor(picture: Pixels) -> torch.Tensor:
    """(H, W, 3) uint8 → (1, 3, H, W) float32 in 0–1."""
    return torch.from_numpy(picture.astype(np.float32) / 255).permute(2, 0, 1)[None]


def _to_pixels(image: torch.Tensor) -> Pixels:
    """(1, 3, H, W) in −1…1 → (H, W, 3) uint8."""
    array = (image[0].float() / 2 + 0.5).clamp(0, 1).permute(1, 2, 0).cpu().numpy()
    return np.asarray((array * 255).round(), dtype=np.uint8)
