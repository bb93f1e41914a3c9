"""Paints a folder of photos on all nodes of a cluster, by Ray Data."""

from __future__ import annotations

import json
import warnings
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import ray
from ray.data import ActorPoolStrategy
from ray.exceptions import RayError
from ray.util.annotations import RayDeprecationWarning

from inference.cluster.connection import Resources
from inference.cluster.photo_painter import PhotoPainter, PhotoReader, Row
from inference.cluster.places import Place, Places
from inference.errors import InvalidRecipe, MasqueradeError, ModelUnavailable
from inference.recipe.recipe import Recipe
from inference.studio.batch import Outcome, targets_of

# How often a photo is begun whose painter ends meanwhile.
ROUNDS = 3
# Photos that a painter has at once: the one that it paints, and the next.
TASKS = 2
LOST = "Its painter ended three times while this was painted: try a smaller size."


@dataclass(frozen=True, kw_only=True)
class PainterSize:
    """What one painter takes of a node, and how many there are at most."""

    cpus: int
    gpus: int
    count: int

    @classmethod
    def fitting(cls, found: Resources, cpus: int, photos: int) -> PainterSize:
        """One painter for each GPU or, without any, for each `cpus` processors."""
        count = found.gpus or max(1, found.cpus // cpus)
        gpus = min(found.gpus, 1)
        return cls(cpus=1 if gpus else cpus, gpus=gpus, count=max(1, min(count, photos)))


@dataclass(frozen=True, kw_only=True)
class _Waiting:
    """A photo that has to be painted: which picture each missing file is, and what is there."""

    photo: Place
    missing: dict[str, int]
    left: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class FolderJob:
    """The painting of many photos by one recipe.

    Attributes:
        recipe: with a style; its brush strokes are ignored.
        catalog: file of styles laid over the built-in ones.
        photos: the photos.
        out: the folder for the results.
        overwrite: replace results that are there, instead of leaving them alone.
        places: finds photos and folder.
    """

    recipe: Recipe
    catalog: Path | None
    photos: Sequence[Place]
    out: Place
    overwrite: bool
    places: Places

    def __post_init__(self) -> None:
        """Check that results do not come among the photos.

        Raises:
            MasqueradeError: they would.
        """
        folders = {str(PurePosixPath(photo.path).parent) for photo in self.photos}
        if self.out.path in folders:
            raise MasqueradeError(
                f"The photos themselves are in {self.out.address}: choose another folder."
            )

    def run(self, size: PainterSize) -> Generator[Outcome]:
        """Paint; yields an outcome for each photo as soon as it is there.

        Raises:
            InvalidRecipe, ModelUnavailable: no photo can be painted so.
            MasqueradeError: the folder cannot be written to, or the cluster is gone.
        """
        waiting = yield from self._planned()
        if not waiting:
            return
        for _ in range(ROUNDS):  # a photo is lost where its painter or its node ends
            with closing(self._painted(waiting, size)) as painted:
                for row in painted:
                    told = json.loads(row["outcome"])
                    yield self._outcome(waiting.pop(int(row["number"])), told)
            if not waiting:
                return
        for one in waiting.values():
            yield self._outcome(one, {"error": LOST})

    def _planned(self) -> Generator[Outcome, None, dict[int, _Waiting]]:
        """The photos that have to be painted, by number; yields the outcomes of the others."""
        there = self.out.names()
        if self.overwrite:
            there = set()
        paths = [PurePosixPath(photo.path) for photo in self.photos]
        plan = targets_of(paths, self.recipe.num_images, PurePosixPath(self.out.path))
        waiting = {}
        for number, (photo, (_, targets)) in enumerate(zip(self.photos, plan, strict=True)):
            names = [target.name for target in targets]
            left = tuple(self.out.file(name).address for name in names if name in there)
            missing = {name: k for k, name in enumerate(names) if name not in there}
            if missing:
                waiting[number] = _Waiting(photo=photo, missing=missing, left=left)
            else:
                yield Outcome(photo=photo.address, left=left)
        return waiting

    def _painted(self, waiting: Mapping[int, _Waiting], size: PainterSize) -> Generator[Row]:
        """The rows after the painting, in the order in which they are done."""
        recipe = self.recipe.model_copy(update={"mask_strokes": ()})
        rows = [
            {"number": number, "address": one.photo.key, "targets": json.dumps(one.missing)}
            for number, one in waiting.items()
        ]
        photos = ray.data.from_items(rows, override_num_blocks=len(rows))
        photos.context.max_errored_blocks = -1  # a photo that ends its painter stops no other
        photos.context.enable_progress_bars = False
        pool = ActorPoolStrategy(
            min_size=1, max_size=min(size.count, len(waiting)), max_tasks_in_flight_per_actor=TASKS
        )
        arguments = (recipe, self.catalog and self.catalog.absolute(), self.places, self.out.key)
        with warnings.catch_warnings():
            # `max_task_retries` has no other way yet; by default Ray tries a photo that ends every
            # painter for ever.
            warnings.simplefilter("ignore", RayDeprecationWarning)
            done = photos.map(PhotoReader(self.places).read, num_cpus=0).map_batches(
                PhotoPainter, fn_constructor_args=arguments, batch_size=1, batch_format="numpy",
                compute=pool, num_cpus=size.cpus, num_gpus=size.gpus or None,
                max_task_retries=0,
            )  # fmt: skip
        try:
            yield from done.iter_rows()
        except RayError as error:
            raise MasqueradeError(
                "The cluster failed: give the command again, which goes on where it stopped."
            ) from error

    def _outcome(self, one: _Waiting, told: dict[str, Any]) -> Outcome:
        """The outcome of a photo, by what its painter told.

        Raises:
            InvalidRecipe, ModelUnavailable: it holds for all photos.
        """
        if kind := told.get("stop"):
            raise {"InvalidRecipe": InvalidRecipe}.get(kind, ModelUnavailable)(told["error"])
        return Outcome(
            photo=one.photo.address,
            files=tuple(self.out.file(name).address for name in told.get("files", ())),
            left=one.left,
            seconds=told.get("seconds", 0.0),
            seed=told.get("seed"),
            kept_pixels_changed=told.get("kept_pixels_changed"),
            notes=tuple(told.get("notes", ())),
            error=told.get("error", ""),
        )
