"""Registry of the models in memory; each is downloaded and loaded on first use.

Importing torch and transformers takes seconds, so the studio imports this module late.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, TypeVar

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


# Names of a family's optional models, for messages.
_TITLES = {
    "pose": "pose estimator", "enlarger": "enlarger", "depth": "depth estimator",
    "rooms": "room segmenter", "checker": "safety checker",
}  # fmt: skip
# Seconds before models that could not be downloaded are asked for again.
RETRY_SECONDS = 600.0


class LoadedModels:
    """The helper models of each family, and the painter's checkpoints.

    Args:
        catalog: where models come from.
        device: where they run.
        checks: use the safety checker of families that have one.
        compiled: compile denoising steps; None compiles where it pays (`Device.compiles`).

    Attributes:
        loading: held while a job loads models, also by one that was cancelled in the middle.
        photo_note: why people in photographs are not read by the photo reader; "" if they are.
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
        # The segmenter does not wait for a download of the photo reader's models.
        self._photo_lock = threading.Lock()
        self.catalog = catalog
        self.photo_note = ""
        self._photo_retry = 0.0
        # No cached property: its lock, held at a fork, would never be released in the child.
        self._checkpoints: Checkpoints | None = None
        self._readers: dict[str, PhotoReader] = {}
        self._segmenters: dict[str, Segmenter] = {}
        self._poses: dict[str, PoseEstimator] = {}
        self._enlargers: dict[str, Enlarger] = {}
        self._depths: dict[str, DepthEstimator] = {}
        self._rooms: dict[str, SemanticSegmenter] = {}
        self._checkers: dict[str, SafetyChecker] = {}
        self._restorers: dict[str, FaceRestorer] = {}

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
        wanted = models is not None and models.words != ()
        return wanted and family not in self._readers and time.monotonic() >= self._photo_retry

    def photo_reader(self, family: str, fetch: Fetch) -> PhotoReader | None:
        """The family's photo reader; None, with `photo_note` set, where it is unavailable."""
        models = self.catalog.family(family).photo
        if models is None or models.words == ():
            return None
        with self._photo_lock:
            if family not in self._readers and time.monotonic() >= self._photo_retry:
                try:
                    folders = fetch(models.detectors), fetch(models.parser)
                    device = self.device.torch_device
                    words = frozenset(PARTS if models.words is None else models.words)
                    self._readers[family] = PhotoReader.load(*folders, device, words)
                    self.photo_note = ""
                except ModelUnavailable as error:
                    self._photo_retry = time.monotonic() + RETRY_SECONDS
                    self.photo_note = f"Photographs are read less well: {error}"
            return self._readers.get(family)

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
