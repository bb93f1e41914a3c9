"""4. Settings: effect of guidance scale, denoising strength and seed on the painting."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from inference import Photo, Recipe
from tools.evaluation.bench import Bench, Painting, share, sitter
from tools.evaluation.judge import load
from tools.evaluation.prompt import agreement as prompt_agreement
from tools.evaluation.prompt import recipe, wish
from tools.evaluation.table import Row

SCALES = (1.0, 2.0, 3.5, 5.0)
STRENGTHS = (0.3, 0.5, 0.7, 0.85, 1.0)
REPEATED = 8
HALFWAY = 0.6  # a denoising strength at which both upload and prompt matter
DIFFERENT = 2.0  # mean difference of the repainted pixels, of 255


def difference(one: Painting, other_image: Any) -> float:
    """Mean absolute difference of the repainted pixels, in 0-255."""
    gap = np.abs(one.image.astype(np.float64) - other_image)
    return float(gap[one.repainted].mean())


def by_words_alone(k: int, scale: float) -> Recipe:
    """The k-th recipe, with guidance that strengthens the prompt but no control."""
    return recipe(k, cfg_scale=scale, control_mode="balanced")


def against_the_upload(k: int, scale: float) -> Recipe:
    """The same at denoising strength `HALFWAY`, where prompt and upload compete."""
    return by_words_alone(k, scale).model_copy(update={"denoising_strength": HALFWAY})


def as_styled(k: int, scale: float) -> Recipe:
    """The k-th recipe with the style's settings: guidance strengthens controls too."""
    return recipe(k, cfg_scale=scale)


def agreement(
    bench: Bench, count: int, scale: float, ask: Callable[[int, float], Recipe]
) -> list[float]:
    """Agreement of each painting with its prompt, in 0-1."""
    judge = load("scene")
    paintings = (bench.paint(sitter(k).image, ask(k, scale)) for k in range(count))
    return [prompt_agreement(bench, judge, one, wish(k)) for k, one in enumerate(paintings)]


def distance(bench: Bench, count: int, strength: float) -> float:
    """Mean difference between painting and upload in the repainted part."""
    gaps = []
    for k in range(count):
        upload = sitter(k).image
        painting = bench.paint(upload, recipe(k, denoising_strength=strength))
        if painting is not None:
            gaps.append(difference(painting, upload))
    return float(np.mean(gaps))


def seeds(bench: Bench, count: int) -> dict[str, float]:
    """Shares of seeds with a bit-identical repetition, and with a different painting by another."""
    same, other = [], []
    for k in range(count):
        photo = Photo.of(sitter(k).image)
        first, again, next_one = (
            bench.paint_anew(photo, recipe(k, seed=seed)) for seed in (k, k, k + 1000)
        )
        same.append(bool((first.image == again.image).all()))
        other.append(difference(first, next_one.image) > DIFFERENT)
    return {"same": share(same), "different": share(other)}


def measure(bench: Bench, count: int) -> dict[str, Any]:
    """Agreement by guidance scale, distance by denoising strength, seeds."""

    def means(ask: Callable[[int, float], Recipe]) -> dict[str, float]:
        return {str(one): float(np.mean(agreement(bench, count, one, ask))) for one in SCALES}

    return {
        "agreement halfway": means(against_the_upload),
        "agreement": means(by_words_alone),
        "agreement as styled": means(as_styled),
        "distance": {str(one): distance(bench, count, one) for one in STRENGTHS},
        "seeds": seeds(bench, min(count, REPEATED)),
    }


def _listed(values: dict[str, float], form: str) -> str:
    return ", ".join(format(value, form) for value in values.values())


def rows(values: dict[str, Any]) -> list[Row]:
    """The rows of the table."""
    part, scales = "4 Knobs", ", ".join(f"{scale:g}" for scale in SCALES)
    halfway, distances = (list(values[one].values()) for one in ("agreement halfway", "distance"))
    repeated, differing = values["seeds"]["same"], values["seeds"]["different"]
    lines = [
        (
            f"prompt agreement at guidance scale {scales}, from denoising strength {HALFWAY:g}",
            "strictly rises",
            _listed(values["agreement halfway"], ".3f"),
            all(one < other for one, other in pairwise(halfway)),
        ),
        ("… from pure noise", "", _listed(values["agreement"], ".3f"), None),
        (
            "… from pure noise, as the style has it",
            "",
            _listed(values["agreement as styled"], ".3f"),
            None,
        ),
        (
            "distance from the upload at strength " + ", ".join(f"{s:g}" for s in STRENGTHS),
            "strictly rises",
            _listed(values["distance"], ".1f"),
            all(one < other for one, other in pairwise(distances)),
        ),
        ("the same seed paints the same, bit for bit", "100 %", f"{repeated:.0%}", repeated == 1),
        ("another seed paints something else", "100 %", f"{differing:.0%}", differing == 1),
    ]
    return [Row(part=part, what=w, goal=g, value=v, passed=p) for w, g, v, p in lines]
