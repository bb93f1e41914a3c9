"""Training of the IP-Adapter, together with its small CLIP image encoder.

Ye et al. 2023 (arXiv:2308.06721). Encoder and adapter are trained on the painter's own task with
the UNet frozen. The image prompt is the goal or its head alone, and most captions are dropped, so
that the adapter has something to learn. Some batches are close-ups of faces, for `face_swap`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers.models.embeddings import ImageProjection, MultiIPAdapterImageProjection
from safetensors.torch import save_file
from torch import Tensor

from tools.training import encoder, joint, text
from tools.training.common import Job, averaged
from tools.training.encoder import EMBEDDED, HEADS, build_encoder, pictures_of, shown, to_input
from tools.training.latents import CLOSE_UP
from tools.training.lessons import Lessons, shown_seeds, write_paintings
from tools.training.pair import Pair
from tools.training.resident import Resident

NAME = "adapter"
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
    model.unet.load_state_dict(joint.unet(job).state_dict())
    model.encoder.load_state_dict(encoder.load(job).state_dict())
    model.put_on()
    return model


class SeenLessons(Lessons):
    """Batches with image prompts, mostly without captions."""

    dropout = UNCAPTIONED

    def __init__(self, job: Job, seed: int) -> None:
        """Load the latents; `seed` is that of the choice of image prompts."""
        super().__init__(job, ("flat", CLOSE_UP))
        self._rng = np.random.default_rng(seed)
        is_near = torch.tensor([one.kind == CLOSE_UP for one in self.data])
        for share, which in ((CLOSE_UPS, is_near), (1 - CLOSE_UPS, ~is_near)):
            self.shares[which] *= share / self.shares[which].sum()

    def seen(self, model: Seeing) -> Tensor:
        """Weighted squared error of the velocity on one batch."""
        batch = self.sample()
        pictures, _ = pictures_of(batch.seeds, self._rng, 1.0 if batch.kind == CLOSE_UP else HEADS)
        hidden = torch.from_numpy(self._rng.random((len(pictures), 1, 1, 1)) < UNSEEN)
        prompts = to_input(pictures).masked_fill(hidden, 0).to(self.device)
        return batch.error(model(batch.noisy, batch.extra, batch.when, batch.words, prompts))


def train(job: Job) -> None:
    """Train encoder and adapter."""
    torch.manual_seed(0)
    trainer = Resident(job, NAME, build(job), lr=3e-4)
    unet = joint.unet(job).state_dict()
    for model in (trainer.model, trainer.average):
        # The UNet of a checkpoint may have been trained on since.
        model.unet.load_state_dict(unet, strict=False)
    torch.manual_seed(trainer.step)
    lessons = SeenLessons(job, trainer.step + 10)
    trainer.run(lambda: lessons.seen(trainer.model), lambda: report(job, trainer, lessons))


def report(job: Job, trainer: Resident[Seeing], lessons: SeenLessons) -> None:
    """Write the painter's sheet, painted with the goals as image prompts."""
    pictures = to_input([shown(seed, False) for seed in shown_seeds()])
    prompts = torch.cat([torch.zeros_like(pictures), pictures]).to(lessons.device)

    def velocity(noisy: Tensor, extra: Tensor, when: Tensor, words: Tensor) -> Tensor:
        answer: Tensor = trainer.average(noisy, extra, when, words, prompts)
        return answer

    write_paintings(job, NAME, lessons, velocity)


def load(job: Job) -> Seeing:
    """The trained adapter with its encoder, on the painter."""
    return averaged(job.work, NAME, build(job))


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
