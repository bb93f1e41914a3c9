"""Parts of the measurements on a GPU that load files: checkpoints, IP-Adapter, LoRA."""

from __future__ import annotations

import os
import shutil
import weakref
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from inference.catalog.catalog import Catalog
from inference.painting.checkpoints import Checkpoints
from inference.painting.inpainting import ControlInput
from tools.speed import adapter_files, models
from tools.speed.lab import Lab
from tools.speed.painting import peak_memory
from tools.speed.painting_parts import yes
from tools.speed.rivals import CONTROL, Case
from tools.speed.tables import Row

STYLES = "first", "second", "third"
IP_ADAPTER, LORA = "ipadapter", "drawn"


def styles(lab: Lab) -> Iterator[Row]:
    """Three checkpoints one after the other, from the disk; the same weights under three names."""
    case = lab.case()
    compiled = lab.compile(case, reserve=40)
    base, control = _save_checkpoint(lab)
    catalog = _catalog(lab.folder, base)
    checkpoints = Checkpoints(catalog, lab.device, compiled=False)
    checkpoints._run = lab.rivals.step  # the steps that are compiled already

    def fetch(source: Any) -> Path:
        return getattr(source, "folder", control)

    # Nothing here may keep a checkpoint alive while the next one is loaded.
    before: Callable[[], object] = lambda: None  # noqa: E731
    others = lab.allocated()
    for name in (*STYLES, STYLES[0]):
        style = catalog.style(name)
        load = lab.seconds(partial(checkpoints.painter, style, (CONTROL,), fetch))
        assert checkpoints.loaded not in (None, before()), "each style has its own checkpoint"
        before = weakref.ref(checkpoints.loaded)
        run = partial(lab.paint, checkpoints.loaded, case.patch, case.recipe)
        runs = [lab.seconds(run) for _ in range(2)]
        del run
        yield {
            "style": name,
            "loading s": load,
            "first picture s": runs[0],
            "second picture s": runs[1],
            "compiled": yes(compiled),
            "MiB of weights after it": lab.allocated() - others,
        }


def ip_adapter(lab: Lab) -> Iterator[Row]:
    """A picture as prompt beside the control; such steps run uncompiled."""
    rivals, case = lab.rivals, lab.case()
    file, encoder = adapter_files.save_ip_adapter(
        lab.folder, rivals.pipe.unet, small=lab.setting.tiny
    )
    yield _painted(lab, case, "without", 0.0)
    load = lab.seconds(lambda: rivals.painter.adapters.add(IP_ADAPTER, file, encoder))
    guide = ControlInput(control=IP_ADAPTER, map=case.patch.picture)
    yield _painted(lab, case, "IP-Adapter", load, guide)
    rivals.painter.adapters.detach()
    yield _painted(lab, case, "without again", 0.0)


def lora(lab: Lab) -> Iterator[Row]:
    """A LoRA of rank 16 on the UNet, uncompiled and, as far as time allows, compiled."""
    rivals, case = lab.rivals, lab.case()
    file = adapter_files.save_lora(lab.folder, rivals.pipe.unet)
    yield _painted(lab, case, "without", 0.0)

    def put_on() -> None:
        rivals.painter.loras.add(LORA, file)
        rivals.painter.loras.use({LORA: 1.0})

    yield _painted(lab, case, "LoRA", lab.seconds(put_on))
    lab.compiled.discard(case)  # with a LoRA it is another kind of step
    taken = lab.seconds(partial(lab.compile, case, reserve=10))
    if case in lab.compiled:
        yield _painted(lab, case, "LoRA, compiled", taken, compiled=True)
    off = lab.seconds(lambda: rivals.painter.loras.use({}))
    yield _painted(lab, case, "LoRA off", off)


def _painted(
    lab: Lab, case: Case, name: str, ready: float, *guides: ControlInput, compiled: bool = False
) -> Row:
    """A row: the first picture after a change, the median of the next ones, memory."""
    patch = replace(case.patch, guides=(*case.patch.guides, *guides))
    run = partial(lab.paint, lab.rivals.painter, patch, case.recipe)
    with nullcontext() if compiled else lab.rivals.uncompiled():
        lab.rivals.painter.clear_cache()
        first = lab.seconds(run)
        (taken,) = lab.watch.race(run)
        peak = peak_memory(run, lab.torch_device)
    return {
        "case": name,
        "loading or compiling s": ready,
        "first picture s": first,
        "further pictures s": float(np.median(taken)),
        "peak MiB beside the weights": peak,
    }


def _catalog(folder: Path, base: Path) -> Catalog:
    """A catalog in which each of `STYLES` is a checkpoint with a folder of its own."""
    lines = []
    for name in STYLES:
        # Hard links, so that the weights are on the disk only once.
        shutil.copytree(base, folder / name, copy_function=os.link)
        lines += [
            f"[styles.{name}]", f'title = "{name}"', 'family = "sd15"',
            f"[styles.{name}.base]", f"folder = '{folder / name}'",
        ]  # fmt: skip
    file = folder / "styles.toml"
    file.write_text("\n".join(lines), encoding="utf-8")
    return Catalog.load(file)


def _save_checkpoint(lab: Lab) -> tuple[Path, Path]:
    """Write a checkpoint and a ControlNet in diffusers' layout; returns their folders."""
    base, control = lab.folder / "checkpoint", lab.folder / "control"
    pipe = models.pipeline(lab.torch_device, lab.device.dtype, small=lab.setting.tiny)
    pipe.save_pretrained(base)
    models.controlnet(pipe, lab.torch_device).save_pretrained(control)
    return base, control
