"""Places of photos and results: local paths, and addresses such as `s3://bucket/photos`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pyarrow.fs import FileSelector, FileSystem, FileType, LocalFileSystem

from inference.errors import MasqueradeError
from inference.studio.batch import SUFFIXES, pictures

# Filesystems on which a file that is being written is not seen before it is whole.
WHOLE_OR_NOTHING = ("s3", "gcs")
SCHEMES = ("s3", "gs", "file")
# What pyarrow raises: no such file, no access, no answer; an address that is none.
FAILURES = (OSError, ValueError)


@dataclass(frozen=True, kw_only=True)
class Place:
    """A file or a folder.

    Attributes:
        address: as a user knows it.
        filesystem: where it is.
        path: absolute within the filesystem, with slashes.
    """

    address: str
    filesystem: FileSystem = field(repr=False)
    path: str

    @property
    def key(self) -> str:
        """The address by which every process of a cluster finds it."""
        return self.address if "://" in self.address else self.path

    def file(self, name: str) -> Place:
        """A file in this folder."""
        address, query, options = self.address.partition("?")
        return Place(
            address=f"{address.rstrip('/')}/{name}{query}{options}",
            filesystem=self.filesystem,
            path=f"{self.path.rstrip('/')}/{name}",
        )

    def read(self) -> bytes:
        """The file's content.

        Raises:
            MasqueradeError: it cannot be read.
        """
        try:
            with self.filesystem.open_input_stream(self.path) as stream:
                return bytes(stream.read())
        except FAILURES as error:
            raise MasqueradeError(f"{self.address} cannot be read: check its access.") from error

    def write(self, data: bytes) -> None:
        """Write the file so that nobody sees half of it.

        Raises:
            MasqueradeError: it cannot be written.
        """
        path, goal = PurePosixPath(self.path), self.path
        if self.filesystem.type_name not in WHOLE_OR_NOTHING:
            goal = str(path.with_name(f".{path.name}.part"))
        try:
            with self.filesystem.open_output_stream(goal) as stream:
                stream.write(data)
            if goal != self.path:
                self.filesystem.move(goal, self.path)
        except FAILURES as error:
            raise MasqueradeError(f"{path.name} cannot be written: free its place.") from error

    def names(self) -> set[str]:
        """The names of the files in this folder; it is made where it is missing.

        Raises:
            MasqueradeError: it cannot be made or listed.
        """
        try:
            if self.filesystem.type_name not in WHOLE_OR_NOTHING:
                self.filesystem.create_dir(self.path)
            found = self.filesystem.get_file_info(FileSelector(self.path, allow_not_found=True))
        except FAILURES as error:
            raise MasqueradeError(f"{self.address} cannot be made: choose another.") from error
        return {one.base_name for one in found if one.type is FileType.File}


@dataclass(kw_only=True)
class Places:
    """Finds places by their addresses; a bucket's filesystem is connected once."""

    _known: dict[str, FileSystem] = field(default_factory=dict)

    def at(self, address: str) -> Place:
        """The place at an address: `s3://bucket/…`, `gs://bucket/…`, `file:///…` or a path.

        Raises:
            MasqueradeError: it is of another kind, or cannot be reached.
        """
        scheme, is_address, rest = address.partition("://")
        if not is_address:
            path = Path(address).absolute().as_posix()
            return Place(address=address, filesystem=LocalFileSystem(), path=path)
        path, _, options = rest.partition("?")
        bucket = f"{scheme}://{path.partition('/')[0]}?{options}"
        try:
            if scheme not in SCHEMES:
                raise ValueError(scheme)
            if bucket not in self._known:
                self._known[bucket] = FileSystem.from_uri(address)[0]
        except FAILURES as error:
            raise MasqueradeError(
                f"{address} cannot be reached: give a path, or s3:// or gs:// with your access."
            ) from error
        return Place(address=address, filesystem=self._known[bucket], path=path.rstrip("/"))

    def photos(self, addresses: Iterable[str]) -> list[Place]:
        """The given files, and the pictures in the given folders sorted by name, each once.

        Raises:
            MasqueradeError: a place does not exist, or there is no picture at all.
        """
        given = list(dict.fromkeys(addresses))
        far = [one for one in given if "://" in one]
        near = [Path(one) for one in given if one not in far]
        found = [self.at(str(path)) for path in (pictures(near) if near else ())]
        for address in far:
            found += self._pictures(self.at(address))
        if not found:
            raise MasqueradeError(
                f"There is no picture to paint: put some of {', '.join(SUFFIXES)}."
            )
        once: dict[str, Place] = {}
        for one in found:
            once.setdefault(one.path, one)
        return list(once.values())

    def _pictures(self, place: Place) -> list[Place]:
        try:
            kind = place.filesystem.get_file_info(place.path).type
            if kind is FileType.File:
                return [place]
            inside = place.filesystem.get_file_info(FileSelector(place.path))
        except FAILURES as error:
            raise MasqueradeError(f"There is nothing at {place.address}: check it.") from error
        names = (one.base_name for one in inside if one.type is FileType.File)
        return [place.file(name) for name in sorted(names) if _is_picture(name)]


def _is_picture(name: str) -> bool:
    return not name.startswith(".") and PurePosixPath(name).suffix.lower() in SUFFIXES
