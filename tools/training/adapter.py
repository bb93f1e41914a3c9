"""Training of the IP-Adapter, together with its small CLIP image encoder.

Ye et al. 2023 (arXiv:2308.06721). Encoder and adapter are trained on the painter's own task with
the UNet frozen. The image prompt is the goal or its head alone, and most captions are dropped, so
that the adapter has something to learn. Some batches are close-ups of faces, for `face_swap`.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from diffusers.models.embeddings import ImageProjection, MultiIPAdapterImageProjection
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from tools.portraits import HELD_OUT_SEED
from tools.training import encoder, joint, latents, text
from tools.training import vae as autoencoder
from tools.training.common import (
    SQUARE,
    Job,
    Trainer,
    averaged,
    to_pictures,
    to_tensor,
    write_sheet,
)
from tools.training.encoder import EMBEDDED, HEADS, build_encoder, pictures_of, shown, to_input
from tools.training.painter import Lessons, Pair, mixed_loss, sample
from tools.training.scenarios import sample_scenarios

TOKENS = 4
UNCAPTIONED = 0.6
UNSEEN = 0.1
CLOSE_UPS = 0.4  # of the batches


def _untrained(pair: Pair) -> dict[str, dict[str, Tensor]]:
    """Adapter weights in the layout of the files: attention starts as that to the words."""
    attention = {}
    weights = pair.unet.state_dict()
    names = [name for name in pair.unet.attn_processors if "attn2" in name]
    for place, name in enumerate(names):
        layer = name.removesuffix(".processor")
        for part in ("to_k", "to_v"):
            attention[f"{2 * place + 1}.{part}_ip.weight"] = weights[
                f"{layer}.{part}.weight"
            ].clone()
    projection = {
        "proj.weight": torch.randn(TOKENS * text.WIDTH, EMBEDDED) / EMBEDDED**0.5,
        "proj.bias": torch.zeros(TOKENS * text.WIDTH),
        "norm.weight": torch.ones(text.WIDTH),
        "norm.bias": torch.zeros(text.WIDTH),
    }
    return {"image_proj": projection, "ip_adapter": attention}


class Seeing(Pair):
    """The frozen painter with a trainable adapter and image encoder."""

    def __init__(self) -> None:
        """Build all of it, untrained."""
        super().__init__()
        self.encoder = build_encoder()

    def put_on(self, weights: dict[str, dict[str, Tensor]] | None = None) -> None:
        """Attach the adapter, untrained or with these weights, to the UNet's attention."""
        weights = weights or _untrained(self)
        processors = self.unet._convert_ip_adapter_attn_to_diffusers([weights])
        layer = self.unet._convert_ip_adapter_image_proj_to_diffusers(weights["image_proj"])
        self.unet.set_attn_processor(processors)
        self.unet.encoder_hid_proj = MultiIPAdapterImageProjection([layer])
        self.unet.config.encoder_hid_dim_type = "ip_image_proj"
        self.release()

    def release(self) -> None:
        """Make adapter and encoder trainable, and nothing else."""
        self.requires_grad_(False)
        for part in (self.encoder, self.unet.encoder_hid_proj):
            part.requires_grad_(True)
        for processor in self.unet.attn_processors.values():
            if isinstance(processor, torch.nn.Module):
                processor.requires_grad_(True)

    def forward(
        self, noisy: Tensor, extra: Tensor, when: Tensor, words: Tensor, poses: Tensor
    ) -> Tensor:
        """Velocity (n, 4, h, w); `poses` are the image prompts, (n, 3, 64, 64), zero for none."""
        seen = self.encoder(poses).image_embeds
        nothing = (poses == 0).flatten(1).all(1, keepdim=True)
        velocity: Tensor = self.unet(
            torch.cat([noisy, extra], 1),
            when,
            words,
            added_cond_kwargs={"image_embeds": [seen.masked_fill(nothing, 0)[:, None]]},
        ).sample
        return velocity


def build(job: Job) -> Seeing:
    """The trained painter with an untrained adapter."""
    model = Seeing()
    model.unet.load_state_dict(joint.load(job).unet.state_dict())
    model.encoder.load_state_dict(encoder.load(job).state_dict())
    model.put_on()
    return model


class SeenLessons(Lessons):
    """Batches with image prompts, without skeletons, mostly without captions."""

    heads_alone = HEADS

    def maps(self, seeds: Tensor, bucket: str) -> Tensor:  # noqa: ARG002, one size for both
        """The image prompts, (n, 3, 64, 64); a part of them zero."""
        pictures, _ = pictures_of(seeds.tolist(), self.rng, self.heads_alone)
        hidden = torch.from_numpy(self.rng.random((len(pictures), 1, 1, 1)) < UNSEEN)
        return to_input(pictures).masked_fill(hidden, 0)

    def _captions(self, seeds: Tensor) -> list[str]:
        captions = super()._captions(seeds)
        return ["" if self.rng.random() < UNCAPTIONED else caption for caption in captions]


class FaceLessons(SeenLessons):
    """Batches of close-ups of faces, with the same face in another drawing as image prompt."""

    heads_alone = 1.0


def report(job: Job, trainer: Trainer[Seeing], lessons: SeenLessons) -> None:
    """Write a sheet for held-out seeds without captions: image prompt, upload, with, without it."""
    model, vae = trainer.average, autoencoder.load(job)
    seeds = [HELD_OUT_SEED + k for k in range(10)]
    scenarios = [sample_scenarios(seed, SQUARE, 1)[0] for seed in seeds]
    mask = torch.from_numpy(np.stack([one.mask for one in scenarios]))[:, None].float()
    upload = latents.masked(to_tensor([one.upload for one in scenarios]), mask)
    scale = vae.config.scaling_factor
    with torch.no_grad():
        held = vae.encode(upload).latent_dist.mode() * scale
    extra = torch.cat([F.interpolate(mask, size=held.shape[-2:]), held], 1)
    words = lessons.words([""] * 2 * len(seeds))
    # The image prompt is another portrait's goal, so that it is the only source of information.
    pictures = [shown(seed, False) for seed in seeds[1:] + seeds[:1]]
    seen = to_input(pictures)
    rows = [[cv2.resize(one, SQUARE) for one in pictures], to_pictures(upload)]
    for halves in ([torch.zeros_like(seen), seen], [torch.zeros_like(seen)] * 2):
        painted = sample(model, extra, words, torch.cat(halves), 2.0)
        with torch.no_grad():
            rows.append(to_pictures(vae.decode(painted / scale).sample))
    write_sheet(job.work / f"{trainer.name}.png", rows)


def train(job: Job) -> None:
    """Train encoder and adapter on the latents that `latents` made."""
    torch.manual_seed(0)
    trainer = Trainer(job, "adapter", build(job), lr=1e-3, decay=0.998, half=True)
    torch.manual_seed(trainer.step)
    whole = SeenLessons(job, trainer.step + 10)
    faces = FaceLessons(job, trainer.step + 17, latents.CLOSE_UP)
    trainer.run(
        lambda: mixed_loss(trainer.model, whole, faces, CLOSE_UPS),
        lambda: report(job, trainer, whole),
    )


def load(job: Job) -> Seeing:
    """The trained adapter with its encoder, on the painter."""
    return averaged(job.work, "adapter", build(job))


def save(model: Seeing, folder: Path) -> None:
    """Write an adapter as one file in the published layout, and its encoder beside it."""
    weights = {
        f"image_proj.{name}": weight
        for name, weight in _projection(model.unet.encoder_hid_proj).items()
    }
    seers = [one for one in model.unet.attn_processors.values() if hasattr(one, "to_k_ip")]
    for place, processor in enumerate(seers):
        for part in ("to_k_ip", "to_v_ip"):
            name = f"ip_adapter.{2 * place + 1}.{part}.weight"
            weights[name] = getattr(processor, part)[0].weight
    folder.mkdir(parents=True, exist_ok=True)
    halves = {name: weight.half().contiguous() for name, weight in weights.items()}
    save_file(halves, folder / "ip-adapter.safetensors")
    model.encoder.half().save_pretrained(folder / "image_encoder")


def _projection(layers: MultiIPAdapterImageProjection) -> dict[str, Tensor]:
    """The published names of diffusers' own."""
    layer: ImageProjection = layers.image_projection_layers[0]
    names = {"image_embeds": "proj", "norm": "norm"}
    return {
        ".".join([names[name.split(".")[0]], *name.split(".")[1:]]): weight
        for name, weight in layer.state_dict().items()
    }
