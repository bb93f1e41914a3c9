"""The doctor: checks whether a style will work here, and tries it.

It looks at the machine, the disk, the hub and every model that the style uses. A trial paints two
steps and measures the stages.
"""

from __future__ import annotations

import os
import platform
import queue
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from inference.catalog.catalog import PACK, Catalog, parts_of
from inference.catalog.download import Activity, is_offline
from inference.catalog.hub_client import HubListing, ask_hub, cache_folder
from inference.catalog.inspection import Inspection, inspect
from inference.catalog.schema import Style
from inference.catalog.sources import HubSource, Source
from inference.catalog.wheel_client import ask_index
from inference.errors import HubUnreachable, MasqueradeError
from inference.picture.photo import Photo
from inference.picture.progress import Progress
from inference.recipe.recipe import Recipe
from inference.studio.health_report import (
    Check,
    PartReport,
    Report,
    StageCost,
    StyleReport,
    Trial,
    share_text,
    size_text,
)
from inference.studio.studio import Studio

if TYPE_CHECKING:
    from inference.runtime.device import Device

#: Seconds after which the doctor goes on without the answers that are missing.
PATIENCE_S = 10.0

_AT_ONCE = 8
# A hub that did not answer so many times is not asked again.
_SILENCES = 2
# Main memory that a full-size style takes without a GPU; see docs/performance.md.
_FULL_SIZE_BYTES = 7_000_000_000
# Of the photo, a circle is repainted and a corner is kept, whatever the words find.
_TRIAL = {
    "prompt": "a garden",
    "steps": 2,
    "seed": 1,
    "mask_strokes": "+2000:5000,2500; -2000:0,10000",
}
_LIBRARIES = ("torch", "diffusers", "transformers", "gradio", "huggingface_hub", "safetensors")


def examine(catalog: Catalog, device: Device, styles: Sequence[Style], default: str = "") -> Report:
    """Look at the machine and at all models of these styles; takes `PATIENCE_S` at most.

    Args:
        catalog: where the models come from.
        device: what they run on.
        styles: the styles to look at.
        default: key of the style whose needs decide whether all is well; "" for all of them.
    """
    parts = {style.key: parts_of(catalog, style) for style in styles}
    sources = [part.source for one in parts.values() for part in one]
    found = _inspected(sources)
    reports = tuple(
        StyleReport(
            key=style.key,
            title=style.title,
            parts=tuple(
                PartReport(
                    title=part.title,
                    is_needed=part.is_needed,
                    inspection=found[repr(part.source)],
                )
                for part in parts[style.key]
            ),
        )
        for style in styles
    )
    chosen = [one for one in reports if default in ("", one.key)]
    missing = max((one.bytes_missing for one in chosen), default=0)
    is_full_size = any(style.family != PACK for style in styles if default in ("", style.key))
    checks = (
        *_software(),
        *_hardware(device, is_full_size),
        _disk(cache_folder(), missing),
        _network(),
    )
    return Report(checks=checks, styles=reports, default=default)


def try_style(
    studio: Studio, style: Style, photo: Photo, told: Callable[[Progress], None]
) -> Trial:
    """Paint two steps of a photo with a style; downloads and loads what is missing.

    Args:
        studio: paints it.
        style: the style.
        photo: any photo; what comes of it is thrown away.
        told: called with each progress event.
    """
    recipe = Recipe.parse({**_TRIAL, "style": style.key})
    watch, problem = _StageWatch(), ""
    try:
        for event in studio.paint(photo, recipe):
            watch.enter(str(event.stage) if isinstance(event, Progress) else "")
            if isinstance(event, Progress):
                told(event)
    except MasqueradeError as error:
        problem = str(error)
    watch.enter("")
    return Trial(key=style.key, title=style.title, stages=tuple(watch.stages), problem=problem)


class _StageWatch:
    """Measures seconds and peak memory of one stage after the other."""

    def __init__(self) -> None:
        self.stages: list[StageCost] = []
        self._stage, self._begin = "", 0.0

    def enter(self, stage: str) -> None:
        """End the present stage, unless it is this one, and begin this one; "" for none."""
        from inference.runtime.process_memory import gpu_peak, peak, start_peak

        if stage == self._stage:
            return
        now = time.monotonic()
        if self._stage:
            seconds = now - self._begin
            self.stages.append(
                StageCost(title=self._stage, seconds=seconds, peak=peak(), gpu_peak=gpu_peak())
            )
        self._stage, self._begin = stage, now
        start_peak()


def _software() -> Iterable[Check]:
    yield Check(title="Python", found=f"{platform.python_version()}, {platform.platform()}")
    yield Check(title="Libraries", found=", ".join(map(_installed, _LIBRARIES)))


def _installed(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return f"{name} is missing"


def _hardware(device: Device, is_full_size: bool) -> Iterable[Check]:
    from inference.runtime.process_memory import gpu_memory, machine_memory

    kind = str(device.dtype).removeprefix("torch.")
    yield Check(title="Device", found=f"{device.title}, {device.torch_device.type}, {kind}")
    total, free = machine_memory()
    problem = ""
    if is_full_size and not device.is_gpu and total < _FULL_SIZE_BYTES:
        problem = (
            f"A full-size style takes {size_text(_FULL_SIZE_BYTES)} of memory without a GPU, and "
            "there is less: choose a style of the built-in pack."
        )
    yield Check(title="Memory", found=share_text(free, total), problem=problem)
    card = gpu_memory()
    if card is not None:
        title = device.memory().title
        yield Check(title="GPU memory", found=f"{share_text(card[1], card[0])}; {title}")


def _disk(folder: Path, missing: int) -> Check:
    """Whether what is missing fits where it is kept."""
    there = next((one for one in (folder, *folder.parents) if one.is_dir()), Path())
    try:
        usage = shutil.disk_usage(there)
    except OSError as error:
        return Check(
            title="Disk",
            found="unknown",
            problem=f"The model cache cannot be looked at ({error.strerror}): set HF_HUB_CACHE to "
            "a folder that can be written.",
        )
    problem = ""
    if missing > usage.free:
        problem = (
            f"{size_text(missing)} of models are missing and only {size_text(usage.free)} are free "
            "for them: make room, or set HF_HUB_CACHE to a folder on another disk."
        )
    elif missing and not os.access(there, os.W_OK):
        problem = "The model cache cannot be written: allow it, or set HF_HUB_CACHE to another one."
    found = f"{share_text(usage.free, usage.total)} at the model cache {folder}"
    wanted = f"{size_text(missing)} to download" if missing else "nothing to download"
    return Check(title="Disk", found=f"{found}; {wanted}", problem=problem)


def _network() -> Check:
    # Only the host: an address may hold a password.
    host = urlsplit(os.environ.get("HF_ENDPOINT", "")).hostname or "huggingface.co"
    token = "with" if os.environ.get("HF_TOKEN") else "without"
    offline = "; HF_HUB_OFFLINE is set, so nothing is asked" if is_offline() else ""
    return Check(title="Model hub", found=f"{host}, {token} a token{offline}")


def _inspected(sources: Iterable[Source]) -> dict[str, Inspection]:
    """What there is of each source, by its `repr`; they are asked for in parallel."""
    wanted = {repr(source): source for source in sources}
    found: dict[str, Inspection] = {}
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    for key in wanted:
        waiting.put(key)
    ask, end = _PatientAsk(), time.monotonic() + PATIENCE_S
    of_index = partial(ask_index, seconds=PATIENCE_S / 2 - 1)

    def work() -> None:
        while True:
            try:
                key = waiting.get_nowait()
            except queue.Empty:
                return
            found[key] = inspect(wanted[key], ask, of_index)

    # Daemons, because the command does not wait for a hub that never answers.
    threads = [threading.Thread(target=work, daemon=True, name="doctor") for _ in range(_AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return {key: found.get(key) or _silent(source) for key, source in wanted.items()}


def _ask_once(source: HubSource) -> HubListing:
    """As `ask_hub`, but a hub that is slow is not asked again."""

    def asking(activity: Activity) -> None:
        if activity is Activity.WAITING:
            raise HubUnreachable(
                f"The model hub is slow and has not answered for {source.repo} yet: check the "
                "connection and try again; a download waits longer."
            )

    return ask_hub(source, asking)


class _PatientAsk:
    """Asks the hub for listings, until it was silent `_SILENCES` times. Thread-safe."""

    def __init__(self, ask: Callable[[HubSource], HubListing] = _ask_once) -> None:
        self._ask = ask
        self._silences = 0

    def __call__(self, source: HubSource) -> HubListing:
        if self._silences >= _SILENCES:
            raise HubUnreachable(
                f"The model hub does not answer, so {source.repo} was not asked for: check the "
                "connection and try again, or go on with the built-in pack."
            )
        try:
            return self._ask(source)
        except HubUnreachable:
            self._silences += not is_offline()
            raise


def _silent(source: Source) -> Inspection:
    name = getattr(source, "repo", getattr(source, "package", "a folder"))
    return Inspection(
        name=name,
        licence=source.licence,
        problem=f"Nothing was heard of {name} within {PATIENCE_S:.0f} s: check the connection and "
        "try again, or go on with the built-in pack.",
    )
