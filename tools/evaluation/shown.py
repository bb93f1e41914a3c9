"""9. Image prompt: with no word of it, are scene and clothes those of the picture shown?"""

from __future__ import annotations

from typing import Any

from tools.evaluation.bench import Bench, share, sitter
from tools.evaluation.judge import load
from tools.evaluation.maps import SILENT
from tools.evaluation.prompt import Wish, recipe, verdict
from tools.evaluation.table import Row

MORE = 0.2  # what the adapter must add to each share


def measure(bench: Bench, count: int) -> dict[str, Any]:
    """Shares of paintings with the photo's colour of clothes and the photo's scene."""
    judge = load("scene")
    values: dict[str, Any] = {}
    for name, control in (("with", "ipadapter"), ("without", None)):
        verdicts = []
        for k in range(count):
            portrait = sitter(k)
            spec = portrait.spec
            there = Wish(colour=spec.clothes_colour, clothes=spec.clothes, scene=spec.scene)
            painting = bench.paint(portrait.image, recipe(k, prompt=SILENT, controlnet=control))
            verdicts.append(verdict(bench, judge, painting, there))
        values[name] = {
            "colour": share([colour for colour, _ in verdicts]),
            "scene": share([scene for _, scene in verdicts]),
        }
    return values


def rows(values: dict[str, Any]) -> list[Row]:
    """The lines of the table."""
    names = {"colour": "clothes have the photo's colour", "scene": "scene is the photo's"}
    return [
        Row(
            part="9 Image prompt",
            what=f"{text}, shown the photo and not",
            goal=f"at least {100 * MORE:.0f} points more",
            value=f"{100 * values['with'][key]:.1f} %, {100 * values['without'][key]:.1f} %",
            passed=values["with"][key] >= values["without"][key] + MORE,
        )
        for key, text in names.items()
    ]
