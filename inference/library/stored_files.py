"""Files of the library, named by the digest of their content and written atomically."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

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
        if not NAME.fullmatch(name):
            raise ValueError(f"{name[:80]!r} is no file of the library")
        return self.root / name[:2] / name

    def read(self, name: str) -> bytes:
        """The content of a file; raises OSError if it is not there."""
        return self.path(name).read_bytes()

    def delete(self, names: Iterable[str]) -> None:
        """Delete files; those that cannot be deleted are left to the next `sweep`."""
        for name in names:
            with contextlib.suppress(OSError):
                self.path(name).unlink()

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
