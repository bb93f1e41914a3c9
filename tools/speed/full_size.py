"""Operation counts of full-size models, on the device `meta` without computation."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from inference.painting.denoiser import Denoiser, DenoiserInputs, split_hint_embedding
from tools.speed import models
from tools.speed.counting import Work, counted
from tools.speed.tables import Row

META, HALF = torch.device("meta"), torch.float16
TOKENS = 77


class Full:
    """Stable Diffusion 1.5 and a ControlNet in half precision, without weights."""

    def __init__(self) -> None:
        self.pipe = models.pipeline(META, HALF, small=False)
        self.stock_net, net = (models.controlnet(self.pipe, META) for _ in range(2))
        self.looking = split_hint_embedding(net)
        self.denoiser = Denoiser(self.pipe.unet, [net])

    def ours(self, images: int, size: tuple[int, int], *, guided: bool) -> Work:
        """Count one of our denoising steps."""
        rows = 2 * images if guided else images
        given = DenoiserInputs(
            prompt_embeds=empty(rows, TOKENS, 768),
            hints=(empty(1, 320, *latents(size)),),
            scales=(empty(),),
        )
        noisy, scale = empty(images, 4, *latents(size)), empty() if guided else None
        return count(lambda: self.denoiser(noisy, empty(), scale, given))

    def stock(self, images: int, size: tuple[int, int]) -> Work:
        """Count one denoising step of the stock pipeline, with guidance."""
        rows, words = empty(2 * images, 4, *latents(size)), empty(2 * images, TOKENS, 768)
        condition = empty(2 * images, 3, size[1], size[0])

        def step() -> torch.Tensor:
            down, middle = self.stock_net(rows, empty(), words, condition, 1.0, return_dict=False)
            output: torch.Tensor = self.pipe.unet(
                rows, empty(), words, down_block_additional_residuals=down,
                mid_block_additional_residual=middle, return_dict=False,
            )[0]  # fmt: skip
            without, with_words = output.chunk(2)
            return without + 5.0 * (with_words - without)

        return count(step)

    def encode(self, size: tuple[int, int]) -> Work:
        """Count encoding a picture to latents."""
        return count(lambda: self.pipe.vae.encode(empty(1, 3, size[1], size[0])))

    def decode(self, size: tuple[int, int]) -> Work:
        """Count decoding latents to a picture."""
        return count(lambda: self.pipe.vae.decode(empty(1, 4, *latents(size))))

    def look(self, size: tuple[int, int]) -> Work:
        """Count embedding a control map."""
        return count(lambda: self.looking(empty(1, 3, size[1], size[0])))


def empty(*shape: int) -> torch.Tensor:
    """A meta tensor, which has a shape but no data."""
    return torch.empty(shape, device=META, dtype=HALF)


def latents(size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of a picture's latents."""
    return size[1] // 8, size[0] // 8


def count(run: Callable[[], object]) -> Work:
    """Count the work of a run."""
    with torch.inference_mode(), counted(META) as work:
        run()
    return work


def gib(*parts: nn.Module) -> float:
    """Size of the weights of modules, in GiB."""
    return sum(p.numel() * p.element_size() for part in parts for p in part.parameters()) / 2**30


def measure(steps: int = 30) -> list[Row]:
    """Count single parts, and whole pictures by the stock pipeline and by ours; returns rows."""
    full = Full()
    square, tall, photo = (512, 512), (512, 640), (1024, 1280)
    parts = {
        "stock step, guided, 512x512": full.stock(1, square),
        "our step, guided, 512x512": full.ours(1, square, guided=True),
        "our step, not guided, 512x512": full.ours(1, square, guided=False),
        "our step, guided, 512x640": full.ours(1, tall, guided=True),
        "our step, guided, 4 of 512x512": full.ours(4, square, guided=True),
        "our step, guided, a photo of 1024x1280 in one piece": full.ours(1, photo, guided=True),
        "control map, 512x512": full.look(square),
        "encode 512x512": full.encode(square),
        "decode 512x512": full.decode(square),
        "decode 1024x1280": full.decode(photo),
    }
    rows: list[Row] = [
        {
            "counted": name,
            "TFLOP": work.flops / 1e12,
            "launches": work.launches,
            "peak GiB": work.peak / 2**30,
        }
        for name, work in parts.items()
    ]
    once = full.encode(square).flops + full.decode(square).flops
    guided, single = (full.ours(1, square, guided=one).flops for one in (True, False))
    ours, look = once + full.look(square).flops, full.encode(square).flops
    whole = {
        f"stock picture, {steps} steps": once + look + steps * full.stock(1, square).flops,
        f"our picture, {steps} steps": ours + steps * guided,
        f"our picture, {steps} steps, guidance until 0.5": ours + steps * (guided + single) // 2,
        "our picture, fast, 6 steps": ours + 6 * guided,
    }
    rows += [{"counted": name, "TFLOP": flops / 1e12} for name, flops in whole.items()]
    rows.append({"counted": "weights of UNet and ControlNet, GiB",
                 "GiB": gib(full.pipe.unet, full.stock_net)})  # fmt: skip
    rows.append({"counted": "weights of a checkpoint, GiB",
                 "GiB": gib(full.pipe.unet, full.stock_net, full.pipe.vae,
                            full.pipe.text_encoder)})  # fmt: skip
    return rows
