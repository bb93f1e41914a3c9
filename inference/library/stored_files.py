"""Files of the library, named by the digest of their content: in a folder or an object store."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import math
import os
import re
import secrets
import shutil
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Protocol

from inference.errors import LibraryUnavailable
from inference.library.address import store_folder
from inference.library.limits import FULL

# First bytes of a file (at an offset) and the suffix of its name.
SIGNATURES = (
    (0, b"\x89PNG\r\n\x1a\n", "png"),
    (0, b"\xff\xd8", "jpg"),
    (8, b"WEBP", "webp"),
    (4, b"ftypavi", "avif"),
    (4, b"ftyp", "heic"),
    (0, b"GIF8", "gif"),
    (0, b"BM", "bmp"),
    (0, b"II", "tif"),
    (0, b"MM", "tif"),
)
PART = ".part"
# Space that files leave free on the disk, so that the database can still store what became of the
# jobs: bytes, and at most this share of a small disk.
MARGIN, SHARE = 16 * 2**20, 0.1
# Names that this module gives; no other file in its folder is ever touched.
_OURS = re.compile(r"[0-9a-f]{64}\.[a-z]{3,4}|\.[0-9a-f]{16}\.part")
NAME = re.compile(r"[0-9a-f]{64}\.[a-z]{3,4}")
# The package that fsspec needs for an address of this kind.
PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
# Errors of those packages that are no OSError, by module and name.
ERRORS = (
    ("botocore.exceptions", "BotoCoreError"), ("aiohttp", "ClientError"),
    ("gcsfs.retry", "HttpError"), ("google.auth.exceptions", "GoogleAuthError"),
    ("azure.core.exceptions", "AzureError"), ("fsspec.exceptions", "FSTimeoutError"),
)  # fmt: skip


class Files(Protocol):
    """Files that never change: written once, read, and deleted; each is there as a whole or not.

    All methods but `told` raise OSError where the files cannot be reached.
    """

    def write(self, data: bytes) -> str:
        """Write a file, unless it is there, and return its name."""

    def read(self, name: str) -> bytes:
        """The content of a file; raises FileNotFoundError if it is not there."""

    def delete(self, name: str) -> bool:
        """Delete a file; whether it is gone."""

    def room(self) -> float:
        """Bytes that may still be written."""

    def told(self, error: OSError) -> str:
        """The sentence for an error."""


def files_at(address: str) -> Files:
    """The files of a shared library.

    Raises:
        LibraryUnavailable: the address is invalid, or a package for it is missing.
    """
    folder = store_folder(address)
    return ObjectFiles(address) if folder is None else StoredFiles(folder)


class StoredFiles:
    """A folder of files that never change: written once, read, and deleted.

    A file appears under its name only when it is on the disk as a whole. Files with the same
    content are one file.

    Args:
        root: the folder; it is created.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def write(self, data: bytes) -> str:
        """Write a file, unless it is there, and return its name.

        Raises:
            OSError: it cannot be written; nothing is left of it.
        """
        name = name_of(data)
        path = self.path(name)
        if path.is_file() and path.stat().st_size == len(data):
            return name
        if self.room() < len(data):
            raise OSError(errno.ENOSPC, "the disk is full but for what the database needs")
        path.parent.mkdir(exist_ok=True)
        part = path.with_name(f".{secrets.token_hex(8)}{PART}")
        try:
            with part.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
        _sync_folder(path.parent)
        return name

    def room(self) -> float:
        """Bytes that may still be written; below zero where the margin is in use."""
        disk = shutil.disk_usage(self.root)
        return disk.free - min(MARGIN, SHARE * disk.total)

    def path(self, name: str) -> Path:
        """Where a file with this name is.

        Raises:
            ValueError: no file has such a name.
        """
        return self.root / _within(name)

    def read(self, name: str) -> bytes:
        """The content of a file; raises OSError if it is not there."""
        return self.path(name).read_bytes()

    def delete(self, name: str) -> bool:
        """Delete a file; one that cannot be deleted is left to the next `sweep`."""
        with contextlib.suppress(OSError):
            self.path(name).unlink(missing_ok=True)
            return True
        return False

    def told(self, error: OSError) -> str:
        """The sentence for an error."""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return FULL
        return (
            f"The library's files in {self.root} cannot be used: check its disk, and start the "
            "server again."
        )

    def sweep(self, known: Collection[str]) -> int:
        """Delete the files that are not known, such as those of a write that was cut off.

        Returns:
            how many were deleted.
        """
        count = 0
        for path in self._files():
            if path.name not in known:
                with contextlib.suppress(OSError):
                    path.unlink()
                    count += 1
        return count

    def _files(self) -> Iterator[Path]:
        for folder in self.root.iterdir():
            if re.fullmatch(r"[0-9a-f]{2}", folder.name) and folder.is_dir():
                yield from (one for one in folder.iterdir() if _OURS.fullmatch(one.name))


class ObjectFiles:
    """Files in an object store, by fsspec; its keys come from the environment.

    Args:
        address: such as `s3://bucket/folder`.

    Raises:
        LibraryUnavailable: a package for it is missing.
    """

    def __init__(self, address: str) -> None:
        self._address = address.rstrip("/")
        try:
            import fsspec

            # Without a list of what is there, which other machines make out of date.
            self._store, self._root = fsspec.core.url_to_fs(self._address, use_listings_cache=False)
        except ImportError as error:
            package = PACKAGES.get(address.partition(":")[0], "fsspec")
            raise LibraryUnavailable(
                f"{self._address} needs a package: python -m pip install {package}."
            ) from error

    def write(self, data: bytes) -> str:
        """Write a file, also one that is there: its content is the same."""
        name = name_of(data)
        self._called("pipe_file", name, data)
        return name

    def read(self, name: str) -> bytes:
        """The content of a file."""
        return bytes(self._called("cat_file", name))

    def delete(self, name: str) -> bool:
        """Delete a file; whether it is gone."""
        try:
            self._called("rm_file", name)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True

    def room(self) -> float:
        """Without limit."""
        return math.inf

    def told(self, error: OSError) -> str:
        """The sentence for an error."""
        if isinstance(error, FileNotFoundError):
            return f"{self._address} lacks the file, or the bucket itself: check --library-files."
        if isinstance(error, PermissionError):
            return f"{self._address} refuses access: check the keys in the environment."
        return f"{self._address} does not answer: check the network, and its keys."

    def _called(self, method: str, name: str, *values: object) -> Any:
        """What a method of the store gives for a file; every error of it is an OSError."""
        path = f"{self._root}/{_within(name)}"
        modules = ((sys.modules.get(module), error) for module, error in ERRORS)
        errors = tuple(getattr(module, error) for module, error in modules if module is not None)
        try:
            return getattr(self._store, method)(path, *values)
        except errors as error:
            raise OSError(f"{type(error).__name__} of the object store") from error


def _within(name: str) -> str:
    """The place of a file in the folder of all.

    Raises:
        ValueError: no file has such a name.
    """
    if not NAME.fullmatch(name):
        raise ValueError(f"{name[:80]!r} is no file of the library")
    return f"{name[:2]}/{name}"


def name_of(data: bytes) -> str:
    """The name of a file with this content: its SHA-256 and the suffix of its format."""
    suffix = next((end for at, start, end in SIGNATURES if data.startswith(start, at)), "bin")
    return f"{hashlib.sha256(data).hexdigest()}.{suffix}"


def _sync_folder(folder: Path) -> None:
    """Have the folder's new entry on the disk too; Windows has no call for it and needs none."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
