"""The command for many photos on Ray: `python -m inference recipe.txt photos/ -o out/ --ray`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

from inference.catalog.catalog import Catalog
from inference.cluster.connection import connected
from inference.cluster.folder_job import FolderJob, PainterSize
from inference.cluster.places import Places
from inference.picture.progress import duration
from inference.recipe.recipe import Recipe
from inference.studio.batch import Outcome
from inference.studio.outcome_lines import (
    CLEAR_LINE,
    print_failures,
    print_notes,
    print_outcome,
)


@dataclass(frozen=True, kw_only=True)
class FolderOptions:
    """What the command was told.

    Attributes:
        photos: addresses of pictures, and of folders whose pictures are painted.
        out: address of the folder for the results.
        style: key of the style instead of the recipe's; None for that.
        catalog: file of styles laid over the built-in ones.
        overwrite: replace results that are there.
        address: of the cluster; see `connected`.
        cpus: processors of each painter, on a cluster without GPUs.
    """

    photos: Sequence[str]
    out: str
    style: str | None
    catalog: Path | None
    overwrite: bool
    address: str
    cpus: int


def paint_folder(
    options: FolderOptions, recipe: Recipe, stdout: TextIO, stderr: TextIO
) -> list[Outcome]:
    """Paint, and write a line for each photo, progress on a terminal, notes, and the failures.

    Raises:
        ModelUnavailable: a model that every photo needs is unavailable.
        MasqueradeError: the recipe, a place or the cluster cannot be used.
    """
    catalog, places = Catalog.load(options.catalog), Places()
    if key := options.style or recipe.style:
        catalog.style(key)
    photos = places.photos(options.photos)
    job = FolderJob(
        recipe=recipe, catalog=options.catalog, photos=photos, out=places.at(options.out),
        overwrite=options.overwrite, places=places,
    )  # fmt: skip
    with connected(options.address) as found:
        style = key or catalog.default_style(full_size=found.gpus > 0).key
        job = replace(job, recipe=recipe.model_copy(update={"style": style}))
        size = PainterSize.fitting(found, options.cpus, len(photos))
        with closing(job.run(size)) as work:
            counted = _with_progress(work, len(photos), size.count, stderr)
            outcomes = [print_outcome(outcome, stdout) for outcome in counted]
    print_notes(outcomes, stderr)
    print_failures(outcomes, stderr)
    return outcomes


def _with_progress(
    outcomes: Iterable[Outcome], count: int, painters: int, stderr: TextIO
) -> Iterator[Outcome]:
    """Yield the outcomes; in between, show on a terminal how far the work is."""
    live, started, done, painted, failed = stderr.isatty(), time.monotonic(), 0, 0, 0
    if live:
        stderr.write(f"{CLEAR_LINE}0 of {count}, starting up to {painters} painters")
        stderr.flush()
    for outcome in outcomes:
        if live:
            stderr.write(CLEAR_LINE)
            stderr.flush()
        yield outcome
        done, failed = done + 1, failed + bool(outcome.error)
        painted += bool(outcome.files)
        if live:
            each = (time.monotonic() - started) / max(1, painted)
            stderr.write(f"{done} of {count}, {failed} failed")
            if painted and done < count:
                stderr.write(f", about {duration(each * (count - done))} left")
            stderr.flush()
    if live:
        stderr.write(CLEAR_LINE)
        stderr.flush()
