"""Measure the exported pack on held-out drawings: `python tools/check_pack.py`.

Loads the folders as a user would (float32, offline): mask IoU per word, key point error, and
a sheet of repaintings through diffusers' own pipeline with the colours that came out.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from diffusers import (
    ControlNetModel,
    DPMSolverMultistepScheduler,
    StableDiffusionControlNetInpaintPipeline,
)
from numpy.typing import NDArray
from PIL import Image
from transformers import CLIPSegForImageSegmentation, CLIPSegProcessor, VitPoseForPoseEstimation

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from inference.skeleton import coco_to_openpose, draw_openpose  # noqa: E402
from tools.portraits import HELD_OUT_SEED, WORDS, Portrait, draw_seed  # noqa: E402
from tools.portraits.spec import COLOURS, SCENES  # noqa: E402
from tools.training import pose  # noqa: E402
from tools.training.common import SQUARE, TALL, write_sheet  # noqa: E402

CLOTHES = ("hoodie", "spacesuit", "sweater", "suit", "t-shirt", "dress")


def check_masks(folder: Path, count: int) -> dict[str, float]:
    """Mean IoU per word at a score of 0.5, where it is in the picture; and for absent words the
    area wrongly found, in percent of the picture (mean and worst)."""
    model = CLIPSegForImageSegmentation.from_pretrained(folder, dtype=torch.float32)
    processor = CLIPSegProcessor.from_pretrained(folder)
    scores: dict[str, list[float]] = {word: [] for word in WORDS}
    wrong: list[float] = []
    for k in range(count):
        size = SQUARE if k % 2 else TALL
        portrait = draw_seed(HELD_OUT_SEED + k, size)
        pictures = [Image.fromarray(portrait.image)] * (len(WORDS) + 1)
        inputs = processor(text=[*WORDS, "dog"], images=pictures, padding=True, return_tensors="pt")
        with torch.no_grad():
            logits = model(**inputs).logits[:, None]
        heat = torch.nn.functional.interpolate(logits, size=size[::-1], mode="bilinear").sigmoid()
        for word, found in zip([*WORDS, "dog"], heat[:, 0].numpy() > 0.5, strict=True):
            truth = portrait.masks.get(word, np.zeros_like(found))
            if truth.any():
                scores[word].append((found & truth).sum() / (found | truth).sum())
            else:
                wrong.append(100 * float(found.mean()))
    means = {word: round(float(np.mean(values)), 3) for word, values in scores.items()}
    mean, worst = round(float(np.mean(wrong)), 3), round(max(wrong), 2)
    return {**means, "absent words, area %": mean, "absent words, worst area %": worst}


def _repaint(
    pipe: StableDiffusionControlNetInpaintPipeline, portrait: Portrait, prompt: str, scale: float
) -> NDArray[np.uint8]:
    """Everything but head and skin repainted, from pure noise; the kept pixels put back."""
    size = portrait.image.shape[1::-1]
    mask = ~(portrait.masks["person"] & ~portrait.masks["clothes"])
    skeleton = draw_openpose(coco_to_openpose(portrait.keypoints), size)
    result = pipe(
        prompt=prompt,
        image=Image.fromarray(portrait.image),
        mask_image=Image.fromarray(mask.astype(np.uint8) * 255),
        control_image=Image.fromarray(skeleton),
        width=size[0],
        height=size[1],
        strength=1.0,
        guidance_scale=4.0,
        num_inference_steps=20,
        controlnet_conditioning_scale=scale,
        generator=torch.Generator().manual_seed(0),
        output_type="np",
    ).images[0]
    painted = (result * 255).round().astype(np.uint8)
    return np.where(mask[..., None], painted, portrait.image)


def _nearest_colour(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> str:
    """The named colour nearest to the median of a region."""
    seen = np.median(image[mask], axis=0)
    return min(COLOURS, key=lambda name: float(np.abs(seen - COLOURS[name]).sum()))


def check_painter(pack: Path, sheet: Path, rows: int) -> dict[str, float]:
    """Paint `rows` x ten prompts, with the pose (upper of two rows) and without; count colours."""
    controlnet = ControlNetModel.from_pretrained(pack / "controlnet-pose", dtype=torch.float32)
    pipe = StableDiffusionControlNetInpaintPipeline.from_pretrained(
        pack / "painter", controlnet=controlnet, dtype=torch.float32, safety_checker=None
    )
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    right: dict[float, list[bool]] = {1.0: [], 0.0: []}
    pictures: list[list[NDArray[np.uint8]]] = []
    for row in range(rows):
        size = SQUARE if row % 2 == 0 else TALL
        portraits = [
            draw_seed(HELD_OUT_SEED + 200 + 10 * row + k, size) for k in range(len(COLOURS))
        ]
        lines = [[p.image for p in portraits]]
        for scale in right:
            painted = []
            for k, (portrait, colour) in enumerate(zip(portraits, COLOURS, strict=True)):
                clothes, scene = CLOTHES[(k + row) % 6], SCENES[(k + 3 * row) % 8]
                prompt = f"portrait of a person wearing a {colour} {clothes}, {scene}"
                painted.append(_repaint(pipe, portrait, prompt, scale))
                right[scale].append(
                    _nearest_colour(painted[-1], portrait.masks["clothes"]) == colour
                )
            lines.append(painted)
        width = SQUARE[0]
        pictures += [
            [np.pad(p, ((0, 0), (0, width - p.shape[1]), (0, 0))) for p in line] for line in lines
        ]
    write_sheet(sheet, pictures)
    return {
        "clothes colour right, with pose": float(np.mean(right[1.0])),
        "clothes colour right, without": float(np.mean(right[0.0])),
    }


def main() -> None:
    """Check what the arguments ask for and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pack", type=Path, default=ROOT / "assets" / "pack")
    parser.add_argument("--sheet", type=Path, default=ROOT / ".train" / "check.png")
    parser.add_argument("--count", type=int, default=100, help="drawings for masks and key points")
    parser.add_argument("--rows", type=int, default=2, help="rows of ten prompts to paint")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--save", action="store_true", help="write measured.json into the pack")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    measured: dict[str, dict[str, float]] = {}
    if args.count:
        measured["mask IoU"] = check_masks(args.pack / "segmenter", args.count)
        model = VitPoseForPoseEstimation.from_pretrained(args.pack / "pose", dtype=torch.float32)
        measured["key points"] = pose.measure(model, args.count)
    if args.rows:
        measured["repainting"] = check_painter(args.pack, args.sheet, args.rows)
    text = json.dumps({"drawings": args.count, "prompts": 10 * args.rows, **measured}, indent=2)
    print(text)
    if args.save:
        (args.pack / "measured.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
