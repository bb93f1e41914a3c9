"""2. Prompt: accuracy of clothes and scene, with everything but the head repainted."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from inference import Recipe
from tools.evaluation.bench import Bench, Painting, share, sitter
from tools.evaluation.judge import Judge, load, notes
from tools.evaluation.table import Row, at_least
from tools.portraits.spec import CLOTHES, COLOURS, SCENES

GOAL = 0.9
JUDGE_GOAL = 0.98


@dataclass(frozen=True, kw_only=True)
class Wish:
    """Contents of one prompt: clothes, their colour, and scene."""

    colour: str
    clothes: str
    scene: str

    @property
    def prompt(self) -> str:
        """The prompt text."""
        return f"portrait of a person wearing a {self.colour} {self.clothes}, {self.scene}"


def wish(k: int) -> Wish:
    """The k-th combination: each of the 480 once, in a shuffled order, then again."""
    combinations = list(product(COLOURS, CLOTHES, SCENES))
    order = np.random.default_rng(0).permutation(len(combinations))
    colour, clothes, scene = combinations[order[k % len(order)]]
    return Wish(colour=colour, clothes=clothes, scene=scene)


def recipe(k: int, **changes: Any) -> Recipe:
    """The product's default recipe, with all but the head repainted from pure noise."""
    fields = {"mask_prompt": "head", "mask_negative": "", "denoising_strength": 1.0, "seed": k}
    return Recipe.parse({"prompt": wish(k).prompt, "style": "drawn", **fields, **changes})


def mean_colour(bench: Bench, painting: Painting) -> NDArray[np.float64] | None:
    """Mean RGB of the painted clothes; None if the detector finds none."""
    region = bench.find(painting.image, "clothes")[0] & painting.repainted
    return painting.image[region].mean(axis=0, dtype=np.float64) if region.any() else None


def colour_gaps(colour: NDArray[np.float64] | None) -> dict[str, float]:
    """Distance in CIELAB (CIE 1976) from each of the palette's colours; {} for None."""
    if colour is None:
        return {}
    palette = np.array([list(COLOURS.values()), [colour] * len(COLOURS)], dtype=np.float32) / 255
    named, seen = cv2.cvtColor(palette, cv2.COLOR_RGB2LAB)
    return dict(zip(COLOURS, np.linalg.norm(named - seen, axis=1).tolist(), strict=True))


def nearest_colour(colour: NDArray[np.float64] | None) -> str:
    """The palette's nearest colour by the distance in CIELAB, "" for None."""
    gaps = colour_gaps(colour)
    return min(gaps, key=lambda name: gaps[name]) if gaps else ""


def agreement(bench: Bench, judge: Judge, painting: Painting | None, asked: Wish) -> float:
    """Agreement of a painting with its prompt, continuous in 0-1.

    The mean of the judge's probability of the scene, and of the closeness of the clothes' colour:
    1 for the prompted colour, 0 from a CIELAB distance of 100 on.
    """
    if painting is None:
        return 0.0
    gap = colour_gaps(mean_colour(bench, painting)).get(asked.colour, 100.0)
    scene = judge.sureness(painting.image, asked.scene, hidden=~painting.repainted)
    return (scene + max(0.0, 1 - gap / 100)) / 2


def verdict(
    bench: Bench, judge: Judge, painting: Painting | None, asked: Wish
) -> tuple[bool, bool]:
    """Whether the clothes have the prompted colour, and the picture the prompted scene."""
    if painting is None:
        return False, False
    colour = nearest_colour(mean_colour(bench, painting))
    scene = judge.judge(painting.image, hidden=~painting.repainted)
    return colour == asked.colour, scene == asked.scene


def measure(bench: Bench, count: int) -> dict[str, Any]:
    """Shares of paintings with the right colour and the right scene, also by kind."""
    judge = load("scene")
    verdicts = []
    for k in range(count):
        painting = bench.paint(sitter(k).image, recipe(k))
        verdicts.append((wish(k), *verdict(bench, judge, painting, wish(k))))
    return {
        "colour": share([colour for _, colour, _ in verdicts]),
        "scene": share([scene for _, _, scene in verdicts]),
        "by colour": {n: share([c for w, c, _ in verdicts if w.colour == n]) for n in COLOURS},
        "by clothes": {n: share([c for w, c, _ in verdicts if w.clothes == n]) for n in CLOTHES},
        "by scene": {n: share([s for w, _, s in verdicts if w.scene == n]) for n in SCENES},
        "judge": float(notes("scene")["held-out accuracy"]),
    }


def rows(values: dict[str, Any]) -> list[Row]:
    """The rows of the table."""
    part = "2 Prompt"
    return [
        at_least(part, "clothes have the prompted colour of ten", values["colour"], GOAL),
        at_least(part, "scene is the prompted one of eight", values["scene"], GOAL),
        at_least(part, "the scene judge itself, on drawings", values["judge"], JUDGE_GOAL),
    ]
