"""Training of the enlarger: a small Swin2SR (Conde et al. 2022, arXiv:2209.11345) of factor 2.

With the default initialization, a small model spends most of the training on learning the identity.
`build_enlarger` initializes it to bilinear interpolation instead, which its layers can express
exactly.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from transformers import Swin2SRConfig, Swin2SRForImageSuperResolution, Swin2SRImageProcessorPil

from tools.portraits import HELD_OUT_SEED, draw_seed
from tools.training.common import Job, Trainer, averaged, write_sheet

Pixels = NDArray[np.uint8]

SCALE = 2
CROP = 32  # side of a small picture in training
DRAWINGS, CROPS_PER_DRAWING = 3, 4
SIZES = ((384, 480), (384, 384), (288, 360), (256, 256))
_QUARTERS = np.array([[0.25, 0.75, 0.0], [0.0, 0.75, 0.25]], np.float32)


def build_enlarger() -> Swin2SRForImageSuperResolution:
    """A model of about 0.3 million parameters, initialized to bilinear interpolation."""
    config = Swin2SRConfig(
        image_size=CROP,
        embed_dim=48,
        depths=[2, 2],
        num_heads=[4, 4],
        mlp_ratio=2.0,
        drop_path_rate=0.0,
        upscale=SCALE,
    )
    model = Swin2SRForImageSuperResolution(config)
    _pass_through(model)
    return model


@torch.no_grad()
def _pass_through(model: Swin2SRForImageSuperResolution) -> None:
    """Let channels 0-5 carry the picture and its negative, doubled bilinearly at the end.

    Both are needed, because the activation lets the negative half of either fade; their
    difference is the picture again.
    """
    body, head = model.swin2sr, model.upsample
    for layer in (body.first_convolution, head.conv_before_upsample, head.final_convolution):
        layer.weight[:6].zero_()
    body.conv_after_body.weight[:3].zero_()
    fade = 1 + head.activation.negative_slope
    taps = torch.from_numpy(np.einsum("yi,xj->yxij", _QUARTERS, _QUARTERS)).reshape(4, 3, 3)
    doubling = head.upsample.convolution_0.weight
    for channel in range(3):
        rows = slice(4 * channel, 4 * channel + 4)  # the four that become one channel
        body.first_convolution.weight[channel, channel, 1, 1] = 1
        head.conv_before_upsample.weight[channel, channel, 1, 1] = 1
        head.conv_before_upsample.weight[channel + 3, channel, 1, 1] = -1
        doubling[rows] = 0
        doubling[rows, channel] = taps / fade
        doubling[rows, channel + 3] = -taps / fade
        head.final_convolution.weight[channel, channel, 1, 1] = 1


def build_processor() -> Swin2SRImageProcessorPil:
    """The processor that belongs to `build_enlarger`; it needs no torchvision."""
    return Swin2SRImageProcessorPil()


def shrink(picture: Pixels, by_area: bool) -> Pixels:
    """Downscale a drawing to half its size, without aliasing: by area or with a bicubic filter."""
    height, width = (side // SCALE for side in picture.shape[:2])
    if by_area:
        small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        return np.asarray(small, dtype=np.uint8)
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC))


def _crops(rng: np.random.Generator) -> list[tuple[Pixels, Pixels]]:
    """Small and large crops of one drawing; of every two places the busier one is taken."""
    size = SIZES[rng.integers(len(SIZES))]
    large = draw_seed(int(rng.integers(HELD_OUT_SEED)), size, with_masks=False).image
    large = np.ascontiguousarray(large[:, :: -1 if rng.random() < 0.5 else 1])
    small = shrink(large, by_area=rng.random() < 0.5)
    pairs = []
    for _ in range(CROPS_PER_DRAWING):
        places = [rng.integers((small.shape[0] - CROP, small.shape[1] - CROP)) for _ in range(2)]
        crops = [small[y : y + CROP, x : x + CROP] for y, x in places]
        k = int(np.argmax([crop.std(axis=(0, 1)).sum() for crop in crops]))
        rows, columns = (slice(SCALE * at, SCALE * (at + CROP)) for at in places[k])
        pairs.append((crops[k], large[rows, columns]))
    return pairs


def _tensor(pictures: list[Pixels]) -> Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255


def _psnr(seen: Pixels, truth: Pixels) -> float:
    """Peak signal-to-noise ratio in dB."""
    error = np.mean((seen.astype(np.float64) - truth) ** 2)
    return float(10 * np.log10(255**2 / error))


@torch.no_grad()
def _enlarge(model: Swin2SRForImageSuperResolution, small: Pixels) -> Pixels:
    output = model(_tensor([small])).reconstruction[0].clamp(0, 1)
    return np.asarray((output.permute(1, 2, 0).numpy() * 255).round(), dtype=np.uint8)


def measure(model: Swin2SRForImageSuperResolution, count: int) -> dict[str, float]:
    """PSNR in dB on held-out drawings of 384 × 480, of the model and of Lanczos."""
    scores: dict[str, list[float]] = {"model": [], "lanczos": []}
    for k in range(count):
        truth = draw_seed(HELD_OUT_SEED + k, SIZES[0], with_masks=False).image
        small = shrink(truth, by_area=True)
        plain = cv2.resize(small, SIZES[0], interpolation=cv2.INTER_LANCZOS4)
        scores["model"].append(_psnr(_enlarge(model, small), truth))
        scores["lanczos"].append(_psnr(np.asarray(plain, dtype=np.uint8), truth))
    return {name: round(float(np.mean(values)), 2) for name, values in scores.items()}


def _report(job: Job, model: Swin2SRForImageSuperResolution) -> None:
    print("enlarger PSNR, dB", measure(model, 12), flush=True)
    rows = []
    for k in range(3):
        truth = draw_seed(HELD_OUT_SEED + k, SIZES[1], with_masks=False).image
        small = shrink(truth, by_area=True)
        plain = cv2.resize(small, SIZES[1], interpolation=cv2.INTER_LANCZOS4)
        rows.append([np.asarray(plain, dtype=np.uint8), _enlarge(model, small), truth])
    write_sheet(job.work / "enlarger.png", rows)


def train(job: Job) -> None:
    """Train on crops with the mean absolute error."""
    torch.manual_seed(0)
    trainer = Trainer(job, "enlarger", build_enlarger(), lr=1e-3, decay=0.995)
    rng = np.random.default_rng(trainer.step + 8)

    def loss_of() -> Tensor:
        pairs = [pair for _ in range(DRAWINGS) for pair in _crops(rng)]
        small, large = (_tensor(list(part)) for part in zip(*pairs, strict=True))
        return F.l1_loss(trainer.model(small).reconstruction, large) * 10

    trainer.run(loss_of, lambda: _report(job, trainer.average))


def load(job: Job) -> Swin2SRForImageSuperResolution:
    """The trained enlarger."""
    return averaged(job.work, "enlarger", build_enlarger())
