"""Benchmark of text-prompted masks by CLIPSeg, stock call and ours, with random weights.

Times do not depend on the weights. For several numbers of phrases, one run measures the stock call
(`CLIPSegForImageSegmentation` on the picture repeated for every phrase), our first call, and our
call for one more phrase on the same photo. Ours includes guided upsampling and the distance field.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import CLIPSegConfig, CLIPSegForImageSegmentation, CLIPSegProcessor
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from inference import Photo, Recipe
from inference.mask.heatmap_finder import HeatmapFinder
from inference.mask.segmenter import Segmenter
from inference.mask.selector import Selector
from tests.support import tiny_models
from tools.portraits import HELD_OUT_SEED, draw_seed

COUNTS = (1, 2, 4, 8)
WORDS = ("face", "hair", "hat", "coat", "shoes", "tree", "sky", "sea", "dog")
NATIVE = 512
SIZE = (1024, 1280)


def detector(*, small: bool) -> CLIPSegForImageSegmentation:
    """CIDAS/clipseg-rd64-refined with random weights, or a small one of its class."""
    torch.manual_seed(0)
    config = CLIPSegConfig(use_complex_transposed_convolution=True)
    config.vision_config.patch_size = 16
    if small:
        for part in (config.vision_config, config.text_config):
            part.hidden_size = part.intermediate_size = 64
            part.num_attention_heads = 4
    return CLIPSegForImageSegmentation(config).eval()


def processor(folder: Path) -> CLIPSegProcessor:
    """CLIPSeg's image processor, with a tokenizer of single characters."""
    normal = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    images = ViTImageProcessorPil(size={"height": 352, "width": 352}, **normal)
    return CLIPSegProcessor(image_processor=images, tokenizer=tiny_models.tokenizer(folder))


def seconds(work: Callable[[], object]) -> float:
    """Seconds that some work takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def stock(
    model: CLIPSegForImageSegmentation, prepare: CLIPSegProcessor, photo: Photo, words: list[str]
) -> None:
    """Call CLIPSeg as in the model's documentation."""
    pictures = [Image.fromarray(photo.pixels)] * len(words)
    inputs = prepare(text=words, images=pictures, padding=True, return_tensors="pt")
    inputs = inputs.to(model.device)
    with torch.no_grad():
        model(**inputs)


def photo_of(seed: int) -> Photo:
    """A new photo, which is in no cache."""
    return Photo.of(draw_seed(HELD_OUT_SEED + seed, SIZE).image)


def measure(
    device: torch.device, counts: Sequence[int], repeats: int, *, small: bool
) -> dict[int, dict[str, float]]:
    """Medians in seconds by number of phrases, after a warm-up run."""
    rows: dict[int, list[tuple[float, float, float]]] = {count: [] for count in counts}
    with tempfile.TemporaryDirectory() as name:
        prepare = processor(Path(name))
        model = detector(small=small).to(device)
        ours = Segmenter(detector(small=small).to(device), prepare, device)
        for repeat in range(repeats + 1):
            for count in counts:
                photo, words = photo_of(10 * repeat + count), list(WORDS[:count])
                taken = _taken(model, ours, prepare, photo, words)
                if repeat:
                    rows[count].append(taken)
    names = ("stock", "ours, first", "one more phrase")
    medians = {count: np.median(taken, axis=0).tolist() for count, taken in rows.items()}
    return {count: dict(zip(names, one, strict=True)) for count, one in medians.items()}


def _taken(
    model: CLIPSegForImageSegmentation, ours: Segmenter, prepare: CLIPSegProcessor, photo: Photo,
    words: list[str],
) -> tuple[float, float, float]:  # fmt: skip
    """Seconds of the stock call, of ours, and of ours with one more phrase."""
    selector = Selector(finder=HeatmapFinder(segmenter=lambda _family: ours))

    def select(phrases: list[str]) -> None:
        recipe = Recipe(mask_prompt=", ".join(phrases), mask_negative="")
        selector.select(photo, recipe, "sd15", NATIVE)

    return (
        seconds(lambda: stock(model, prepare, photo, words)),
        seconds(lambda: select(words)),
        seconds(lambda: select([*words, WORDS[-1]])),
    )
