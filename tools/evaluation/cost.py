"""7. Cost: size in bytes, load time and painting time in seconds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from inference import Photo, Result
from inference.catalog.catalog import Catalog
from tools.evaluation.bench import FAMILY, Bench, sitter
from tools.evaluation.prompt import recipe
from tools.evaluation.table import Row, at_most, note

MEGABYTES, LOAD_SECONDS, PAINT_SECONDS, FAST_SECONDS = 40, 3, 12, 3
TRIES = 2
ROOT = Path(__file__).resolve().parents[2]

# Loads a style's models, as the page does at its start; importing the libraries is timed apart.
_LOAD = """
import sys, time
begin = time.perf_counter()
import torch
torch.set_num_threads(int(sys.argv[1]))
import inference.studio.loaded_models
from inference import Studio
ready = time.perf_counter()
list(Studio(style=sys.argv[2]).warm_up())
print(ready - begin, time.perf_counter() - ready)
"""


def load_seconds(style: str) -> tuple[float, float]:
    """Seconds to import the libraries and to load a style's models, in a new process."""
    command = [sys.executable, "-c", _LOAD, str(torch.get_num_threads()), style]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    libraries, models = done.stdout.split()[-2:]
    return float(libraries), float(models)


def paint_seconds(bench: Bench, count: int, **fields: object) -> float:
    """Median seconds from the request to the result, with models loaded."""
    totals = []
    for k in range(count + 1):
        *_, result = bench.studio.paint(Photo.of(sitter(k).image), recipe(k, **fields))
        assert isinstance(result, Result)
        totals.append(sum(result.seconds.values()))
    return float(np.median(totals[1:]))  # the first one warms up


def measure(bench: Bench, count: int) -> dict[str, Any]:
    """Size of the pack, load time of the slowest style, median time of a few paintings."""
    styles = [style.key for style in Catalog.load().styles(FAMILY)]
    # The best of a few tries, to exclude other load of the machine.
    loads = [[load_seconds(style) for _ in range(TRIES)] for style in styles]
    return {
        "bytes": sum(path.stat().st_size for path in bench.pack_files()),
        "libraries": min(libraries for tries in loads for libraries, _ in tries),
        "models": max(min(models for _, models in tries) for tries in loads),
        "painting": paint_seconds(bench, min(count, 8), steps=20),
        "fast": paint_seconds(bench, min(count, 8), fast=True),
        "threads": torch.get_num_threads(),
    }


def rows(values: dict[str, Any]) -> list[Row]:
    """The rows of the table."""
    part, threads = "7 Cost", f"{values['threads']} threads"
    return [
        at_most(part, "whole pack", values["bytes"] / 1e6, MEGABYTES, "MB"),
        at_most(
            part,
            f"loading all models of the slowest style, {threads}",
            values["models"],
            LOAD_SECONDS,
            "s",
        ),
        note(part, "… before it, importing PyTorch and diffusers", f"{values['libraries']:.1f} s"),
        at_most(part, f"one image of 20 steps, {threads}", values["painting"], PAINT_SECONDS, "s"),
        at_most(part, f"one image with “Fast”, {threads}", values["fast"], FAST_SECONDS, "s"),
    ]
