"""Files that a local hub serves: sizes, digests and parts, read from the disk in blocks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

#: As on the real hub, weights are in large-file storage and have a sha256; texts have not.
LFS_SUFFIXES = (".safetensors", ".bin", ".ckpt", ".pt")

BLOCK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Part:
    """The bytes `start` to `stop` of a file; if `is_damaged`, the first of them is another one."""

    where: Path
    start: int
    stop: int
    is_damaged: bool = False

    def __len__(self) -> int:
        return self.stop - self.start

    def blocks(self, only: int | None = None) -> Iterator[bytes]:
        """The bytes in blocks, or the first `only` of them."""
        left = len(self) if only is None else min(only, len(self))
        with self.where.open("rb") as file:
            file.seek(self.start)
            is_damaged = self.is_damaged
            while left and (block := file.read(min(BLOCK, left))):
                left -= len(block)
                yield bytes([block[0] ^ 1]) + block[1:] if is_damaged else block
                is_damaged = False


@dataclass(frozen=True, kw_only=True)
class RepoFile:
    """A file of a repository: its path there, and where it is on the disk."""

    path: str
    where: Path

    @property
    def is_large(self) -> bool:
        return self.path.endswith(LFS_SUFFIXES)

    @property
    def size(self) -> int:
        return self.where.stat().st_size

    @property
    def blob_id(self) -> str:
        return _digest("sha1", self.where, b"blob %d\0" % self.size)

    @property
    def sha256(self) -> str:
        return _digest("sha256", self.where)

    @property
    def etag(self) -> str:
        return f'"{self.sha256 if self.is_large else self.blob_id}"'

    def part(self, start: int = 0, stop: int | None = None, *, is_damaged: bool = False) -> Part:
        """The bytes `start` to `stop`, by default all."""
        stop = self.size if stop is None else stop
        return Part(where=self.where, start=start, stop=stop, is_damaged=is_damaged)

    def as_sibling(self) -> dict[str, object]:
        """JSON for `model_info`."""
        about: dict[str, object] = {"rfilename": self.path, "size": self.size}
        if self.is_large:
            return {**about, "lfs": {"sha256": self.sha256, **self._pointer()}}
        return {**about, "blobId": self.blob_id}

    def as_tree_entry(self) -> dict[str, object]:
        """JSON for `list_repo_tree`."""
        about = {"type": "file", "path": self.path, "size": self.size, "oid": self._oid()}
        return about | ({"lfs": {"oid": self.sha256, **self._pointer()}} if self.is_large else {})

    def _oid(self) -> str:
        return self.sha256[:40] if self.is_large else self.blob_id

    def _pointer(self) -> dict[str, int]:
        return {"size": self.size, "pointerSize": 134}


@dataclass(frozen=True, kw_only=True)
class _Version:
    """A file as it is now. Hard links to one file are equal, so that it is read once."""

    device: int
    inode: int
    size: int
    modified: int
    where: Path = field(compare=False)


def _digest(algorithm: str, where: Path, before: bytes = b"") -> str:
    """The hex digest of `before` and a file; that of a large file is kept."""
    about = where.stat()
    version = _Version(
        device=about.st_dev,
        inode=about.st_ino,
        size=about.st_size,
        modified=about.st_mtime_ns,
        where=where,
    )
    # A small file may be written twice within one tick of the clock.
    read = _digest_once if about.st_size > BLOCK else _digest_once.__wrapped__
    return read(algorithm, version, before)


@lru_cache(maxsize=1024)
def _digest_once(algorithm: str, version: _Version, before: bytes) -> str:
    found = hashlib.new(algorithm, before)
    whole = Part(where=version.where, start=0, stop=version.size)
    for block in whole.blocks():
        found.update(block)
    return found.hexdigest()
