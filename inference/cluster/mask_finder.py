"""The mask deployment: first looks at the photos of waiting jobs, on processors without a GPU."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence

import anyio.to_thread
import numpy as np
from ray import serve

from inference.cluster.settings import ServiceSettings
from inference.errors import MasqueradeError
from inference.mask.heatmap_finder import MOST_AT_ONCE, FirstLook
from inference.picture.photo import Photo
from inference.recipe.prompt_block import parse
from inference.recipe.recipe import Recipe

log = logging.getLogger(__name__)

# Seconds that a look waits for others, to be taken with them.
WAIT = 0.02


class MaskFinder:
    """Looks words up in photos, several photos at once.

    Args:
        settings: of the service.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self._studio, self._library = settings.make_studio(), settings.open_library()
        black = Photo.of(np.zeros((64, 64, 3), dtype=np.uint8))
        self._studio.select(black, Recipe())  # a replica is asked once its models are there

    @serve.batch(max_batch_size=MOST_AT_ONCE, batch_wait_timeout_s=WAIT)
    async def look(self, jobs: list[int]) -> list[FirstLook | None]:
        """What a job's photo shows of its words; None where the painter has to look itself."""
        return await anyio.to_thread.run_sync(self._look, jobs)

    def _look(self, jobs: Sequence[int]) -> list[FirstLook | None]:
        looks: dict[int, FirstLook] = {}
        for family, asked in self._asked(jobs).items():
            try:
                selector = self._studio.selector
                selector.finder.look_ahead([photo for photo, _ in asked.values()], family)
                for job, (photo, recipe) in asked.items():
                    looks[job] = selector.first_look(photo, recipe, family)
            except MasqueradeError as error:  # the painter will say it to the user
                log.warning("mask finder: %s", type(error).__name__)
        return [looks.get(job) for job in jobs]

    def _asked(self, jobs: Sequence[int]) -> dict[str, dict[int, tuple[Photo, Recipe]]]:
        """The photos and recipes of jobs, by model family."""
        asked: dict[str, dict[int, tuple[Photo, Recipe]]] = defaultdict(dict)
        for job in jobs:
            try:
                stored = self._library.find(job)
                if stored is not None:
                    recipe = parse(stored.recipe).recipe
                    family = self._studio.style(recipe.style).family
                    asked[family][job] = Photo.open(self._library.read(stored.photo)), recipe
            except MasqueradeError as error:
                log.warning("mask finder: %s", type(error).__name__)
        return asked

    def __del__(self) -> None:
        """Release the library."""
        self._library.close()
