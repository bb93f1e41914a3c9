"""Joint training of the painter: a 9-channel inpainting UNet and its pose ControlNet.

Velocity prediction (Salimans and Ho 2022, arXiv:2202.00512) on precomputed latents. Two thirds of
every batch get a skeleton through the ControlNet, so that one run gives a UNet that works alone and
a ControlNet for it. High noise levels are sampled more often, because they decide the composition.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from diffusers import (
    ControlNetModel,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    UNet2DConditionModel,
)
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPTextModel, CLIPTokenizer

from inference.control.openpose_skeleton import coco_to_openpose, draw_openpose
from tools.portraits import HELD_OUT_SEED, sample_spec, solo
from tools.portraits.captions import caption_of
from tools.portraits.figure import keypoints_of
from tools.training import latents, text
from tools.training import tokenizer as tokens
from tools.training import vae as autoencoder
from tools.training.common import SQUARE, Job, Trainer, to_pictures, to_tensor, write_sheet
from tools.training.scenarios import sample_scenarios

CHANNELS = (64, 112, 144)
BATCH = 24
CAPTION_DROPOUT = 0.12
NOISE_OFFSET = 0.1
POSED = 16  # samples of a batch with a skeleton
KEPT_WEIGHT = 0.3  # loss weight of kept latents, relative to repainted ones


def build_unet() -> UNet2DConditionModel:
    """An untrained inpainting UNet; its cross-attention sits at half resolution and below."""
    return UNet2DConditionModel(
        sample_size=SQUARE[0] // 8,
        in_channels=9,
        out_channels=4,
        block_out_channels=CHANNELS,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=text.WIDTH,
        attention_head_dim=4,
        norm_num_groups=16,
    )


def build_controlnet(unet: UNet2DConditionModel) -> ControlNetModel:
    """An untrained ControlNet for `unet`; like the real ones it sees the noisy latents only.

    The class's own initialization lets thin lines on black fade to a thousandth on their way
    through eight convolutions, and starts the last of them at zero: a small model then never
    learns to look at the map. So each layer's output is brought to unit variance on drawn
    skeletons (LSUV; Mishkin and Matas 2016, arXiv:1511.06422).
    """
    model = ControlNetModel(
        in_channels=4,
        block_out_channels=unet.config.block_out_channels,
        down_block_types=unet.config.down_block_types,
        layers_per_block=unet.config.layers_per_block,
        cross_attention_dim=unet.config.cross_attention_dim,
        attention_head_dim=unet.config.attention_head_dim,
        norm_num_groups=unet.config.norm_num_groups,
        conditioning_embedding_out_channels=(8, 16, 32, 64),
    )
    _wake(model.controlnet_cond_embedding, pose_maps(range(16), SQUARE))
    return model


@torch.no_grad()
def _wake(embedding: nn.Module, maps: Tensor) -> None:
    """Scale each convolution, in order, to unit variance of its output on `maps`."""
    seen: list[float] = []
    for layer in [module for module in embedding.modules() if isinstance(module, nn.Conv2d)]:
        nn.init.kaiming_normal_(layer.weight)
        nn.init.zeros_(layer.bias)
        hook = layer.register_forward_hook(lambda _, __, out: seen.append(out.std().item()))
        embedding(maps)
        hook.remove()
        layer.weight /= seen[-1]


def build_scheduler() -> DDIMScheduler:
    """The noise schedule of Stable Diffusion 1.5 with velocity prediction."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="v_prediction",
    )


class Pair(nn.Module):
    """UNet and ControlNet as one module, for one optimizer and one moving average."""

    def __init__(self) -> None:
        """Build both, untrained."""
        super().__init__()
        self.unet = build_unet()
        self.controlnet = build_controlnet(self.unet)

    def forward(
        self, noisy: Tensor, extra: Tensor, when: Tensor, words: Tensor, poses: Tensor
    ) -> Tensor:
        """Velocity (n, 4, h, w).

        noisy (n, 4, h, w); extra (n, 5, h, w): mask and masked-image latents; when (n,);
        words (n, 77, width); poses (m, 3, 8h, 8w) in 0-1 steer the first m samples.
        """
        m, rest = len(poses), len(noisy) - len(poses)
        down = middle = None
        if m:
            down, middle = self.controlnet(
                noisy[:m], when[:m], words[:m], controlnet_cond=poses, return_dict=False
            )
            down = [F.pad(d, (0,) * 7 + (rest,)) for d in down]
            middle = F.pad(middle, (0,) * 7 + (rest,))
        velocity: Tensor = self.unet(
            torch.cat([noisy, extra], 1),
            when,
            words,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
        ).sample
        return velocity


def pose_maps(seeds: Sequence[int], size: tuple[int, int]) -> Tensor:
    """The skeletons of the drawings of `seeds`, (n, 3, height, width) in 0-1."""
    maps = [
        draw_openpose(coco_to_openpose(keypoints_of(solo(sample_spec(int(s))), size)), size)
        for s in seeds
    ]
    return torch.from_numpy(np.stack(maps)).permute(0, 3, 1, 2).float() / 255


class _Batch(NamedTuple):
    """A training batch: inputs (see `Pair.forward`), target velocity, and loss weights."""

    noisy: Tensor
    extra: Tensor
    when: Tensor
    words: Tensor
    maps: Tensor
    velocity: Tensor
    weight: Tensor


class Lessons:
    """Training batches from the precomputed latents; the next one is prepared in the background."""

    def __init__(self, job: Job, seed: int, kind: str = "flat") -> None:
        """Load the latents of a kind, the tokenizer and the frozen text encoder."""
        self.data = {bucket: latents.load(job, bucket, kind) for bucket in latents.BUCKETS}
        self.tokenizer: CLIPTokenizer = tokens.load(job)
        self.encoder: CLIPTextModel = text.load(job)
        self.rng = np.random.default_rng(seed)
        self.alphas = build_scheduler().alphas_cumprod
        self._hand = ThreadPoolExecutor(1)
        self._next = self._hand.submit(self._batch)

    def words(self, captions: list[str]) -> Tensor:
        """Hidden states (n, 77, width) of captions."""
        with torch.no_grad():
            hidden: Tensor = self.encoder(text.encode_ids(self.tokenizer, captions))[0]
        return hidden

    def _captions(self, seeds: Tensor) -> list[str]:
        dropped = self.rng.random(len(seeds)) < CAPTION_DROPOUT
        return [
            "" if gone else caption_of(sample_spec(int(s)), int(self.rng.integers(2**31))).text
            for s, gone in zip(seeds, dropped, strict=True)
        ]

    def maps(self, seeds: Tensor, bucket: str) -> Tensor:
        """The control maps of the first samples of a batch."""
        return pose_maps(seeds[:POSED].tolist(), latents.BUCKETS[bucket])

    def worth(self, seeds: Tensor, bucket: str) -> Tensor:
        """Loss weight of each latent, (n, 1, h, w)."""
        width, height = latents.BUCKETS[bucket]
        return torch.ones(len(seeds), 1, height // 8, width // 8)

    def loss(self, model: Pair) -> Tensor:
        """Squared error of the velocity on one batch, weighted towards the repainted part."""
        ready, self._next = self._next, self._hand.submit(self._batch)
        batch = ready.result()
        predicted = model(batch.noisy, batch.extra, batch.when, batch.words, batch.maps)
        squares: Tensor = batch.weight * (predicted - batch.velocity) ** 2
        return squares.mean()

    def _batch(self) -> _Batch:
        bucket = ("square", "tall")[self.rng.integers(2)]
        data = self.data[bucket]
        rows = torch.from_numpy(self.rng.integers(len(data["seeds"]), size=BATCH))
        which = torch.from_numpy(self.rng.integers(data["masks"].shape[1], size=BATCH))
        clean = data["goals"][rows].float()
        mask = data["masks"][rows, which][:, None].float()
        extra = torch.cat([mask, data["uploads"][rows, which].float()], 1)
        noise = torch.randn_like(clean) + NOISE_OFFSET * torch.randn(BATCH, 4, 1, 1)
        when = (1000 * torch.rand(BATCH).sqrt()).long().clamp(max=999)
        a = self.alphas[when].sqrt()[:, None, None, None]
        b = (1 - self.alphas[when]).sqrt()[:, None, None, None]
        seeds = data["seeds"][rows]
        words = self.words(self._captions(seeds))
        return _Batch(
            noisy=a * clean + b * noise,
            extra=extra,
            when=when,
            words=words,
            maps=self.maps(seeds, bucket),
            velocity=a * noise - b * clean,
            weight=(mask + KEPT_WEIGHT * (1 - mask)) * self.worth(seeds, bucket),
        )


def mixed_loss(model: Pair, whole: Lessons, faces: Lessons, share: float) -> Tensor:
    """The loss on a batch of portraits or, with probability `share`, of close-ups of faces."""
    return (faces if torch.rand(1).item() < share else whole).loss(model)


@torch.no_grad()
def sample(
    model: Pair, extra: Tensor, words: Tensor, poses: Tensor, guidance: float = 4.0
) -> Tensor:
    """Paint latents from pure noise in 20 steps.

    The first half of `words` (2n, 77, width) and of `poses` (2n or none) is for the empty prompt.
    """

    def velocity(x: Tensor, when: Tensor) -> Tensor:
        answer: Tensor = model(torch.cat([x, x]), torch.cat([extra, extra]), when, words, poses)
        return answer

    return denoise(velocity, (len(extra), 4, *extra.shape[-2:]), guidance)


def denoise(
    velocity: Callable[[Tensor, Tensor], Tensor], shape: Sequence[int], guidance: float = 4.0
) -> Tensor:
    """Latents of a shape (n, 4, h, w) from pure noise in 20 steps.

    `velocity` gives that of latents at time steps (2n,), (2n, 4, h, w): first for the empty prompt.
    """
    scheduler = DPMSolverMultistepScheduler.from_config(build_scheduler().config)
    scheduler.set_timesteps(20)
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(1))
    for t in scheduler.timesteps:
        empty, told = velocity(x, t.expand(2 * len(x))).chunk(2)
        x = scheduler.step(empty + guidance * (told - empty), t, x).prev_sample
    return x


def report(job: Job, trainer: Trainer[Pair], lessons: Lessons, style: str = "flat") -> None:
    """Write a sheet for held-out seeds: goal, upload shown, painted with and without pose."""
    model, vae = trainer.average, autoencoder.load(job)
    seeds = [HELD_OUT_SEED + k for k in range(10)]
    scenarios = [sample_scenarios(s, SQUARE, 1, style)[0] for s in seeds]
    goals = to_tensor([s.goal.image for s in scenarios])
    mask = torch.from_numpy(np.stack([s.mask for s in scenarios]))[:, None].float()
    shown = latents.masked(to_tensor([s.upload for s in scenarios]), mask)
    scale = vae.config.scaling_factor
    with torch.no_grad():
        held = vae.encode(shown).latent_dist.mode() * scale
    extra = torch.cat([F.interpolate(mask, size=held.shape[-2:]), held], 1)
    captions = [caption_of(s.goal.spec).text for s in scenarios]
    words = lessons.words([""] * len(seeds) + captions)
    rows = [to_pictures(goals), to_pictures(shown)]
    for poses in (pose_maps(seeds, SQUARE), torch.zeros(0, 3, *SQUARE)):
        painted = sample(model, extra, words, torch.cat([poses, poses]))
        with torch.no_grad():
            rows.append(to_pictures(vae.decode(painted / scale).sample))
    write_sheet(job.work / f"{trainer.name}.png", rows)
    (job.work / f"{trainer.name}.txt").write_text("\n".join(captions) + "\n")


def train(job: Job) -> None:
    """Train UNet and ControlNet together on the latents that `latents` made."""
    torch.manual_seed(0)
    trainer = Trainer(job, "painter", Pair(), lr=1e-3, decay=0.998)
    torch.manual_seed(trainer.step)
    lessons = Lessons(job, trainer.step + 4)
    trainer.run(lambda: lessons.loss(trainer.model), lambda: report(job, trainer, lessons))
