"""Benchmark of painting and text-prompted masks: `python tools/bench.py`.

Compares the stock pipeline (`StableDiffusionControlNetInpaintPipeline`), ours, and the device's
measured peak rates. Models have random weights, which cost the same as trained ones; both pipelines
take turns in one process. `--cpu-small` runs small models of the same classes in two minutes on two
cores, `--device cuda` full-size ones in half precision. Counts (operations, launches, waits) are
exact; times are medians.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from inference.painting.step_compiler import StepCompiler  # noqa: E402
from tools.speed import floor, full_size, words  # noqa: E402
from tools.speed.painting import (  # noqa: E402
    Stopwatch,
    after_a_change,
    beside_stock,
    by_mask_area,
    three_in_turn,
)
from tools.speed.rivals import Case, Rivals  # noqa: E402
from tools.speed.tables import Row, told  # noqa: E402

PARTS = ("counted", "painting", "words")
# Measured only where it is asked for: it starts servers, and needs Ray and two free cores.
SCALE = "scale"
PATIENCE = 900  # longest time for compiling, in seconds


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--cpu-small", action="store_true", help="small models, two minutes")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=None)
    parser.add_argument("--channels-last", action=argparse.BooleanOptionalAction, default=None)
    parser.add_argument(
        "--only", choices=(*PARTS, SCALE), help="one part; scale is in no other run"
    )
    parser.add_argument("--repeats", type=int, help="5, with --cpu-small 3")
    parser.add_argument("--steps", type=int, help="30, with --cpu-small 4")
    parser.add_argument("--threads", type=int, default=2, help="of the CPU")
    parser.add_argument("--busy", action="store_true", help="count the CPU's time, not the clock's")
    parser.add_argument("--json", type=Path, help="file to write everything to")
    return parser.parse_args(given)


def painting(options: argparse.Namespace, device: torch.device) -> list[Row]:
    """Measure all painting cases."""
    small, is_cuda = options.cpu_small, device.type == "cuda"
    steps = options.steps or (4 if small else 30)
    dtype = torch.float16 if is_cuda else torch.float32
    compiler = StepCompiler() if (is_cuda if options.compile is None else options.compile) else None
    last = is_cuda if options.channels_last is None else options.channels_last
    layout = torch.channels_last if last else torch.contiguous_format
    rivals = Rivals(device, dtype, small=small, compiler=compiler, layout=layout)
    repeats = options.repeats or (3 if small else 5)
    watch = Stopwatch(device, repeats, busy=options.busy)
    side = 96 if small else 512
    cases = [
        Case(size=(side, height), images=images, steps=steps)
        for height in (side, side * 5 // 4)
        for images in ((1, 2) if small else (1, 4))
    ]
    for case in cases:
        rivals.paint_ours(case)
        settle(compiler)
    best = floor.measure(device, dtype, watch.now, small=not is_cuda)
    rows = [beside_stock(rivals, case, watch, best, device) for case in cases]
    rows.append(after_a_change(rivals, cases[0], watch, device))
    rows.append(three_in_turn(rivals, cases[0], watch))
    return rows + by_mask_area(rivals, side, steps, watch, device)


def settle(compiler: StepCompiler | None) -> None:
    """Wait until all queued steps are compiled."""
    until = time.monotonic() + PATIENCE
    while compiler is not None and compiler.busy and time.monotonic() < until:
        time.sleep(0.1)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Run the benchmarks that the options select."""
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    is_cuda = device.type == "cuda"
    name = torch.cuda.get_device_name() if is_cuda else platform.processor() or "CPU"
    result: dict[str, Any] = {"device": name, "torch": torch.__version__}
    wanted = [options.only] if options.only else PARTS
    if "counted" in wanted:
        result["counted"] = full_size.measure()
    if "painting" in wanted:
        result["painting"] = painting(options, device)
    if "words" in wanted:
        counts = (1, 4) if options.cpu_small else words.COUNTS
        repeats = options.repeats or (1 if options.cpu_small else 5)
        found = words.measure(device, counts, repeats, small=options.cpu_small)
        result["words"] = [{"case": f"{n} phrases", **row} for n, row in found.items()]
    if SCALE in wanted:
        from tools.speed import scale

        jobs, repeats = (4, 3) if options.cpu_small else (32, 15)
        result[SCALE] = scale.measure(jobs, options.repeats or repeats, steps=options.steps or 8)
    return result


def main() -> None:
    """Print the tables, and write the numbers to the file of `--json`."""
    options = arguments()
    result = run(options)
    print(f"{result['device']}, torch {result['torch']}")
    print(told([row for part in (*PARTS, SCALE) for row in result.get(part, [])]))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
