"""Training batches of the painter's stages, and the sheets that the stages report by.

Latents, masks and captions lie on the job's device, so that a step needs nothing from the
processor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor
from torch.nn import functional as F

from tools.portraits import HELD_OUT_SEED, sample_spec
from tools.portraits.captions import caption_of
from tools.training import decoder, latents, text
from tools.training import tokenizer as tokens
from tools.training.common import SQUARE, Job, to_pictures, to_tensor, write_sheet
from tools.training.latents import CLOSE_UP, WHOLE, WIDER, Goals, masked
from tools.training.pair import build_scheduler, denoise
from tools.training.scenarios import sample_scenarios

BATCH = {"cpu": 8, "cuda": 256}
CAPTIONS = 4  # of each goal
CAPTION_DROPOUT = 0.12
NOISE_OFFSET = 0.1
KEPT_WEIGHT = 0.3  # loss weight of kept latents, relative to repainted ones
FLAT = ("flat", WHOLE, WIDER)  # kinds of goals that are whole drawings of their seeds
KINDS = (*FLAT, CLOSE_UP)  # all but the styles that LoRAs learn
SHOWN = 6  # portraits of a sheet


class Batch(NamedTuple):
    """A training batch: inputs (see `pair.Pair.forward`), target, weights, and the goals."""

    noisy: Tensor
    extra: Tensor
    when: Tensor
    words: Tensor
    velocity: Tensor
    worth: Tensor
    kind: str
    seeds: list[int]

    def error(self, predicted: Tensor) -> Tensor:
        """Weighted squared error of a predicted velocity."""
        return (self.worth * (predicted.float() - self.velocity) ** 2).mean()


class Lessons:
    """Training batches from the precomputed latents, made on the job's device."""

    dropout = CAPTION_DROPOUT

    def __init__(self, job: Job, kinds: Sequence[str] = KINDS) -> None:
        """Load the latents of some kinds of goals, captions and the frozen text encoder."""
        self.device = torch.device(job.device)
        self.batch = BATCH[self.device.type]
        self.encoder = text.load(job).to(self.device)
        self.tokenizer = tokens.load(job)
        self.alphas = build_scheduler().alphas_cumprod.to(self.device)
        self.data = [one.to(self.device) for one in latents.load(job, kinds)]
        self.ids = [self._captions(one).to(self.device) for one in self.data]
        self.shares = torch.tensor([float(len(one.seeds)) for one in self.data])

    def _captions(self, goals: Goals) -> Tensor:
        """The token ids of the goals' captions (n, `CAPTIONS`, 77)."""
        texts = [
            caption_of(sample_spec(int(seed)), k).text
            for seed in goals.seeds
            for k in range(CAPTIONS)
        ]
        ids = text.encode_ids(self.tokenizer, texts)
        return ids.reshape(-1, CAPTIONS, ids.shape[-1]).to(torch.int32)

    def words(self, ids: Tensor) -> Tensor:
        """Hidden states (n, 77, width) of token ids."""
        with torch.no_grad():
            hidden: Tensor = self.encoder(ids.long().to(self.device))[0]
        return hidden

    def sample(self) -> Batch:
        """A batch of one kind and size."""
        place = int(torch.multinomial(self.shares, 1))
        data = self.data[place]
        rows, which = (self._chosen(count) for count in data.masks.shape[:2])
        clean, mask = data.goals[rows].float(), data.masks[rows, which][:, None].float()
        noise = torch.randn_like(clean)
        noise = noise + NOISE_OFFSET * torch.randn(*clean.shape[:2], 1, 1, device=self.device)
        when = torch.randint(1000, (self.batch,), device=self.device)
        known = self.alphas[when][:, None, None, None]
        a, b = known.sqrt(), (1 - known).sqrt()
        ids = self.ids[place][rows, self._chosen(CAPTIONS)]
        told = torch.rand(self.batch, 1, 1, device=self.device) >= self.dropout
        return Batch(
            noisy=a * clean + b * noise,
            extra=torch.cat([mask, data.uploads[rows, which].float()], 1),
            when=when,
            words=torch.where(told, self.words(ids), self.empty().expand(self.batch, -1, -1)),
            velocity=a * noise - b * clean,
            worth=mask + KEPT_WEIGHT * (1 - mask),
            kind=data.kind,
            seeds=data.seeds[rows].tolist(),
        )

    def loss(self, model: UNet2DConditionModel) -> Tensor:
        """Weighted squared error of the velocity on one batch."""
        batch = self.sample()
        seen = torch.cat([batch.noisy, batch.extra], 1)
        return batch.error(model(seen, batch.when, batch.words).sample)

    def empty(self) -> Tensor:
        """Hidden states (1, 77, width) of the empty caption."""
        return self.words(text.encode_ids(self.tokenizer, [""]))

    def _chosen(self, count: int) -> Tensor:
        return torch.randint(count, (self.batch,), device=self.device)


def shown_seeds() -> list[int]:
    """The held-out seeds of a sheet."""
    return [HELD_OUT_SEED + k for k in range(SHOWN)]


@torch.no_grad()
def write_paintings(
    job: Job,
    name: str,
    lessons: Lessons,
    velocity: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor],
    style: str = "flat",
) -> None:
    """Write the sheet of a stage for held-out seeds in a style: goal, upload shown, and painted.

    `velocity` is that of noisy latents, mask and masked latents, time steps, and words, each twice:
    first for the empty prompt.
    """
    vae = decoder.load(job)
    scenarios = [sample_scenarios(seed, SQUARE, 1, style)[0] for seed in shown_seeds()]
    goals = to_tensor([one.goal.image for one in scenarios])
    mask = torch.from_numpy(np.stack([one.mask for one in scenarios]))[:, None].float()
    shown = masked(to_tensor([one.upload for one in scenarios]), mask)
    held = vae.encode(shown).latent_dist.mode() * vae.config.scaling_factor
    extra = torch.cat([F.interpolate(mask, size=held.shape[-2:]), held], 1)
    ids = text.encode_ids(
        lessons.tokenizer, [""] * SHOWN + [caption_of(one.goal.spec).text for one in scenarios]
    )
    words = lessons.words(ids)
    place = extra.repeat(2, 1, 1, 1).to(lessons.device)

    def of_both(x: Tensor, when: Tensor) -> Tensor:
        noisy = x.repeat(2, 1, 1, 1).to(lessons.device)
        return velocity(noisy, place, when.to(lessons.device), words).cpu()

    painted = denoise(of_both, held.shape)
    decoded = vae.decode(painted / vae.config.scaling_factor).sample
    write_sheet(
        job.work / f"{name}.png", [to_pictures(goals), to_pictures(shown), to_pictures(decoded)]
    )
