"""5. Styles: accuracy of the drawing style of each style's LoRA, by a classifier."""

from __future__ import annotations

from typing import Any

from tools.evaluation.bench import Bench, share, sitter
from tools.evaluation.judge import load, notes
from tools.evaluation.prompt import JUDGE_GOAL, recipe
from tools.evaluation.table import Row, at_least

GOAL = 0.9
#: The pack's styles by key, and the drawing style that each was trained on.
HANDS = {"drawn": "flat", "ink": "ink", "soft": "soft"}


def measure(bench: Bench, count: int) -> dict[str, Any]:
    """Shares of paintings whose repainted part is classified as the right drawing style."""
    judge = load("style")
    seen: dict[str, list[bool]] = {style: [] for style in HANDS}
    for style, hand in HANDS.items():
        for k in range(count):
            painting = bench.paint(sitter(k).image, recipe(k, style=style))
            hidden = None if painting is None else ~painting.repainted
            known = painting is not None and judge.judge(painting.image, hidden) == hand
            seen[style].append(known)
    return {
        "by style": {style: share(verdicts) for style, verdicts in seen.items()},
        "all": share([one for verdicts in seen.values() for one in verdicts]),
        "judge": float(notes("style")["held-out accuracy"]),
    }


def rows(values: dict[str, Any]) -> list[Row]:
    """The rows of the table."""
    part = "5 Styles"
    lines = [
        at_least(part, f"style “{style}” is recognized", value, GOAL)
        for style, value in values["by style"].items()
    ]
    return [
        *lines,
        at_least(part, "the style judge itself, on drawings", values["judge"], JUDGE_GOAL),
    ]
