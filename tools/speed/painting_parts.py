"""Parts of the measurements on a GPU that paint with one checkpoint; each yields its rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from inference.painting.painter import Painter
from inference.runtime.memory import MemoryPolicy
from tools.speed import models, words
from tools.speed.lab import Lab
from tools.speed.painting import (
    after_a_change,
    beside_stock,
    by_mask_area,
    peak_memory,
    psnr,
    three_in_turn,
)
from tools.speed.rivals import CONTROL, Case
from tools.speed.tables import Row

BATCHES = 1, 2, 4, 8
POLICIES = {
    "all models stay": MemoryPolicy(),
    "models take turns": MemoryPolicy(offload=True),
    "models take turns, decoding in tiles": MemoryPolicy(offload=True, tile_beyond=0),
}


def rates(lab: Lab) -> Iterator[Row]:
    """The device's peak rates, which give the least time of a picture."""
    best = lab.floor
    yield {"TFLOP/s": best.flops / 1e12, "TB/s": best.bytes / 1e12}


def compiling(lab: Lab) -> Iterator[Row]:
    """What compiling a step gains, and how long it takes."""
    rivals = lab.rivals
    for case in lab.cases:
        run = partial(rivals.paint_ours, case)
        with rivals.uncompiled():
            (plain,) = lab.watch.race(run)
            before, kernels = run(), kernels_a_step(lab, case)
        row: Row = {"case": title(case), "uncompiled s": float(np.median(plain))}
        warm_up = lab.seconds(partial(lab.compile, case, reserve=10))
        if case not in lab.compiled:
            yield row | {"compiled s": "not compiled in this time"}
            continue
        (quick,) = lab.watch.race(run)
        yield row | {
            "compiled s": float(np.median(quick)),
            "times faster": float(np.median(plain) / np.median(quick)),
            "compiling s": warm_up,
            "ms/step": 1000 * float(np.median(quick)) / case.steps,
            "kernels/step": kernels,
            "compiled kernels/step": kernels_a_step(lab, case),
            "PSNR dB": psnr(run(), before),
        }


def cases(lab: Lab) -> Iterator[Row]:
    """All cases beside the stock pipeline: seconds, ratio, memory, PSNR."""
    for case in lab.cases:
        compiled = lab.compile(case, reserve=100)
        row = beside_stock(lab.rivals, case, lab.watch, lab.floor, lab.torch_device)
        yield row | {"case": title(case), "compiled": yes(compiled)}


def changes(lab: Lab) -> Iterator[Row]:
    """A second run, three pictures of one photo, and masks of several areas."""
    case = lab.cases[0]
    lab.compile(case)
    yield after_a_change(lab.rivals, case, lab.watch, lab.torch_device)
    yield three_in_turn(lab.rivals, case, lab.watch)
    yield from by_mask_area(lab.rivals, lab.side, lab.steps, lab.watch, lab.torch_device)


def batch(lab: Lab) -> Iterator[Row]:
    """Several pictures at once: seconds and memory for each number."""
    single = 0.0
    for images in BATCHES[:2] if lab.setting.tiny else BATCHES:
        case = lab.case(images=images)
        run = partial(lab.rivals.paint_ours, case)
        compiled = lab.compile(case, reserve=30)
        (taken,) = lab.watch.race(run)
        each = float(np.median(taken)) / images
        single = single or each
        yield {
            "pictures": str(images),
            "compiled": yes(compiled),
            "s": float(np.median(taken)),
            "s/picture": each,
            "times faster than one by one": single / each,
            "peak MiB beside the weights": peak_memory(run, lab.torch_device),
        }


def memory(lab: Lab) -> Iterator[Row]:
    """Each memory policy, uncompiled: seconds, and the peak with the weights of the checkpoint."""
    case = lab.case()
    for name, policy in POLICIES.items():
        lab.clean()
        others = lab.allocated()
        run = partial(lab.paint, _painter(lab, policy), case.patch, case.recipe)
        (taken,) = lab.watch.race(run)
        peak = lab.allocated() - others + peak_memory(run, lab.torch_device)
        yield {"policy": name, "s": float(np.median(taken)), "peak MiB": peak}
        del run


def phrases(lab: Lab) -> Iterator[Row]:
    """Words to mask by CLIPSeg: the stock call and ours."""
    counts = (1,) if lab.setting.tiny else words.COUNTS
    repeats = 1 if lab.setting.tiny else 3
    found = words.measure(lab.torch_device, counts, repeats, small=lab.setting.tiny)
    for count, row in found.items():
        yield {"phrases": str(count), **row}


def title(case: Case) -> str:
    """A case in words."""
    width, height = case.size
    return f"{width}×{height}, {case.images} picture{'s' * (case.images > 1)}, {case.steps} steps"


def yes(answer: bool) -> str:
    """An answer as a cell of a table."""
    return "yes" if answer else "no"


def kernels_a_step(lab: Lab, case: Case) -> float:
    """Kernels and copies that a step launches, as PyTorch's profiler counts them."""
    fewer, more = (kernels(lab, replace(case, steps=steps)) for steps in (2, 4))
    return (more - fewer) / 2


def kernels(lab: Lab, case: Case) -> int:
    """Kernels and copies of a picture; on a CPU, operators."""
    kinds = torch.profiler.ProfilerActivity
    kind, place = (
        (kinds.CUDA, torch.autograd.DeviceType.CUDA)
        if lab.torch_device.type == "cuda"
        else (kinds.CPU, torch.autograd.DeviceType.CPU)
    )
    with torch.profiler.profile(activities=[kind]) as seen:
        lab.rivals.paint_ours(case)
    return sum(1 for event in seen.events() or () if event.device_type == place)


def _painter(lab: Lab, policy: MemoryPolicy) -> Painter:
    """A painter with one ControlNet, uncompiled, under a memory policy."""
    pipe = models.pipeline(lab.torch_device, lab.device.dtype, small=lab.setting.tiny)
    net = models.controlnet(pipe, lab.torch_device)
    for model in (pipe.unet, pipe.vae, net):
        model.to(memory_format=lab.device.layout)
    painter = Painter(pipe, lab.torch_device, policy=policy)
    painter.add_control(CONTROL, net)
    return painter
