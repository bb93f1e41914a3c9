"""Painting cases of `tools/bench.py`: a row each, the stock pipeline and ours."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import cv2
import numpy as np
import torch

from inference.picture.geometry import generation_size, mask_box
from inference.picture.photo import Pixels
from tools.speed.counting import Work, counted
from tools.speed.floor import Floor, finish
from tools.speed.rivals import Case, Rivals
from tools.speed.tables import Row

PHOTO = 1024, 1280  # of the cases in which the mask's area changes
AREAS = 0.1, 0.3, 0.9


class Stopwatch:
    """Times two pieces of work in turn, so that other load of the machine affects both.

    Args:
        busy: whether to count CPU time instead of wall-clock time, on a shared CPU.
    """

    def __init__(self, device: torch.device, repeats: int, *, busy: bool = False) -> None:
        self._device = device
        self._repeats = repeats
        self.now = time.process_time if busy else time.perf_counter

    def race(self, *runners: Callable[[], object]) -> list[list[float]]:
        """Seconds of each runner, after one warm-up run of each."""
        for run in runners:
            run()
        seconds: list[list[float]] = [[] for _ in runners]
        for _ in range(self._repeats):
            for place, run in enumerate(runners):
                finish(self._device)
                started = self.now()
                run()
                finish(self._device)
                seconds[place].append(self.now() - started)
        return seconds


def timing(name: str, seconds: Sequence[float]) -> Row:
    """Median and interquartile range."""
    low, middle, high = np.percentile(seconds, (25, 50, 75))
    return {f"{name} s": float(middle), f"{name} spread s": float(high - low)}


def psnr(ours: Sequence[Pixels], theirs: Sequence[Pixels]) -> float:
    """The lowest PSNR of all pictures, in dB."""
    return min(float(cv2.PSNR(*pair)) for pair in zip(ours, theirs, strict=True))


def count(run: Callable[[], object], device: torch.device) -> Work:
    """Count the work of a run."""
    with counted(device) as work:
        run()
    return work


def peak_memory(run: Callable[[], object], device: torch.device) -> float:
    """Peak GPU memory of a run beside what was allocated before, in MiB; NaN without a GPU.

    Both pipelines are on the device all the time, so that only the difference is a run's own.
    """
    if device.type != "cuda":
        run()
        return float("nan")
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    run()
    return (torch.cuda.max_memory_allocated(device) - before) / 2**20


def beside_stock(
    rivals: Rivals, case: Case, watch: Stopwatch, floor: Floor, device: torch.device
) -> Row:
    """One case: times, work, memory and PSNR of both pipelines, and the device's least time."""
    theirs, ours = watch.race(lambda: rivals.paint_stock(case), lambda: rivals.paint_ours(case))
    stock_work = count(lambda: rivals.paint_stock(case), device)
    with rivals.uncompiled():
        work = count(lambda: rivals.paint_ours(case), device)
        one_step = count(lambda: rivals.paint_ours(replace(case, steps=1)), device)
    stock_step = count(lambda: rivals.paint_stock(replace(case, steps=1)), device)
    further = case.steps - 1
    # After the first picture, a stock batch draws other random numbers than single seeds.
    seeds = range(case.seed, case.seed + case.images)
    alone = [rivals.paint_stock(replace(case, images=1, seed=one))[0] for one in seeds]
    least = floor.seconds(work.flops, rivals.weights * case.steps)
    middle = float(np.median(ours))
    return {
        "case": f"{case.size[0]}x{case.size[1]}, {case.images} images, {case.steps} steps",
        **timing("stock", theirs),
        **timing("ours", ours),
        "times faster": float(np.median(theirs)) / middle,
        "ours s/image": middle / case.images,
        "ours ms/step": 1000 * middle / case.steps,
        "floor s": least,
        "ours / floor": middle / least,
        "stock TFLOP": stock_work.flops / 1e12,
        "ours TFLOP": work.flops / 1e12,
        "stock launches": stock_work.launches,
        "ours launches": work.launches,
        "stock launches/step": (stock_work.launches - stock_step.launches) / further,
        "ours launches/step": (work.launches - one_step.launches) / further,
        "stock peak MiB": peak_memory(lambda: rivals.paint_stock(case), device),
        "ours peak MiB": peak_memory(lambda: rivals.paint_ours(case), device),
        "PSNR dB": psnr(rivals.paint_ours(case), alone),
    }


def after_a_change(rivals: Rivals, case: Case, watch: Stopwatch, device: torch.device) -> Row:
    """A second painting with one setting changed, compared with one without caches."""
    other = replace(case, seed=case.seed + 1)

    def second() -> None:
        rivals.paint_again(other)

    first, again = watch.race(lambda: rivals.paint_ours(case), second)
    with rivals.uncompiled():
        whole = count(lambda: rivals.paint_ours(case), device)
        rivals.paint_ours(case)
        part = count(second, device)
    return {
        "case": "second run, seed changed",
        **timing("first", first),
        **timing("second", again),
        "first TFLOP": whole.flops / 1e12,
        "second TFLOP": part.flops / 1e12,
        "first launches": whole.launches,
        "second launches": part.launches,
    }


def by_mask_area(
    rivals: Rivals, native: int, steps: int, watch: Stopwatch, device: torch.device
) -> list[Row]:
    """Masks of several areas on one photo: cost of the painted crop and of the whole photo."""
    width, height = PHOTO
    native_case = Case(size=(native, native), steps=steps)
    rows: list[Row] = []
    for area in AREAS:
        repaint = np.zeros((height, width), dtype=np.bool_)
        side = area**0.5
        high, wide = round(height * side), round(width * side)
        top, left = (height - high) // 2, (width - wide) // 2
        repaint[top : top + high, left : left + wide] = True
        box = mask_box(repaint, min_side=native)
        case = replace(native_case, size=generation_size(box.size, native))
        (ours,) = watch.race(lambda case=case: rivals.paint_ours(case))  # type: ignore[misc]
        with rivals.uncompiled():
            work = count(lambda case=case: rivals.paint_ours(case), device)  # type: ignore[misc]
        rows.append(
            {
                "case": f"mask of {area:.0%} on {width}x{height}",
                "crop": f"{box.size[0]}x{box.size[1]}",
                "painted at": f"{case.size[0]}x{case.size[1]}",
                **timing("ours", ours),
                "TFLOP": work.flops / 1e12,
            }
        )
    return rows


def three_in_turn(rivals: Rivals, case: Case, watch: Stopwatch) -> Row:
    """One photo painted three times, as with three styles on a shared base."""
    cases = [replace(case, seed=case.seed + k) for k in range(3)]

    def ours() -> None:
        rivals.painter.clear_cache()
        for one in cases:
            rivals.paint_again(one)

    theirs, mine = watch.race(lambda: [rivals.paint_stock(one) for one in cases], ours)
    faster = float(np.median(theirs) / np.median(mine))
    return {
        "case": "three on one photo", **timing("stock", theirs), **timing("ours", mine),
        "times faster": faster,
    }  # fmt: skip
