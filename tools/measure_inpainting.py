"""Joints between photo and painting, by ways of inpainting: `python tools/measure_inpainting.py`.

Held-out drawings are repainted at the pack's own size by its 9-channel UNet and by a 4-channel one,
this without and with an inpaint ControlNet; each also by Differential Diffusion (Levin and Fried
2023), which paints the mask's soft edge in the last steps only. The 4-channel UNet and the
ControlNet are no part of the pack: `tools/train_pack.py` trains them by its stages plain and
inpaint.

Half of the masks are random shapes, painted with the drawing's own caption; the others are all but
the head, painted with the caption of another scene and the pose ControlNet, as in the product.
Every difference of colour is ΔE 1976 (CIELAB). Lengths are in pixels of a drawing of 384×384.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import torch
from diffusers import ControlNetModel, StableDiffusionInpaintPipeline, UNet2DConditionModel
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from inference import Recipe  # noqa: E402
from inference.control.openpose_skeleton import coco_to_openpose, draw_openpose  # noqa: E402
from inference.control.pose_estimator import PoseEstimator  # noqa: E402
from inference.painting.inpainting import (  # noqa: E402
    ControlInput,
    InpaintInput,
    InpaintOutput,
)
from inference.painting.painter import Painter  # noqa: E402
from inference.picture.compositing import paste  # noqa: E402
from inference.picture.geometry import Box  # noqa: E402
from tools.evaluation.control import REACH as IN_PLACE  # noqa: E402
from tools.evaluation.control import head_width, misses  # noqa: E402
from tools.portraits import HELD_OUT_SEED, Portrait, draw, redress, sample_spec, solo  # noqa: E402
from tools.portraits.captions import caption_of  # noqa: E402
from tools.portraits.figure import keypoints_of  # noqa: E402
from tools.training.common import SQUARE  # noqa: E402
from tools.training.scenarios import random_shapes  # noqa: E402

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

FIRST_SEED = HELD_OUT_SEED + 20_000
MEANS = ("step", "smooth", "shapes", "heads")
WAYS = ("4-channel", "4-channel, inpaint control", "9-channel")
# How the edge is painted: as the UNet asks for; with the photo's latents in the place of painted
# ones where it is kept, also for a 9-channel UNet; with a soft edge as strongly as it is soft; the
# same on the side of what is kept only.
HARD, BLENDED, SOFT, OUTER = EDGES = ("hard", "blended", "differential", "differential outside")
SHORT_SIDE = 512  # of the picture in whose pixels a feather is given
ACROSS = 4  # pixels over which a step is measured
NEAR = 3.0  # pixels from the edge, within which colours are compared
SMOOTH = 3.0  # a step in the drawing itself, below which there is none to be seen
MARGIN = 1.0  # pixels of the drawing that are kept round a head


@dataclass(frozen=True, kw_only=True)
class Case:
    """A drawing to repaint.

    Attributes:
        upload: what is kept comes from it.
        goal: the drawing that a perfect painter would make.
        distance: (h, w), distance to the mask's edge, positive where it is repainted.
        prompt: the caption of `goal`.
        whole: whether all but the head is repainted.
    """

    upload: Pixels
    goal: Portrait
    distance: Floats = field(repr=False)
    prompt: str
    whole: bool


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A row of the table."""

    way: str
    edge: str
    feather: float
    strength: float

    @property
    def title(self) -> str:
        """Its name in the table."""
        return self.way if self.edge == HARD else f"{self.way}, {self.edge}"


@dataclass(kw_only=True)
class Row:
    """Results of one setting.

    Attributes:
        step: ΔE across the edge, a mean for each drawing.
        smooth: the same where the goal has no step there.
        shapes, heads: ΔE to the goal in the repainted part near the edge, by the kind of mask.
        joints: whether each shoulder and neck is in place.
    """

    step: list[float] = field(default_factory=list)
    smooth: list[float] = field(default_factory=list)
    shapes: list[float] = field(default_factory=list)
    heads: list[float] = field(default_factory=list)
    joints: list[bool] = field(default_factory=list)


def case_of(k: int) -> Case:
    """The k-th case; every other one is repainted but for its head."""
    seed = FIRST_SEED + k
    spec = solo(sample_spec(seed))
    drawn = draw(spec, SQUARE)
    if k % 2 == 0:
        rng = np.random.default_rng((seed, 5))
        distance = signed_distance(random_shapes(SQUARE, rng))
        goal = drawn
    else:
        distance = signed_distance(~drawn.masks["head"]) - np.float32(MARGIN)
        goal = draw(redress(spec, seed + 1), SQUARE)
    return Case(
        upload=drawn.image,
        goal=goal,
        distance=distance,
        prompt=caption_of(goal.spec, 0).text,
        whole=k % 2 == 1,
    )


def signed_distance(mask: NDArray[np.bool_]) -> Floats:
    """Distance to a mask's edge, positive inside."""
    inside, outside = (
        cv2.distanceTransform(one.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        for one in (mask, ~mask)
    )
    return np.asarray(np.where(mask, inside - 0.5, 0.5 - outside), dtype=np.float32)


def lab(picture: Pixels) -> Floats:
    """CIELAB, (h, w, 3)."""
    return np.asarray(cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)


def steps_across(picture: Pixels, distance: Floats) -> Floats:
    """ΔE between the two ends of a line of `ACROSS` pixels across each pixel of the edge."""
    smooth = cv2.GaussianBlur(distance, (0, 0), 1.0)
    down, across = np.gradient(smooth)
    y, x = np.nonzero(np.abs(distance) < 1)
    normal = np.stack([across[y, x], down[y, x]])
    normal = normal / np.maximum(np.hypot(*normal), 1e-6) * (ACROSS / 2)
    colours = lab(picture)
    ends = [
        cv2.remap(
            colours,
            (x + sign * normal[0]).astype(np.float32),
            (y + sign * normal[1]).astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        for sign in (-1, 1)
    ]
    return np.asarray(np.linalg.norm(ends[0] - ends[1], axis=-1)[:, 0], dtype=np.float32)


class Painters:
    """The painters of each way, loaded when they are first used."""

    def __init__(self, pack: Path, trained: Path) -> None:
        """Use the pack, and the folder with the 4-channel UNet and the inpaint ControlNet."""
        self._pack, self._trained = pack, trained
        self.get = cache(self._load)

    def _load(self, channels: int) -> Painter:
        pipe = StableDiffusionInpaintPipeline.from_pretrained(
            self._pack / "painter", safety_checker=None, requires_safety_checker=False
        )
        if channels == 4:
            pipe.unet = UNet2DConditionModel.from_pretrained(self._trained / "unet")
        device = torch.device("cpu")
        painter = Painter(pipe.to(torch.float32), device, weighting="extrapolated")
        folders = {"pose": self._pack / "controlnet", "inpaint": self._trained / "controlnet"}
        for key, folder in folders.items():
            if folder.exists():
                painter.add_control(key, ControlNetModel.from_pretrained(folder).float())
        return painter

    def paint(self, case: Case, setting: Setting, seed: int) -> Pixels:
        """Repaint a case and put the painting into the upload, as the product does."""
        feather = setting.feather * min(SQUARE) / SHORT_SIDE
        alpha = np.clip(0.5 + case.distance / feather, 0, 1).astype(np.float32)
        repaint = alpha > 0
        guides = []
        if case.whole:
            skeleton = coco_to_openpose(keypoints_of(case.goal.spec, SQUARE))
            guides.append(ControlInput(control="pose", map=draw_openpose(skeleton, SQUARE)))
        if "control" in setting.way:
            shown = np.where(repaint[..., None], np.uint8(0), case.upload)
            guides.append(ControlInput(control="inpaint", map=shown, hidden=repaint))
        patch = InpaintInput(
            picture=case.upload,
            repaint=repaint,
            strength=strengths_of(alpha, setting.edge),
            guides=tuple(guides),
        )
        recipe = Recipe(
            prompt=case.prompt,
            seed=seed,
            denoising_strength=setting.strength,
            cfg_scale=2.5,
            control_mode="balanced" if "control" in setting.way else "unbalanced",
        )
        *_, last = self.get(int(setting.way[0])).paint(patch, recipe)
        assert isinstance(last, InpaintOutput)
        levels = np.rint(alpha * 255).astype(np.uint8)
        return paste(case.upload, last.pictures[0], levels, Box.whole(SQUARE))


def strengths_of(alpha: Floats, edge: str) -> Floats | None:
    """The strengths of the pixels for a way to paint the soft edge."""
    whole = (alpha > 0).astype(np.float32)
    return {HARD: None, BLENDED: whole, SOFT: alpha, OUTER: np.minimum(2 * alpha, 1)}[edge]


def judge(row: Row, case: Case, picture: Pixels, pose: PoseEstimator) -> None:
    """Add the measures of a picture to a row."""
    found, own = (steps_across(one, case.distance) for one in (picture, case.goal.image))
    row.step.append(float(found.mean()))
    if (own < SMOOTH).any():
        row.smooth.append(float(found[own < SMOOTH].mean()))
    beside = (case.distance > 0) & (case.distance < NEAR)
    apart = np.linalg.norm(lab(picture) - lab(case.goal.image), axis=-1)
    (row.heads if case.whole else row.shapes).append(float(apart[beside].mean()))
    if case.whole:
        wanted = keypoints_of(case.goal.spec, SQUARE)
        painted = pose.find(picture, person_box(case.goal))
        row.joints += [miss <= IN_PLACE for miss in misses(wanted, painted, head_width(case.goal))]


def person_box(drawn: Portrait) -> Box:
    """The bounding box of the person."""
    y, x = np.nonzero(drawn.masks["person"])
    return Box(left=int(x.min()), top=int(y.min()), right=int(x.max()) + 1, bottom=int(y.max()) + 1)


def settings_of(
    ways: list[str], edges: list[str], feathers: list[float], strengths: list[float]
) -> Iterator[Setting]:
    """All rows."""
    for strength in strengths:
        for feather in feathers:
            for way in ways:
                for edge in edges:
                    yield Setting(way=way, edge=edge, feather=feather, strength=strength)


def summary(row: Row) -> dict[str, float]:
    """The means of a row, and the standard error of the first ones."""
    values: dict[str, float] = {"drawings": len(row.step)}
    for name in MEANS:
        found = np.array(getattr(row, name))
        values[name] = float(found.mean())
        values[f"{name} ±"] = float(found.std() / np.sqrt(len(found)))
    values["joints"] = float(np.mean(row.joints)) if row.joints else 0.0
    return values


def main() -> None:
    """Measure, print a table, and write it as JSON after each row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=48, help="how many drawings")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--edges", nargs="+", choices=EDGES, default=list(EDGES))
    parser.add_argument("--feathers", nargs="+", type=float, default=[6.0, 24.0])
    parser.add_argument("--strengths", nargs="+", type=float, default=[0.6, 1.0])
    parser.add_argument("--pack", type=Path, default=ROOT / "assets" / "pack")
    parser.add_argument("--trained", type=Path, default=ROOT / ".train" / "inpainting")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="file to write the numbers to")
    parser.add_argument("--sheet", type=Path, help="folder for pictures of the first cases")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    painters = Painters(options.pack, options.trained)
    pose = PoseEstimator.load(options.pack / "pose", torch.device("cpu"))
    cases = [case_of(k) for k in range(options.count)]
    goals = Row()
    for case in cases:
        judge(goals, case, case.goal.image, pose)
    table = {"the drawing itself": summary(goals)}
    heads = "strength", "feather", "painted by", "step", "where none", "shapes", "heads", "joints"
    print(f"| {' | '.join(heads)} |")
    print("|" + " --- |" * len(heads))
    show("", "", "the drawing itself", summary(goals))
    chosen = options.ways, options.edges, options.feathers, options.strengths
    for setting in settings_of(*chosen):
        row, pictures = Row(), []
        for k, case in enumerate(cases):
            pictures.append(painters.paint(case, setting, seed=k))
            judge(row, case, pictures[-1], pose)
        values = summary(row)
        show(f"{setting.strength:g}", f"{setting.feather:g}", setting.title, values)
        table[f"{setting.strength:g} {setting.feather:g} {setting.title}"] = values
        if options.json:
            options.json.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
        if options.sheet:
            options.sheet.mkdir(parents=True, exist_ok=True)
            rows = [[case.upload for case in cases[:8]], pictures[:8]]
            name = f"{setting.strength:g}-{setting.feather:g}-{setting.title}.png"
            sheet = np.vstack([np.hstack(one) for one in rows])
            cv2.imwrite(str(options.sheet / name), sheet[..., ::-1])


def show(strength: str, feather: str, title: str, values: dict[str, float]) -> None:
    """Print a row of the table."""
    means = " | ".join(f"{values[name]:.2f} ± {values[name + ' ±']:.2f}" for name in MEANS)
    print(f"| {strength} | {feather} | {title} | {means} | {values['joints']:.0%} |", flush=True)


if __name__ == "__main__":
    main()
