"""Training of one ControlNet for all the pack's controls: pose, edges, lines, depth and others.

It starts from the pose ControlNet that was trained together with the UNet, and continues with the
UNet frozen on maps of every kind, drawn from the goal by the product's own functions. The kind is
not an input, because the maps look different enough.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from diffusers import ControlNetModel
from torch import Tensor

from inference.control.control_maps import CONTROLS, Scene
from tools.portraits import HELD_OUT_SEED, PortraitSpec, draw, redress, sample_spec, solo
from tools.portraits.figure import keypoints_of
from tools.training import latents
from tools.training.common import SQUARE, Job, Trainer, averaged, write_sheet
from tools.training.depth import nearness_of
from tools.training.painter import Lessons, Pair, report

KINDS = ("canny", "lineart", "hed", "mlsd", "depth", "tile", "segroom", "qr", "composition")
SHARES = (0.1, 0.1, 0.1, 0.08, 0.08, 0.08, 0.18, 0.08, 0.2)
SKELETONS = 0.58  # share of a batch; skeletons are the thinnest maps and the hardest to follow


def map_of(kind: str, spec: PortraitSpec, size: tuple[int, int]) -> np.ndarray:
    """The product's control map of this kind for a flat drawing: (h, w, 3) uint8.

    For the composition it is another scene with the same person in other clothes, so that only
    positions can be learned from it.
    """
    if kind == "composition":
        spec = redress(spec, spec.scene_seed)
    drawn = draw(spec, size, with_masks=kind == "depth")
    scene = Scene(
        picture=drawn.image,
        keypoints=lambda: keypoints_of(spec, size),
        nearness=lambda: nearness_of(drawn),
        classes=lambda: drawn.things,
    )
    return CONTROLS[kind](scene)


def maps_of(
    seeds: Sequence[int], kinds: Sequence[str], size: tuple[int, int], style: str = "flat"
) -> Tensor:
    """Control maps of the drawings of `seeds`, (n, 3, height, width) in 0-1."""
    drawn = [
        map_of(kind, solo(sample_spec(int(seed)), style), size)
        for seed, kind in zip(seeds, kinds, strict=True)
    ]
    return torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2).float() / 255


def kinds_of(count: int, skeletons: float, rng: np.random.Generator) -> list[str]:
    """Kinds of maps at random, of which a share are skeletons."""
    return [
        "pose" if rng.random() < skeletons else str(rng.choice(KINDS, p=SHARES))
        for _ in range(count)
    ]


class Controlled(Pair):
    """The painter with the UNet frozen and the ControlNet trainable."""

    def __init__(self) -> None:
        """Build both, the UNet frozen."""
        super().__init__()
        self.unet.requires_grad_(False)

    def train(self, mode: bool = True) -> Controlled:
        """Set the mode of the ControlNet; the UNet stays in evaluation mode."""
        super().train(mode)
        self.unet.eval()
        return self


class MappedLessons(Lessons):
    """Batches in which every sample has a control map of some kind."""

    skeletons = SKELETONS

    def maps(self, seeds: Tensor, bucket: str) -> Tensor:
        """Skeletons and maps of the other kinds, mixed at random."""
        kinds = kinds_of(len(seeds), self.skeletons, self.rng)
        return maps_of(seeds.tolist(), kinds, latents.BUCKETS[bucket])


def build(job: Job) -> Controlled:
    """The trained painter with its ControlNet."""
    return averaged(job.work, "painter", Controlled())


def _sheet(job: Job, name: str) -> None:
    """The maps of some held-out drawings, one kind a row."""
    seeds = [HELD_OUT_SEED + k for k in range(10)]
    pictures = [draw(solo(sample_spec(seed)), SQUARE, with_masks=False).image for seed in seeds]
    rows = [pictures]
    for kind in ("pose", *KINDS):
        maps = maps_of(seeds, [kind] * len(seeds), SQUARE)
        rows.append(list((maps * 255).byte().permute(0, 2, 3, 1).numpy()))
    write_sheet(job.work / f"{name}-maps.png", rows)


def train(job: Job) -> None:
    """Train the ControlNet alone, on the latents that `latents` made."""
    torch.manual_seed(0)
    model = build(job)
    model.controlnet.requires_grad_(True)
    trainer = Trainer(job, "controlnet", model, lr=6e-4, decay=0.998)
    torch.manual_seed(trainer.step)
    lessons = MappedLessons(job, trainer.step + 8)
    _sheet(job, "controlnet")
    trainer.run(lambda: lessons.loss(trainer.model), lambda: report(job, trainer, lessons))


def load(job: Job) -> ControlNetModel:
    """The trained ControlNet."""
    model: ControlNetModel = averaged(job.work, "controlnet", Controlled()).controlnet
    return model
