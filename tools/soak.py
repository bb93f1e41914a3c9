"""Soak test: hours of random jobs, to find crashes, leaks and changed kept pixels.

    python tools/soak.py --minutes 60 [--catalog my.toml] [--seed 1]
    python tools/soak.py --visitors 1000 --previews 1000 [--catalog my.toml]

Each round picks a photo (valid, mutated, or not a picture), a recipe (valid, or with an invalid
value), and a course (painted to the end, cancelled at a random step, or a model that fails). At the
end a table shows the number of each outcome, and memory, threads and temporary files. The exit
status is 1 if a check failed.

The second form tests the page on a real server: `--previews` mask updates in one session, then
`--visitors` sessions that upload a photo, update the mask, paint, and close the tab.
"""

from __future__ import annotations

import argparse
import ctypes.util
import gc
import io
import logging
import os
import random
import resource
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

from app import served
from inference import MasqueradeError, Photo, Recipe, Result, Studio
from inference.catalog.catalog import Catalog
from inference.rest.service import running_backend
from inference.serving.options import Options
from inference.serving.temporary_files import Limits
from tools.visitor import Visitor

KINDS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP")
ODD_VALUES: tuple[Any, ...] = (
    float("nan"),
    float("inf"),
    -1,
    10**9,
    "perhaps",
    [1],
    None,
    "\ud800",
)
FAULTS = (torch.OutOfMemoryError("out of memory"), RuntimeError("broken"), SystemExit(1))
# Share of the run after which memory has settled; growth after that is a leak.
SETTLED = 0.3
# Later for visitors, because the state of the last 500 sessions is kept.
SETTLED_VISITORS = 0.6
MOST_GROWTH_MB = 200
STROKE = "-2000:5000,5000"
FILES = 50  # of the page itself


@dataclass
class Soak:
    """Rounds of the soak test, with their outcomes and faults."""

    studio: Studio
    chance: random.Random
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def round(self) -> None:
        """Run one random job."""
        try:
            self._job()
        except MasqueradeError as error:
            sentence = str(error)
            self.outcomes[f"refused: {type(error).__name__}"] += 1
            if "\n" in sentence or not sentence.endswith("."):
                self.faults.append(f"not a sentence: {sentence[:200]!r}")
        except (Exception, SystemExit) as error:  # noqa: BLE001 - it is what is looked for
            self.faults.append(f"{type(error).__name__}: {str(error)[:200]}")
        if self.studio._engine.locked():
            self.faults.append("the engine is still locked")

    def _job(self) -> None:
        photo = Photo.open(self._file())
        recipe = Recipe.parse(self._fields())
        stop = self.chance.choice((None, None, None, self.chance.randrange(12)))
        hook = self._breaks() if self.chance.random() < 0.1 else None
        try:
            with closing(self.studio.paint(photo, recipe)) as events:
                for number, event in enumerate(events):
                    if isinstance(event, Result):
                        self._check(event)
                    elif number == stop:
                        self.outcomes["cancelled"] += 1
                        return
        finally:
            if hook is not None:
                hook.remove()

    def _check(self, result: Result) -> None:
        self.outcomes["painted"] += 1
        if result.kept_pixels_changed:
            self.faults.append(f"{result.kept_pixels_changed} kept pixels changed")
        if not all(image[result.mask > 0].any() for image in result.images):
            self.faults.append("a black picture")
        if self.chance.random() < 0.1:
            with tempfile.TemporaryDirectory() as folder:
                result.save(Path(folder) / "out.png")

    def _file(self) -> bytes:
        """A photo, now and then mutated, now and then not a picture at all."""
        chance, kind = self.chance, self.chance.choice(KINDS)
        size = chance.choice((32, 77, 96, 128, 300)), chance.choice((32, 101, 120, 256))
        pixels = np.random.default_rng(chance.randrange(50)).integers(0, 256, (*size, 3), np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, kind)
        data = bytearray(file.getvalue())
        for _ in range(chance.choice((0, 0, 0, 0, 1, 5))):
            data[chance.randrange(min(400, len(data)))] = chance.randrange(256)
        return chance.randbytes(500) if chance.random() < 0.03 else bytes(data)

    def _fields(self) -> dict[str, Any]:
        chance = self.chance
        fields: dict[str, Any] = {
            "prompt": " ".join(chance.choices(("garden", "(space:1.2)", "\u202e", "é"), k=5)),
            "steps": chance.randint(1, 4),
            "num_images": chance.choice((1, 1, 2)),
            "mask_threshold": 0.05,
            "mask_negative": "",
            "mask_strokes": "-2000:5000,5000",
            "controlnet": chance.choice(("", "pose", "canny")),
            "scheduler": chance.choice(("euler_a", "dpm++2m_karras", "dpm++sde", "lcm")),
            "denoising_strength": chance.choice((0.3, 0.8, 1.0)),
            "ar": chance.choice(("", "", "1:1", "16:9")),
            "film_grain": chance.random() < 0.1,
        }
        if chance.random() < 0.1:
            fields[chance.choice(list(Recipe.model_fields))] = chance.choice(ODD_VALUES)
        return fields

    def _breaks(self) -> Any:
        """Let the UNet break off at a random call."""
        loaded = self.studio.models().checkpoints.loaded
        if loaded is None:
            return None
        calls, fault = [self.chance.randrange(4)], self.chance.choice(FAULTS)

        def hook(*_: object) -> None:
            calls[0] -= 1
            if calls[0] == -1:
                raise type(fault)(*fault.args)  # a raised one would keep all its frames

        return loaded._pipe.unet.register_forward_hook(hook)


def memory() -> float:
    """Memory of the process in MB; its peak on systems that do not report the present use."""
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * resource.getpagesize() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def temporary_files() -> list[str]:
    return sorted(one.name for one in Path(tempfile.gettempdir()).iterdir())


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--catalog", type=Path)
    parser.add_argument("--style", default="drawn")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--visitors", type=int, default=0)
    parser.add_argument("--previews", type=int, default=0)
    parser.add_argument("--port", type=int, default=7880)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = folder
        try:
            return receive(options) if options.visitors else soak(options)
        finally:
            tempfile.tempdir = None


def receive(options: argparse.Namespace) -> int:
    """Run the page's soak test on a real server."""
    studio = Studio(catalog=Catalog.load(options.catalog), style=options.style)
    list(studio.warm_up())
    chance, ok = random.Random(options.seed), True
    given = Options.read("", ["--port", str(options.port), "--library", "off"], {})
    with (
        running_backend(studio, given) as behind,
        served(studio, given, behind) as blocks,
        httpx.Client(base_url=blocks.local_url, timeout=120) as client,
    ):
        visitor = Visitor(client)

        def look(k: int) -> None:
            visitor.look(mask_threshold=0.05 + k % 90 / 100, mask_prompt=f"word {k % 40}")

        with visitor.here():
            visitor.upload(photo_file(chance))
            ok &= flat("previews in one session", blocks, options.previews, look)
        visits = options.visitors, lambda _: visit(client, chance)
        ok &= flat("sessions", blocks, *visits, settled=SETTLED_VISITORS)
    return int(not ok)


def visit(client: httpx.Client, chance: random.Random) -> None:
    """Run one session: upload a photo, update the mask, paint, and close the tab."""
    visitor = Visitor(client)
    with visitor.here():
        visitor.upload(photo_file(chance))
        visitor.look()
        fields = {"mask_threshold": 0.05, "mask_negative": "", "mask_strokes": STROKE}
        visitor.paint(prompt="a garden", steps=1, **fields)


def photo_file(chance: random.Random) -> bytes:
    pixels = np.random.default_rng(chance.randrange(2**32)).integers(0, 256, (120, 96, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def flat(what: str, blocks: Any, count: int, work: Any, settled: float = SETTLED) -> bool:
    """Do `work` `count` times; whether memory and files have not grown since they settled."""
    middle: tuple[float, int, int] | None = None
    for k in range(count):
        work(k)
        if k == int(count * settled):
            middle = figures(blocks)
    if middle is None:
        return True
    end = figures(blocks)
    for name, before, after in zip(("memory, MB", "files", "objects"), middle, end, strict=True):
        print(f"{f'{what}: {name}':<40}{before:>12.0f}{after:>12.0f}")
    return end[0] - middle[0] < MOST_GROWTH_MB and end[1] <= max(middle[1], Limits().files) + FILES


def figures(blocks: Any) -> tuple[float, int, int]:
    """Memory in MB, number of temporary files after a sweep, and number of Python objects."""
    folder, limits, end = Path(blocks.app.uploaded_file_dir), Limits(), time.monotonic()
    end += limits.pause + limits.young + 10
    while (files := count_files(folder)) > limits.files + FILES and time.monotonic() < end:
        time.sleep(1)
    gc.collect()
    give_back()
    return memory(), files, len(gc.get_objects())


def count_files(folder: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(folder))  # tolerates files deleted meanwhile


def give_back() -> None:
    """Have the C library return freed memory to the system, which is not a leak."""
    library = ctypes.util.find_library("c")
    if sys.platform == "linux" and library:
        ctypes.CDLL(library).malloc_trim(0)


def soak(options: argparse.Namespace) -> int:
    studio = Studio(catalog=Catalog.load(options.catalog), style=options.style)
    list(studio.warm_up())
    run = Soak(studio=studio, chance=random.Random(options.seed))
    started, end = time.monotonic(), time.monotonic() + 60 * options.minutes
    rounds, settled, threads, files = 0, 0.0, 0, 0
    while time.monotonic() < end:
        run.round()
        rounds += 1
        if not settled and time.monotonic() - started > SETTLED * 60 * options.minutes:
            gc.collect()
            settled, threads = memory(), threading.active_count()
            files = len(temporary_files())  # libraries create some at first
    gc.collect()
    now = memory()
    print(f"{'rounds':<32}{rounds:>8}")
    for name, count in run.outcomes.most_common():
        print(f"{name:<32}{count:>8}")
    print(f"{'memory when settled, MB':<32}{settled:>8.0f}")
    print(f"{'memory at the end, MB':<32}{now:>8.0f}")
    print(f"{'threads when settled':<32}{threads:>8}")
    print(f"{'threads at the end':<32}{threading.active_count():>8}")
    print(f"{'temporary files when settled':<32}{files:>8}")
    print(f"{'temporary files at the end':<32}{len(temporary_files()):>8}  {temporary_files()[:5]}")
    print(f"{'faults':<32}{len(run.faults):>8}")
    for fault in run.faults[:20]:
        print(f"  {fault}")
    leaks = (
        now - settled > MOST_GROWTH_MB
        or threading.active_count() > threads
        or len(temporary_files()) > files
    )
    return int(bool(run.faults) or leaks or not run.outcomes["painted"])


if __name__ == "__main__":
    sys.exit(main())
