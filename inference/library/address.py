"""Addresses of libraries: a folder of one machine, or a database and a store of files for many."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from inference.errors import LibraryUnavailable

# Host and name of the database are shown in messages; anything odd is refused unseen, because it
# may be a part of the password.
_DATABASE = re.compile(
    r"postgres(?:ql)?://(?:[^\s/?#@]*@)?(?P<host>[\w.,:%\[\]-]*)/(?P<name>[\w.%-]+)(?:\?[^\s#]*)?"
)
_STORE = re.compile(r"(?:s3|gs|gcs|az|abfs|memory)://[\w.-]+(?:/[\w.=-]+)*/?")
_LOCAL = "file://"
EXAMPLE = "postgresql://user@host/name"
NO_DATABASE = (
    f"The library is no folder and no address of a database such as {EXAMPLE}: correct --library, "
    "and write special characters of a password as %40."
)
NO_STORE = (
    "The store of files is no folder and no address such as s3://bucket/folder: correct "
    "--library-files, and give keys by the environment, never in the address."
)
NEEDS_STORE = "A library in a database needs a store of files too: give --library-files."
NEEDS_DATABASE = (
    "A folder has its files in itself: give no --library-files, or a database as --library."
)


@dataclass(frozen=True, kw_only=True)
class Shared:
    """A library that many processes on many machines use at once.

    Attributes:
        database: address of a PostgreSQL database, which may have a password in it.
        files: folder or address of the store of files; "" where none is read or written.
    """

    database: str = field(repr=False)
    files: str = ""

    @property
    def shown(self) -> str:
        """The database as messages name it: host and name, never user or password."""
        found = _DATABASE.fullmatch(self.database)
        return "" if found is None else f"{found['host'] or 'this machine'}/{found['name']}"


@dataclass(frozen=True, kw_only=True)
class SharedFolder:
    """A library in a folder that several processes of one machine use at once.

    Attributes:
        path: the folder, on a disk of this machine, because SQLite's locks need that.
    """

    path: Path


#: A folder for one process, or what several share.
Place = Path | SharedFolder | Shared


def place_of(library: str, files: str = "") -> Place:
    """Where a library is, by the options `--library` and `--library-files`.

    Raises:
        LibraryUnavailable: one of them is neither a folder nor a valid address; the message does
            not quote it.
    """
    if "://" not in library:
        if files:
            raise LibraryUnavailable(NEEDS_DATABASE)
        return _folder(library, NO_DATABASE)
    if not _DATABASE.fullmatch(library):
        raise LibraryUnavailable(NO_DATABASE)
    if files:
        store_folder(files)
    return Shared(database=library, files=files)


def store_folder(files: str) -> Path | None:
    """The folder of a store of files; None for an object store.

    Raises:
        LibraryUnavailable: it is neither a folder nor a valid address.
    """
    if not files:
        raise LibraryUnavailable(NEEDS_STORE)
    if "://" in files and not files.startswith(_LOCAL):
        if not _STORE.fullmatch(files) or ".." in files.split("/"):
            raise LibraryUnavailable(NO_STORE)
        return None
    return _folder(files.removeprefix(_LOCAL), NO_STORE)


def _folder(text: str, why: str) -> Path:
    if not text or not text.isprintable() or "::" in text:
        raise LibraryUnavailable(why)
    return Path(text)
