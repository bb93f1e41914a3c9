"""Adversarial training of the VAE's decoder, on latents that the painter itself made.

A drawing's latents get noise and are denoised by the painter in a few steps, so that they miss the
drawing as painted ones do; the decoder learns the drawing from them, and a discriminator keeps its
lines from being evened out. See `critic` for the loss.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from torch import Tensor
from torch.nn import functional as F

from tools.evaluation.enlarging import psnr
from tools.evaluation.sharpness import sharpness_of
from tools.portraits import HELD_OUT_SEED, draw, sample_spec, solo
from tools.portraits.captions import caption_of
from tools.training import decoder, joint, text
from tools.training import tokenizer as tokens
from tools.training import vae as autoencoder
from tools.training.common import (
    SQUARE,
    Job,
    averaged,
    to_pictures,
    to_tensor,
    write_sheet,
)
from tools.training.critic import Critic, Seen, contested
from tools.training.drawings import Stock
from tools.training.pair import build_scheduler
from tools.training.resident import Resident, is_gpu

DRAWINGS, CROPS, SIDE = 2, 6, 16  # drawings a step, crops of their latents and the crops' side
FLAT = 0.7  # share of flat drawings; the painter without a LoRA knows no other style
EARLIEST, LATEST = 60, {True: 400, False: 120}  # time steps at which it begins: flat, others
STEPS = 3  # at most
CALM = 3.0  # weight of gradients where a drawing is even
EVEN, AROUND = 0.02, 7  # largest step of an even place, in -1..1, and the side of its surroundings
HELD_OUT, SHOWN_FROM = 6, 300
NAME = "sharpener"


class Contest(decoder.Rendering):
    """The autoencoder with trainable decoder, and its discriminator."""

    def __init__(self) -> None:
        """Build both, untrained."""
        super().__init__()
        self.critic = Critic()

    def loss(self, x: Tensor, z: Tensor) -> Tensor:
        """The loss for drawings (n, 3, 8h, 8w) and unscaled latents (n, 4, h, w) of them."""
        y = self.vae.decode(z).sample
        last = self.vae.decoder.conv_out.weight
        distance = autoencoder.distance(y, x) + CALM * unrest(y, x)
        return contested(self.critic, last, Seen(x=x, y=y, z=z), distance)


def unrest(y: Tensor, x: Tensor) -> Tensor:
    """Mean gradient of pictures y where drawings x, (n, 3, h, w), are even all around.

    A critic alone lets a decoder cover even colours with faint spots.
    """
    with torch.no_grad():
        largest = steep(x).amax(1, keepdim=True)
        even = F.max_pool2d(largest, AROUND, stride=1, padding=AROUND // 2) < EVEN
    return (steep(y.float()) * even).mean()


def steep(x: Tensor) -> Tensor:
    """Sum of the absolute differences to the pixels below and on the right, as large as x."""
    down = F.pad(x[..., 1:, :] - x[..., :-1, :], (0, 0, 0, 1))
    right = F.pad(x[..., :, 1:] - x[..., :, :-1], (0, 1, 0, 0))
    return down.abs() + right.abs()


class Repainter:
    """Repaints drawings a little: latents that miss them as the painter's do."""

    def __init__(self, job: Job) -> None:
        """Load the frozen painter and autoencoder."""
        self.device = torch.device(job.device)
        self.vae = decoder.load(job).to(self.device)
        self.unet: UNet2DConditionModel = joint.unet(job).to(self.device)
        self._tokenizer, self._reader = tokens.load(job), text.load(job)
        self.schedule: DDIMScheduler = build_scheduler()

    @torch.no_grad()
    def latents(self, x: Tensor, seeds: list[int], begin: int, steps: int) -> Tensor:
        """Unscaled latents (n, 4, h, w) of drawings (n, 3, 8h, 8w), repainted from a time step."""
        captions = [caption_of(sample_spec(seed)).text for seed in seeds]
        words = self._reader(text.encode_ids(self._tokenizer, captions))[0].to(self.device)
        scale = self.vae.config.scaling_factor
        clean = self.vae.encode(x).latent_dist.mode().float() * scale
        nothing = self.vae.encode(torch.zeros_like(x[:1])).latent_dist.mode().float() * scale
        extra = torch.cat([torch.ones_like(nothing[:, :1]), nothing], 1).expand(len(x), -1, -1, -1)
        times = torch.linspace(begin, 0, steps + 1).long().tolist()
        noisy = self.schedule.add_noise(clean, torch.randn_like(clean), torch.tensor(begin))
        for now, later in pairwise(times):
            when = torch.full((len(x),), now, device=self.device)
            velocity = self.unet(torch.cat([noisy, extra], 1), when, words).sample.float()
            noisy = self._at(later, *self._parts(noisy, velocity, now))
        painted: Tensor = noisy / scale
        return painted

    def _parts(self, noisy: Tensor, velocity: Tensor, now: int) -> tuple[Tensor, Tensor]:
        """The clean latents and the noise that a velocity means."""
        known = self.schedule.alphas_cumprod[now].item()
        a, b = known**0.5, (1 - known) ** 0.5
        return a * noisy - b * velocity, b * noisy + a * velocity

    def _at(self, when: int, clean: Tensor, noise: Tensor) -> Tensor:
        """Latents at a time step, at which 0 is clean."""
        known = self.schedule.alphas_cumprod[when].item() if when else 1.0
        mixed: Tensor = known**0.5 * clean + (1 - known) ** 0.5 * noise
        return mixed


def crops(x: Tensor, z: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Crops at random of drawings and, in the same places, of their latents."""
    rows, columns = (size - SIDE + 1 for size in z.shape[-2:])
    found = []
    for k in range(count):
        top, left = int(torch.randint(rows, ())), int(torch.randint(columns, ()))
        picture = x[k % len(x), :, 8 * top : 8 * (top + SIDE), 8 * left : 8 * (left + SIDE)]
        found.append((picture, z[k % len(x), :, top : top + SIDE, left : left + SIDE]))
    pictures, latents = zip(*found, strict=True)
    return torch.stack(pictures), torch.stack(latents)


def build(job: Job) -> Contest:
    """The decoder as trained before, and an untrained discriminator."""
    contest = Contest()
    contest.vae.load_state_dict(decoder.load(job).state_dict())
    return contest


def train(job: Job) -> None:
    """Train decoder and discriminator on crops of drawings that were repainted a little."""
    torch.manual_seed(0)
    trainer = Resident(job, NAME, build(job), lr=4e-4)
    torch.manual_seed(trainer.step)
    rng, stock, repainter = np.random.default_rng(trainer.step + 3), Stock(job.work), Repainter(job)
    more = 16 if is_gpu(job) else 1

    def lesson() -> Tensor:
        flat = bool(rng.random() < FLAT)
        x, seeds = stock.whole(rng, more * DRAWINGS, flat)
        placed = x.to(job.device, memory_format=torch.channels_last, non_blocking=True)
        begin, steps = int(rng.integers(EARLIEST, LATEST[flat])), int(rng.integers(1, STEPS + 1))
        z = repainter.latents(placed, seeds, begin, steps)
        return trainer.model.loss(*crops(placed, z, more * CROPS))

    trainer.run(lesson, lambda: report(job, trainer, repainter))


@torch.no_grad()
def report(job: Job, trainer: Resident[Contest], repainter: Repainter) -> None:
    """Print how near and how sharp held-out drawings are, repainted a little; write a sheet."""
    seeds = [HELD_OUT_SEED + k for k in range(HELD_OUT)]
    drawn = [draw(solo(sample_spec(seed)), SQUARE, False).image for seed in seeds]
    torch.manual_seed(1)
    z = repainter.latents(to_tensor(drawn).to(job.device), seeds, SHOWN_FROM, STEPS)
    rows = [to_pictures(one.decode(z).sample.cpu()) for one in (repainter.vae, trainer.average.vae)]
    for name, row in zip(("before", "now"), rows, strict=True):
        pairs = list(zip(row, drawn, strict=True))
        near = np.mean([psnr(*pair) for pair in pairs])
        shares = [sharpness_of(one).share_of(sharpness_of(truth)) for one, truth in pairs]
        gradient, laplacian = (
            np.mean([getattr(one, part) for one in shares]) for part in ("gradient", "laplacian")
        )
        print(
            f"{NAME} {name}: {near:.2f} dB, gradient {gradient:.3f}, Laplacian {laplacian:.3f}",
            flush=True,
        )
    write_sheet(job.work / f"{NAME}.png", [drawn, *rows])


def load(job: Job) -> AutoencoderKL:
    """The autoencoder with this decoder, or with the one before where it was not trained."""
    vae = decoder.load(job)
    if (job.work / f"{NAME}.pt").exists():
        vae.load_state_dict(averaged(job.work, NAME, Contest()).vae.state_dict())
    return vae
