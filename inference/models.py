"""The models in memory: each is fetched and loaded when it is first needed.

This module imports torch and transformers, which takes seconds; the studio imports it late.
"""

from __future__ import annotations

import threading
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import transformers

from inference.catalog import Catalog, Source
from inference.depth import DepthEstimator
from inference.device import Device
from inference.enlarger import Enlarger
from inference.errors import MissingModel
from inference.hub import Fetch
from inference.pose import PoseEstimator
from inference.pretrained import Pretrained
from inference.restorer import Restorer
from inference.rooms import RoomSegmenter
from inference.segmenter import Segmenter

if TYPE_CHECKING:
    from inference.checkpoints import Checkpoints
    from inference.safety import SafetyChecker

Helper = TypeVar("Helper", bound=Pretrained)


# The parts of a family that it may lack, in words.
_TITLES = {
    "pose": "pose estimator", "enlarger": "enlarger", "depth": "depth estimator",
    "rooms": "room segmenter", "checker": "safety checker",
}  # fmt: skip


class Models:
    """One of each kind of helper per family, and what paints.

    With `checks`, paintings go through the safety checker of a family that has one; with
    `compiled`, steps are compiled, when left out where that pays.
    """

    def __init__(
        self,
        catalog: Catalog,
        device: Device,
        *,
        checks: bool = False,
        compiled: bool | None = None,
    ) -> None:
        transformers.utils.logging.disable_progress_bar()  # our own progress is shown instead
        self.device = device
        self._checks = checks
        self.compiles = device.compiles if compiled is None else compiled
        self._lock = threading.Lock()
        self.catalog = catalog
        self._segmenters: dict[str, Segmenter] = {}
        self._poses: dict[str, PoseEstimator] = {}
        self._enlargers: dict[str, Enlarger] = {}
        self._depths: dict[str, DepthEstimator] = {}
        self._rooms: dict[str, RoomSegmenter] = {}
        self._checkers: dict[str, SafetyChecker] = {}
        self._restorers: dict[str, Restorer] = {}

    @cached_property
    def checkpoints(self) -> Checkpoints:
        """What paints; the first call imports diffusers, which takes a second."""
        from inference.checkpoints import Checkpoints

        return Checkpoints(self.catalog, self.device, compiled=self.compiles)

    def segmenter(self, family: str, fetch: Fetch) -> Segmenter:
        """The family's CLIPSeg.

        Args:
            family: key of the family in the catalog.
            fetch: turns a source into a folder; may download.

        Raises:
            ModelUnavailable: the model cannot be had; also from the other methods.
        """
        # A preview and a painting may ask for it at once.
        with self._lock:
            if family not in self._segmenters:
                folder = fetch(self.catalog.family(family).segmenter)
                self._segmenters[family] = Segmenter.load(folder, self.device.torch_device)
            return self._segmenters[family]

    def pose(self, family: str, fetch: Fetch) -> PoseEstimator:
        """The family's pose estimator."""
        return self._helper(self._poses, family, "pose", PoseEstimator, fetch)

    def enlarger(self, family: str, fetch: Fetch) -> Enlarger:
        """The family's enlarger; MissingModel if it has none."""
        return self._helper(self._enlargers, family, "enlarger", Enlarger, fetch)

    def depth(self, family: str, fetch: Fetch) -> DepthEstimator:
        """The family's depth estimator; MissingModel if it has none."""
        return self._helper(self._depths, family, "depth", DepthEstimator, fetch)

    def rooms(self, family: str, fetch: Fetch) -> RoomSegmenter:
        """The family's segmenter of rooms; MissingModel if it has none."""
        return self._helper(self._rooms, family, "rooms", RoomSegmenter, fetch)

    def checker(self, family: str, fetch: Fetch) -> SafetyChecker:
        """The family's safety checker; MissingModel if it has none."""
        from inference.safety import SafetyChecker

        return self._helper(self._checkers, family, "checker", SafetyChecker, fetch)

    def restorer(self, family: str, fetch: Fetch) -> Restorer | None:
        """The family's model for faces; None if it has none, or what it runs on is missing."""
        source = self.catalog.family(family).restorer
        if source is None or not Restorer.is_installed():
            return None
        if family not in self._restorers:
            self._restorers[family] = Restorer.load(fetch(source))
        return self._restorers[family]

    def checks(self, family: str) -> bool:
        """Whether what this family paints goes through its safety checker."""
        return self._checks and self.catalog.family(family).checker is not None

    def _helper(
        self, kept: dict[str, Helper], family: str, part: str, kind: type[Helper], fetch: Fetch
    ) -> Helper:
        """The helper that a family has as this part, loaded once."""
        if family not in kept:
            source: Source | None = getattr(self.catalog.family(family), part)
            if source is None:
                raise MissingModel(
                    f"The models of {family!r} have no {_TITLES[part]}: choose another style, or "
                    "add one to the catalog."
                )
            kept[family] = kind.load(fetch(source), self.device.torch_device)
        return kept[family]
