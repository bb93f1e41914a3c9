"""1. Words: IoU of each word's mask, and peak scores of words that are not in the picture."""

from __future__ import annotations

from typing import Any

import numpy as np

from tools.evaluation.bench import SIZES, Bench, held_out, overlap, share
from tools.evaluation.table import Row, at_least, note
from tools.portraits import HELD_OUT_SEED, WORDS, draw, sample_spec
from tools.portraits.spec import people_of
from tools.training.phrases import ABSENT_WORDS, with_two_hats

GOALS = {
    "foreground": 0.9, "person": 0.9, "head": 0.9, "face": 0.9, "clothes": 0.9, "background": 0.9,
    "hair": 0.8, "hat": 0.8, "glasses": 0.8, "skin": 0.8,
}  # fmt: skip
QUIET, QUIET_SHARE = 0.2, 0.95
#: Words that training never used, in addition to the absent words of the training.
UNKNOWN_WORDS = ("zeppelin", "violin", "tiger", "ladder", "candle", "bridge", "helicopter", "crown")
SOMETIMES_ABSENT = ("hat", "glasses")
SEEN = 12  # a hat with fewer pixels is hidden behind somebody


def measure(bench: Bench, count: int) -> dict[str, Any]:
    """Mean IoU of each word in pictures that have it, and peak scores in pictures without it."""
    found: dict[str, list[float]] = {word: [] for word in WORDS}
    quiet: dict[str, list[bool]] = {"hat or glasses": [], "practised": [], "never heard": []}
    for k in range(count):
        portrait = held_out(k)
        for word in WORDS:
            mask, peak = bench.find(portrait.image, word)
            if portrait.masks[word].any():
                found[word].append(overlap(mask, portrait.masks[word]))
            elif word in SOMETIMES_ABSENT:
                quiet["hat or glasses"].append(peak < QUIET)
        for kind, words in (("practised", ABSENT_WORDS), ("never heard", UNKNOWN_WORDS)):
            peak = bench.find(portrait.image, words[k % len(words)])[1]
            quiet[kind].append(peak < QUIET)
    return {
        "IoU": {word: float(np.mean(values)) for word, values in found.items() if values},
        "pictures": {word: len(values) for word, values in found.items()},
        "quiet": share([one for kind in quiet.values() for one in kind]),
        "quiet by kind": {kind: share(values) for kind, values in quiet.items()},
        "two hats": measure_hats(bench, max(10, count // 4)),
    }


def measure_hats(bench: Bench, count: int) -> dict[str, float]:
    """IoU with each of two hats, for a phrase with its colour ("red hat") and for "hat" alone."""
    coloured: list[float] = []
    bare: list[float] = []
    for k in range(count):
        rng = np.random.default_rng(HELD_OUT_SEED + k)
        portrait = draw(with_two_hats(sample_spec(HELD_OUT_SEED + k), rng), SIZES[k % 2])
        if min(int(hat.sum()) for hat in portrait.hats) < SEEN:
            continue
        everything = bench.find(portrait.image, "hat")[0]
        for person, hat in zip(people_of(portrait.spec), portrait.hats, strict=True):
            named = bench.find(portrait.image, f"{person.hat_colour} hat")[0]
            coloured.append(overlap(named, hat))
            bare.append(overlap(everything, hat))
    better = [one > other for one, other in zip(coloured, bare, strict=True)]
    return {
        "with colour": float(np.mean(coloured)),
        "without": float(np.mean(bare)),
        "better": share(better),
        "hats": len(better),
    }


def rows(values: dict[str, Any]) -> list[Row]:
    """The rows of the table."""
    part = "1 Words"
    lines = [
        at_least(part, f"mean IoU of “{word}”", values["IoU"].get(word, 0.0), goal, unit="")
        for word, goal in GOALS.items()
    ]
    lines.append(at_least(part, "absent words that peak under 0.2", values["quiet"], QUIET_SHARE))
    for kind, value in values["quiet by kind"].items():
        lines.append(note(part, f"… of these, {kind}", f"{100 * value:.1f} %"))
    hats = values["two hats"]
    lines.append(
        Row(
            part=part,
            what="IoU with one of two hats: “red hat”, and “hat”",
            goal="the first is higher",
            value=f"{hats['with colour']:.3f}, {hats['without']:.3f}",
            passed=hats["with colour"] > hats["without"],
        )
    )
    return lines
