"""Quality of the fast mode's fewer steps and shorter guidance: `python tools/measure_fast.py`.

Held-out portraits are repainted by the embedded pack, all but the head, from pure noise. For each
setting: agreement of the result with its prompt (`tools/evaluation/prompt.py`), PSNR to the result
of 30 steps with the same seed, and number of UNet passes, counted in pictures: a step with guidance
is two.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from inference import Photo, Studio  # noqa: E402
from tools.evaluation.bench import Bench, Painting, sitter  # noqa: E402
from tools.evaluation.judge import Judge, load  # noqa: E402
from tools.evaluation.prompt import agreement, recipe, verdict, wish  # noqa: E402

FULL: dict[str, Any] = {"steps": 30}
SETTINGS: dict[str, dict[str, Any]] = {
    "30 steps": FULL,
    "30 steps, guidance until 0.8": FULL | {"guidance_stop": 0.8},
    "30 steps, guidance until 0.5": FULL | {"guidance_stop": 0.5},
    "20 steps, the default": {},
    "12 steps": {"steps": 12},
    "8 steps": {"steps": 8},
    "8 steps, guidance until 0.5": {"steps": 8, "guidance_stop": 0.5},
    "4 steps": {"steps": 4},
    "8 steps, lcm": {"steps": 8, "scheduler": "lcm"},
    "4 steps, lcm": {"steps": 4, "scheduler": "lcm"},
    "8 steps, tcd": {"steps": 8, "scheduler": "tcd"},
    "6 steps, tcd": {"steps": 6, "scheduler": "tcd"},
    "4 steps, tcd": {"steps": 4, "scheduler": "tcd"},
}
PASS = "UNet passes"


@dataclass(kw_only=True)
class Row:
    """Results of one setting, a value per portrait."""

    agreement: list[float]
    colour: list[bool]
    scene: list[bool]
    psnr: list[float]
    seconds: list[float]
    passes: int = 0

    def summary(self) -> dict[str, float]:
        """Mean of each value; for the seconds the median."""
        return {
            "portraits": len(self.agreement),
            "agreement": float(np.mean(self.agreement)),
            "standard error": float(np.std(self.agreement) / np.sqrt(len(self.agreement))),
            "colour": float(np.mean(self.colour)),
            "scene": float(np.mean(self.scene)),
            "PSNR to 30 steps": float(np.mean(self.psnr)) if self.psnr else float("inf"),
            PASS: self.passes,
            "CPU seconds": float(np.median(self.seconds)),
        }


def psnr(one: Painting, other: Painting) -> float:
    """PSNR between the repainted parts, in dB."""
    return float(cv2.PSNR(one.image[one.repainted], other.image[one.repainted]))


def paint(bench: Bench, k: int, changes: dict[str, Any]) -> tuple[Painting, int, float]:
    """A painting, the number of pictures that passed the UNet for it, and its CPU seconds."""
    painter = bench.studio.models().checkpoints.loaded
    seen: list[int] = []
    hook = painter._pipe.unet.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    started = time.process_time()
    painting = bench.paint_anew(Photo.of(sitter(k).image), recipe(k, **changes))
    seconds = time.process_time() - started
    hook.remove()
    return painting, sum(seen), seconds


def measure(bench: Bench, judge: Judge, count: int) -> Iterator[dict[str, Row]]:
    """Run all settings in turn on each portrait; yields the results after each portrait."""
    rows = {name: Row(agreement=[], colour=[], scene=[], psnr=[], seconds=[]) for name in SETTINGS}
    bench.paint_anew(Photo.of(sitter(0).image), recipe(0))  # loads the models
    for k in range(count):
        full: Painting | None = None
        for name, changes in SETTINGS.items():
            painting, passes, seconds = paint(bench, k, changes)
            row = rows[name]
            row.agreement.append(agreement(bench, judge, painting, wish(k)))
            colour, scene = verdict(bench, judge, painting, wish(k))
            row.colour.append(colour)
            row.scene.append(scene)
            row.seconds.append(seconds)
            row.passes = passes
            if full is None:
                full = painting
            else:
                row.psnr.append(psnr(painting, full))
        yield rows


def main() -> None:
    """Measure, and print a table; `--json` writes the numbers too."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=36, help="how many portraits")
    parser.add_argument("--json", type=Path, help="file to write the numbers to")
    options = parser.parse_args()
    bench = Bench(Studio(style="drawn"))
    table: dict[str, dict[str, float]] = {}
    for rows in measure(bench, load("scene"), options.count):
        table = {name: row.summary() for name, row in rows.items()}
        if options.json:
            options.json.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    heads = list(next(iter(table.values())))
    print(f"| {'':30} | " + " | ".join(heads) + " |")
    print("|" + " --- |" * (len(heads) + 1))
    for name, values in table.items():
        print(f"| {name:30} | " + " | ".join(f"{values[head]:.3f}" for head in heads) + " |")


if __name__ == "__main__":
    main()
