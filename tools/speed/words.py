"""From words to masks, with CLIPSeg and random weights, beside the stock call.

Times are the same whatever the weights are. For several numbers of phrases it tells how long the
stock call takes (`CLIPSegForImageSegmentation` on the picture repeated for every phrase), how long
ours takes the first time, and for one more phrase on the same photo; all in one run. Ours includes
moving the edges onto the picture's and the distance field.
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
    """Its pictures' processor, and a tokenizer that spells."""
    normal = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    images = ViTImageProcessorPil(size={"height": 352, "width": 352}, **normal)
    return CLIPSegProcessor(image_processor=images, tokenizer=tiny_models.tokenizer(folder))


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def stock(
    model: CLIPSegForImageSegmentation, prepare: CLIPSegProcessor, photo: Photo, words: list[str]
) -> None:
    """The call of the model's documentation."""
    pictures = [Image.fromarray(photo.pixels)] * len(words)
    inputs = prepare(text=words, images=pictures, padding=True, return_tensors="pt")
    inputs = inputs.to(model.device)
    with torch.no_grad():
        model(**inputs)


def photo_of(seed: int) -> Photo:
    """A photo that was never seen."""
    return Photo.of(draw_seed(HELD_OUT_SEED + seed, SIZE).image)


def measure(
    device: torch.device, counts: Sequence[int], repeats: int, *, small: bool
) -> dict[int, dict[str, float]]:
    """Medians in seconds by the number of phrases, after a run to warm up."""
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
    selector = Selector(segmenter=lambda _family: ours)

    def select(phrases: list[str]) -> None:
        recipe = Recipe(mask_prompt=", ".join(phrases), mask_negative="")
        selector.select(photo, recipe, "sd15", NATIVE)

    return (
        seconds(lambda: stock(model, prepare, photo, words)),
        seconds(lambda: select(words)),
        seconds(lambda: select([*words, WORDS[-1]])),
    )
