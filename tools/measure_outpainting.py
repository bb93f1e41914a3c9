"""Wider scenes around held-out drawings: `python tools/measure_outpainting.py`.

Drawn portraits are set on canvases of 16:9, 9:16 and 21:9, one of the nine anchors after the other,
and the rest is painted with the drawing's own caption by the embedded pack through the product's
own code. For each shape: pixels of the old picture that changed; how often the scene judge finds
the caption's scene in the new part alone, and in that of a drawing of the whole figure; the colour
jump across the border, beside that between neighbouring lines nearby; the mean jump in the strip
beyond it, in which colours are led over, beside the same, about 1 where nothing is to be seen; and
how many of the shoulders, elbows, wrists and hips that are found beyond the border in a drawing of
the whole figure are found there in the painted picture, too. Those that are found even where all
beyond the border is gray do not count: the pose model guesses them from what is inside. Another
person is there where the segmenter finds one in more than 2 % of the new part, farther than a
head's width from the drawing's whole figure.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from inference import Photo, Recipe, Result, Studio  # noqa: E402
from inference.catalog.catalog import Catalog  # noqa: E402
from inference.control.openpose_skeleton import MIN_SCORE  # noqa: E402
from inference.finishing.outpainter import WiderCanvas  # noqa: E402
from inference.mask.selector import PERSON  # noqa: E402
from inference.page.wider_scene import canvas_of  # noqa: E402
from inference.picture.contact_sheet import contact_sheet  # noqa: E402
from inference.picture.geometry import ASPECT_RATIOS  # noqa: E402
from inference.picture.image_files import save_png  # noqa: E402
from inference.recipe.outpaint_settings import Anchor  # noqa: E402
from tools.evaluation.bench import Bench  # noqa: E402
from tools.evaluation.control import head_width  # noqa: E402
from tools.evaluation.judge import load, to_input  # noqa: E402
from tools.evaluation.table import put_between  # noqa: E402
from tools.portraits import HELD_OUT_SEED, Portrait, PortraitSpec, draw, sample_spec, solo  # noqa: E402
from tools.portraits.captions import caption_of  # noqa: E402
from tools.portraits.figure import keypoints_of  # noqa: E402

Pixels = NDArray[np.uint8]

SHAPES = ("16:9", "9:16", "21:9")
SIZE = (384, 480)
FIRST_SEED = HELD_OUT_SEED + 30_000
# Lines beside the border among which a jump is the usual one, and those of the strip beyond the
# border, which do not count among them.
NEAR, STRIP = 20, 8
# Shortest side of a new part that is judged, in pixels.
LEAST_SIDE = 64
# Share of the new part in which another person has to be found.
ANOTHER = 0.02
# Shoulders, elbows, wrists and hips among the COCO key points, and how far from its place one may
# be found, in head widths.
JOINTS, REACH = slice(5, 13), 0.5
DOCUMENT = ROOT / "docs" / "performance.md"
START = "<!-- measured: written by tools/measure_outpainting.py -->"
END = "<!-- end of outpainting -->"
HEAD = (
    "| canvas | pictures | changed pixels of the old picture | scene of the new part "
    "| and of a drawing's | jump at the border | in the strip beyond | joints beyond "
    "| another person |"
)


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was measured on one picture."""

    changed: int
    scene: bool
    drawn_scene: bool
    jump: float
    strip: float
    joints: list[bool]
    another: bool


def main(given: Sequence[str] | None = None) -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=20, help="pictures for each shape")
    parser.add_argument("--style", default="drawn", help="key of the style that paints")
    parser.add_argument("--catalog", type=Path, help="file of styles, laid over the built-in ones")
    parser.add_argument("--sheet", type=Path, help="where to write all pictures side by side")
    parser.add_argument("--save", action="store_true", help=f"put the table into {DOCUMENT.name}")
    options = parser.parse_args(given)
    studio, shown = Studio(catalog=Catalog.load(options.catalog), style=options.style), []
    bench = Bench(studio)
    lines = [HEAD, "|" + "---|" * (HEAD.count("|") - 1)]
    for shape in SHAPES:
        found = []
        for k in range(options.count):
            result, canvas, spec = painted(studio, shape, k)
            found.append(measure(bench, result, canvas, spec))
            shown.append((f"{shape} {k}", result.images[0]))
        lines.append(row(shape, found))
        print(lines[-1], file=sys.stderr, flush=True)
    print("\n".join(lines))
    if options.sheet:
        save_png(contact_sheet(shown, 4), options.sheet)
    if options.save:
        put_between(DOCUMENT, "\n".join(lines), START, END)


def painted(studio: Studio, shape: str, k: int) -> tuple[Result, WiderCanvas, PortraitSpec]:
    """The k-th drawing on a canvas of a shape, where it lies there, and what it shows."""
    anchors = get_args(Anchor)
    spec = solo(sample_spec(FIRST_SEED + k))
    wide = canvas_of(SIZE, ASPECT_RATIOS[shape])
    recipe = Recipe(
        prompt=caption_of(spec).text, seed=k, denoising_strength=0,
        outpaint=anchors[k % len(anchors)], outpaint_width=wide[0], outpaint_height=wide[1],
    )  # fmt: skip
    photo = Photo.of(draw(spec, SIZE).image)
    *_, result = studio.paint(photo, recipe)
    assert isinstance(result, Result)
    return result, WiderCanvas.plan(recipe, SIZE), spec


def measure(bench: Bench, result: Result, canvas: WiderCanvas, spec: PortraitSpec) -> Found:
    """Measure one picture."""
    picture, inside = result.images[0], canvas.box.slices
    whole = draw(whole_figure(spec, canvas), canvas.size)
    jumps = np.array(list(jumps_at(picture, canvas)))
    return Found(
        changed=int((picture[inside] != result.original[inside]).any(axis=2).sum()),
        scene=scene_of(picture, canvas) == spec.scene,
        drawn_scene=scene_of(whole.image, canvas) == spec.scene,
        jump=float(jumps[:, 0].mean()),
        strip=float(jumps[:, 1].mean()),
        joints=joints_beyond(bench, picture, whole, canvas),
        another=share_of_others(bench, picture, whole, canvas) > ANOTHER,
    )


def whole_figure(spec: PortraitSpec, canvas: WiderCanvas) -> PortraitSpec:
    """A drawing on a canvas that shows in the box of the picture what that one shows."""
    box, (width, height) = canvas.box, canvas.size
    return replace(
        spec,
        head_x=(box.left + spec.head_x * box.size[0]) / width,
        head_y=(box.top + spec.head_y * box.size[1]) / height,
        head_size=spec.head_size * min(box.size) / min(canvas.size),
    )


def without_the_new(picture: Pixels, canvas: WiderCanvas) -> Pixels:
    """The picture with gray beyond the border."""
    return np.where(canvas.is_new()[..., None], np.uint8(128), picture)


def share_of_others(bench: Bench, picture: Pixels, whole: Portrait, canvas: WiderCanvas) -> float:
    """The share of the new part in which a person is found who is not the whole figure."""
    found, new, reach = bench.find(picture, PERSON)[0], canvas.is_new(), round(head_width(whole))
    near = cv2.dilate(whole.masks[PERSON].astype(np.uint8), np.ones((2 * reach + 1,) * 2, np.uint8))
    return float((found & new & (near == 0)).sum() / new.sum())


def joints_beyond(
    bench: Bench, picture: Pixels, whole: Portrait, canvas: WiderCanvas
) -> list[bool]:
    """Whether a picture has them, for all joints beyond the border that are to be seen there."""
    there, drawn, guessed = (
        joints_found(bench, one, whole, canvas)
        for one in (picture, whole.image, without_the_new(whole.image, canvas))
    )
    return [
        is_there
        for is_there, is_drawn, is_guessed in zip(there, drawn, guessed, strict=True)
        if is_drawn and not is_guessed
    ]


def joints_found(bench: Bench, picture: Pixels, whole: Portrait, canvas: WiderCanvas) -> list[bool]:
    """For each joint that the whole figure has beyond the border: whether a picture has it."""
    wanted = keypoints_of(whole.spec, canvas.size)[JOINTS]
    seen, reach, new = bench.keypoints(picture)[JOINTS], REACH * head_width(whole), canvas.is_new()
    return [
        bool(score >= MIN_SCORE and np.hypot(x - to_x, y - to_y) <= reach)
        for (to_x, to_y, is_drawn), (x, y, score) in zip(wanted, seen, strict=True)
        if is_drawn and new[int(to_y), int(to_x)]
    ]


@torch.inference_mode()
def scene_of(picture: Pixels, canvas: WiderCanvas) -> str:
    """The scene of the parts beside the old picture, each judged alone, by their areas."""
    judge, box, (width, height) = load("scene"), canvas.box, canvas.size
    parts = (
        picture[:, : box.left], picture[:, box.right :],
        picture[: box.top, box.left : box.right], picture[box.bottom :, box.left : box.right],
    )  # fmt: skip
    chances = torch.zeros(len(judge.classes))
    for part in parts:
        if min(part.shape[:2]) >= LEAST_SIDE:
            share = part.shape[0] * part.shape[1] / (width * height)
            chances += share * judge(to_input(part)[None]).softmax(1)[0]
    return judge.classes[int(chances.argmax())]


def jumps_at(picture: Pixels, canvas: WiderCanvas) -> Iterator[tuple[float, float]]:
    """The jump across each border that is not the canvas's own, and the mean one in the strip
    beyond it, in medians of those nearby."""
    box, (width, height) = canvas.box, canvas.size
    sides = ((0, width - box.left, width), (0, box.right, width), (1, height - box.top, height),
             (1, box.bottom, height))  # fmt: skip
    for side, (axis, line, length) in enumerate(sides):
        if not 0 < line < length:
            continue
        across = picture if axis == 0 else picture.transpose(1, 0, 2)
        along = across[box.slices[axis]]
        if side % 2 == 0:  # what is new shall lie behind
            along = along[:, ::-1]
        steps = np.abs(np.diff(along.astype(np.float64), axis=1)).mean(axis=(0, 2))
        border, beyond = line - 1, line + STRIP
        nearby = [*steps[max(0, border - NEAR) : border], *steps[beyond : beyond + NEAR]]
        usual = max(0.1, float(np.median(nearby)))
        yield float(steps[border] / usual), float(steps[line:beyond].mean() / usual)


def row(shape: str, found: list[Found]) -> str:
    """The row of a shape."""
    scene, drawn = (
        np.mean([getattr(one, name) for one in found]) for name in ("scene", "drawn_scene")
    )
    jump, strip = (
        float(np.median(values))
        for values in zip(*((one.jump, one.strip) for one in found), strict=True)
    )
    changed = sum(one.changed for one in found)
    joints = list(chain.from_iterable(one.joints for one in found))
    return (
        f"| {shape} | {len(found)} | {changed} | {scene:.0%} | {drawn:.0%} "
        f"| {jump:.2f} | {strip:.2f} "
        f"| {f'{np.mean(joints):.0%} of {len(joints)}' if joints else 'none'} "
        f"| {sum(one.another for one in found) / len(found):.0%} |"
    )


if __name__ == "__main__":
    main()
