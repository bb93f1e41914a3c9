"""Registry of the models in memory; each is downloaded and loaded on first use.

Importing torch and transformers takes seconds, so the studio imports this module late.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

import transformers

from inference.catalog.catalog import Catalog
from inference.catalog.hub import Fetch
from inference.catalog.sources import Source
from inference.control.depth_estimator import DepthEstimator
from inference.control.pose_estimator import PoseEstimator
from inference.control.semantic_segmenter import SemanticSegmenter
from inference.errors import MissingModel, ModelUnavailable
from inference.finishing.enlarger import Enlarger
from inference.finishing.face_restorer import FaceRestorer
from inference.mask.point_segmenter import PointSegmenter
from inference.mask.segmenter import Segmenter
from inference.people.part_words import PARTS
from inference.people.photo_reader import PhotoReader
from inference.runtime.device import Device
from inference.runtime.library_logging import silence
from inference.runtime.pretrained import Pretrained

if TYPE_CHECKING:
    from inference.finishing.safety_checker import SafetyChecker
    from inference.painting.checkpoints import Checkpoints

Helper = TypeVar("Helper", bound=Pretrained)
Loaded = TypeVar("Loaded")

# Names of a family's optional models, for messages.
_TITLES = {
    "pose": "pose estimator", "enlarger": "enlarger", "depth": "depth estimator",
    "rooms": "room segmenter", "checker": "safety checker",
}  # fmt: skip
# Seconds before models that could not be downloaded are asked for again.
RETRY_SECONDS = 600.0


class OptionalModels(Generic[Loaded]):
    """Models by family that a job does without where they are unavailable. Thread-safe.

    Args:
        without: what happens without them, for `note`.

    Attributes:
        note: why one is unavailable; "" if none is.
    """

    def __init__(self, without: str) -> None:
        self.note = ""
        self._without = without
        self._kept: dict[str, Loaded] = {}
        self._retry = 0.0
        # A lock of its own: other models do not wait for a download of these.
        self._lock = threading.Lock()

    def lacks(self, family: str) -> bool:
        """Whether `get` would load a model, or try to."""
        return family not in self._kept and time.monotonic() >= self._retry

    def get(self, family: str, load: Callable[[], Loaded]) -> Loaded | None:
        """The family's model; None where it is unavailable, also for some time afterwards."""
        with self._lock:
            if self.lacks(family):
                try:
                    self._kept[family] = load()
                    self.note = ""
                except ModelUnavailable as error:
                    self._retry = time.monotonic() + RETRY_SECONDS
                    self.note = f"{self._without}: {error}"
            return self._kept.get(family)


class LoadedModels:
    """The helper models of each family, and the painter's checkpoints.

    Args:
        catalog: where models come from.
        device: where they run.
        checks: use the safety checker of families that have one.
        compiled: compile denoising steps; None compiles where it pays (`Device.compiles`).

    Attributes:
        loading: held while a job loads models, also by one that was cancelled in the middle.
    """

    def __init__(
        self,
        catalog: Catalog,
        device: Device,
        *,
        checks: bool = False,
        compiled: bool | None = None,
    ) -> None:
        silence(transformers.utils.logging, "TRANSFORMERS_VERBOSITY")
        self.device = device
        self._checks = checks
        self.compiles = device.compiles if compiled is None else compiled
        self.loading = threading.Lock()
        self._lock = threading.Lock()
        self.catalog = catalog
        # No cached property: its lock, held at a fork, would never be released in the child.
        self._checkpoints: Checkpoints | None = None
        self._readers = OptionalModels[PhotoReader]("Photographs are read less well")
        self._point_segmenters = OptionalModels[PointSegmenter]("Clicks go by colours")
        self._segmenters: dict[str, Segmenter] = {}
        self._poses: dict[str, PoseEstimator] = {}
        self._enlargers: dict[str, Enlarger] = {}
        self._depths: dict[str, DepthEstimator] = {}
        self._rooms: dict[str, SemanticSegmenter] = {}
        self._checkers: dict[str, SafetyChecker] = {}
        self._restorers: dict[str, FaceRestorer] = {}

    @property
    def photo_note(self) -> str:
        """Why people in photographs are not read by the photo reader; "" if they are."""
        return self._readers.note

    @property
    def click_note(self) -> str:
        """Why what lies at a click is found by its colours in the model's place; "" if not."""
        return self._point_segmenters.note

    @property
    def checkpoints(self) -> Checkpoints:
        """The checkpoints; the first call imports diffusers, which takes a second."""
        if self._checkpoints is None:
            from inference.painting.checkpoints import Checkpoints

            self._checkpoints = Checkpoints(self.catalog, self.device, compiled=self.compiles)
        return self._checkpoints

    @property
    def style_title(self) -> str:
        """Title of the style whose checkpoint is in memory; "" without one."""
        return "" if self._checkpoints is None else self._checkpoints.title

    def segmenter(self, family: str, fetch: Fetch) -> Segmenter:
        """The family's CLIPSeg.

        Args:
            family: key of the family in the catalog.
            fetch: turns a source into a folder; may download.

        Raises:
            ModelUnavailable: the model is unavailable; also raised by the other methods.
        """
        # A live mask and a painting may need the segmenter at the same time.
        with self._lock:
            if family not in self._segmenters:
                folder = fetch(self.catalog.family(family).segmenter)
                self._segmenters[family] = Segmenter.load(folder, self.device.torch_device)
            return self._segmenters[family]

    def lacks_photo_reader(self, family: str) -> bool:
        """Whether `photo_reader` would load something, or try to."""
        models = self.catalog.family(family).photo
        return models is not None and models.words != () and self._readers.lacks(family)

    def photo_reader(self, family: str, fetch: Fetch) -> PhotoReader | None:
        """The family's photo reader; None, with `photo_note` set, where it is unavailable."""
        models = self.catalog.family(family).photo
        if models is None or models.words == ():
            return None
        words = frozenset(PARTS if models.words is None else models.words)

        def load() -> PhotoReader:
            folders = fetch(models.detectors), fetch(models.parser)
            return PhotoReader.load(*folders, self.device.torch_device, words)

        return self._readers.get(family, load)

    def lacks_point_segmenter(self, family: str) -> bool:
        """Whether `point_segmenter` would load something, or try to."""
        known = self.catalog.family(family).point_segmenter is not None
        return known and self._point_segmenters.lacks(family)

    def point_segmenter(self, family: str, fetch: Fetch) -> PointSegmenter | None:
        """The family's SAM; None, with `click_note` set, where it is unavailable."""
        source = self.catalog.family(family).point_segmenter
        if source is None:
            return None
        device = self.device.torch_device
        return self._point_segmenters.get(
            family, lambda: PointSegmenter.load(fetch(source), device)
        )

    def pose(self, family: str, fetch: Fetch) -> PoseEstimator:
        """The family's pose estimator."""
        return self._helper(self._poses, family, "pose", PoseEstimator, fetch)

    def enlarger(self, family: str, fetch: Fetch) -> Enlarger:
        """The family's enlarger; MissingModel if it has none."""
        return self._helper(self._enlargers, family, "enlarger", Enlarger, fetch)

    def depth(self, family: str, fetch: Fetch) -> DepthEstimator:
        """The family's depth estimator; MissingModel if it has none."""
        return self._helper(self._depths, family, "depth", DepthEstimator, fetch)

    def rooms(self, family: str, fetch: Fetch) -> SemanticSegmenter:
        """The family's semantic segmenter; MissingModel if it has none."""
        return self._helper(self._rooms, family, "rooms", SemanticSegmenter, fetch)

    def checker(self, family: str, fetch: Fetch) -> SafetyChecker:
        """The family's safety checker; MissingModel if it has none."""
        from inference.finishing.safety_checker import SafetyChecker

        return self._helper(self._checkers, family, "checker", SafetyChecker, fetch)

    def restorer(self, family: str, fetch: Fetch) -> FaceRestorer | None:
        """The family's face restorer; None if it has none or onnxruntime is not installed."""
        source = self.catalog.family(family).restorer
        if source is None or not FaceRestorer.is_installed():
            return None
        if family not in self._restorers:
            self._restorers[family] = FaceRestorer.load(fetch(source))
        return self._restorers[family]

    def checks(self, family: str) -> bool:
        """Whether this family's pictures go through its safety checker."""
        return self._checks and self.catalog.family(family).checker is not None

    def _helper(
        self, kept: dict[str, Helper], family: str, part: str, kind: type[Helper], fetch: Fetch
    ) -> Helper:
        """The model that a family has under the name `part`, loaded once."""
        if family not in kept:
            source: Source | None = getattr(self.catalog.family(family), part)
            if source is None:
                raise MissingModel(
                    f"The models of {family!r} have no {_TITLES[part]}: choose another style, or "
                    "add one to the catalog."
                )
            kept[family] = kind.load(fetch(source), self.device.torch_device)
        return kept[family]
