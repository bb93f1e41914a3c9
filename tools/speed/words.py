"""From words to masks: `python tools/bench.py`, with the full-size CLIPSeg and random weights.

Times are the same whatever the weights are. For 1, 2, 4 and 8 phrases it prints how long the
stock call takes (`CLIPSegForImageSegmentation` on the picture repeated for every phrase), how long
ours takes the first time and for one more phrase on the same photo, and the ratios; all in one
run. Ours includes moving the edges onto the picture's and the distance field.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import CLIPSegConfig, CLIPSegForImageSegmentation, CLIPSegProcessor
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from inference import Photo, Recipe  # noqa: E402
from inference.segmenter import Segmenter  # noqa: E402
from inference.selector import Selector  # noqa: E402
from tests import tiny  # noqa: E402
from tools.portraits import HELD_OUT_SEED, draw_seed  # noqa: E402

COUNTS = (1, 2, 4, 8)
WORDS = ("face", "hair", "hat", "coat", "shoes", "tree", "sky", "sea", "dog")
NATIVE = 512
SIZE = (1024, 1280)


def full_size() -> CLIPSegForImageSegmentation:
    """CIDAS/clipseg-rd64-refined with random weights."""
    torch.manual_seed(0)
    config = CLIPSegConfig(use_complex_transposed_convolution=True)
    config.vision_config.patch_size = 16
    return CLIPSegForImageSegmentation(config).eval()


def processor(folder: Path) -> CLIPSegProcessor:
    """Its pictures' processor, and a tokenizer that spells."""
    normal = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    images = ViTImageProcessorPil(size={"height": 352, "width": 352}, **normal)
    return CLIPSegProcessor(image_processor=images, tokenizer=tiny.tokenizer(folder))


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
    with torch.no_grad():
        model(**inputs)


def photo_of(seed: int) -> Photo:
    """A photo that was never seen."""
    return Photo.of(draw_seed(HELD_OUT_SEED + seed, SIZE).image)


def main() -> None:
    """Measure, and print a row per number of phrases."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    rows: dict[int, list[tuple[float, float, float]]] = {count: [] for count in COUNTS}
    with tempfile.TemporaryDirectory() as name:
        prepare = processor(Path(name))
        model, ours = full_size(), Segmenter(full_size(), prepare, torch.device("cpu"))
        for repeat in range(args.repeats + 1):
            for count in COUNTS:
                photo, words = photo_of(10 * repeat + count), list(WORDS[:count])
                selector = Selector(segmenter=lambda _family: ours)

                def select(
                    words: list[str], selector: Selector = selector, photo: Photo = photo
                ) -> None:
                    recipe = Recipe(mask_prompt=", ".join(words), mask_negative="")
                    selector.select(photo, recipe, "sd15", NATIVE)

                taken = (
                    seconds(lambda words=words, photo=photo: stock(model, prepare, photo, words)),
                    seconds(lambda words=words, select=select: select(words)),
                    seconds(lambda words=words, select=select: select([*words, WORDS[-1]])),
                )
                if repeat:  # the first one warms up
                    rows[count].append(taken)
    report(rows)


def report(rows: dict[int, list[tuple[float, float, float]]]) -> None:
    """Medians in milliseconds, and their ratios."""
    heads = (
        "phrases",
        "stock",
        "ours, first",
        "one more",
        "stock/ours",
        "first/first(1)",
        "more/first",
    )
    print("".join(f"{head:>15}" for head in heads))
    medians = {count: 1000 * np.median(taken, axis=0) for count, taken in rows.items()}
    for count, (theirs, first, more) in medians.items():
        ratios = (theirs / first, first / medians[1][1], more / first)
        cells = [f"{count}", *(f"{one:.0f} ms" for one in (theirs, first, more))]
        print("".join(f"{cell:>15}" for cell in cells) + "".join(f"{one:15.2f}" for one in ratios))


if __name__ == "__main__":
    main()
