"""Temporary files of a running page: uploads, previews and results, deleted by age and size."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

PREFIX = "masquerade-"
RESULTS = "results"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of age, number and size.

    Attributes:
        age: seconds after which a file is deleted.
        grace: seconds after the end of a session until its files are deleted, for a tab whose
            connection was lost for a moment.
        files, size: most files, and most bytes in all; the oldest are deleted first.
        young: seconds for which a file is never deleted, because it is in use or a browser may
            still request it.
        pause: seconds between two sweeps.
    """

    age: float = 86_400
    grace: float = 600
    files: int = 2000
    size: int = 4 * 2**30
    young: float = 60
    pause: float = 60


@contextmanager
def temporary_files(variable: str, folder: Path | None = None) -> Iterator[TemporaryFiles]:
    """Temporary files in `folder`, or else in the folder that an environment variable names.

    Inside the context the variable names their folder, for a library that writes files too.
    """
    parent = os.environ.get(variable)
    work = TemporaryFiles(folder or (Path(parent) if parent else None))
    os.environ[variable] = str(work.root)
    try:
        yield work
    finally:
        work.close()
        del os.environ[variable]
        if parent:
            os.environ[variable] = parent


class TemporaryFiles:
    """A new folder of temporary files, swept in the background. Thread-safe.

    Args:
        parent: where it is created; the system's temporary folder by default.
        limits: what is kept.
    """

    def __init__(self, parent: Path | None = None, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        parent = parent or Path(tempfile.gettempdir())
        parent.mkdir(parents=True, exist_ok=True)
        self._drop_abandoned(parent)
        self.root = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent)).resolve()
        self._kept: frozenset[Path] = frozenset()
        self._closed = Event()

    def start_sweeping(self) -> None:
        """Exempt the files written so far, which belong to the page, and start the sweeps."""
        self._kept = frozenset(path for path, _ in self._files())
        Thread(target=self._keep_sweeping, daemon=True, name="sweeper").start()

    def folder(self, session: str | None) -> Path:
        """Make a folder for a job of this session."""
        place = self._session(session)
        place.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))

    def keep(self, data: bytes, session: str | None) -> Path:
        """Write bytes to a new file."""
        path = self.folder(session) / "photo"
        path.write_bytes(data)
        return path

    def touch(self, path: Path) -> None:
        """Mark one of these files as used, which restarts its age."""
        if path.resolve().is_relative_to(self.root):
            with contextlib.suppress(OSError):
                os.utime(path)

    def drop(self, folder: Path | None) -> None:
        """Delete a folder made by `folder`."""
        if folder is not None and folder.is_relative_to(self.root / RESULTS):
            shutil.rmtree(folder, ignore_errors=True)

    def delete_later(self, folder: Path | None) -> None:
        """Delete a folder made by `folder` as soon as no browser can still request its files."""
        if folder is not None and folder.is_relative_to(self.root / RESULTS):
            self._expire_in(folder, self.limits.young)

    def end_session(self, session: str | None) -> None:
        """Delete the files of an ended session after the grace period."""
        self._expire_in(self._session(session), self.limits.grace)

    def sweep(self) -> None:
        """Delete files by age, and the oldest ones beyond the limits."""
        now = time.time()
        with contextlib.suppress(OSError):
            os.utime(self.root)  # marks the folder as in use
        files = sorted(
            (about.st_mtime, about.st_size, path)
            for path, about in self._files()
            if path not in self._kept
        )
        count, size = len(files), sum(one[1] for one in files)
        for changed, own, path in files:
            old = now - changed > self.limits.age
            full = count > self.limits.files or size > self.limits.size
            if old or (full and now - changed > self.limits.young):
                with contextlib.suppress(OSError):
                    path.unlink()
                count, size = count - 1, size - own
        self._drop_empty_folders(now)

    def close(self) -> None:
        """Delete everything."""
        self._closed.set()
        shutil.rmtree(self.root, ignore_errors=True)

    def _expire_in(self, place: Path, seconds: float) -> None:
        """Set the age of all files in a folder so that they are deleted in `seconds` seconds."""
        due = time.time() - self.limits.age + seconds
        for path in place.rglob("*"):
            with contextlib.suppress(OSError):
                if path.is_file():
                    os.utime(path, (due, due))

    def _keep_sweeping(self) -> None:
        while not self._closed.wait(self.limits.pause):
            self.sweep()

    def _session(self, session: str | None) -> Path:
        """The folder of a session; its name is hashed, because it comes from outside."""
        code = hashlib.blake2b((session or "").encode("utf-8", "replace"), digest_size=12)
        return self.root / RESULTS / code.hexdigest()

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        for path in self.root.rglob("*"):
            with contextlib.suppress(OSError):
                about = path.lstat()
                if not stat.S_ISDIR(about.st_mode):
                    yield path, about

    def _drop_empty_folders(self, now: float) -> None:
        deepest_first = sorted(self.root.rglob("*"), key=lambda path: -len(path.parts))
        for path in deepest_first:
            # Young folders may be about to be filled; rmdir fails for folders that are not empty.
            with contextlib.suppress(OSError):
                about = path.lstat()
                if stat.S_ISDIR(about.st_mode) and now - about.st_mtime > self.limits.young:
                    path.rmdir()

    def _drop_abandoned(self, parent: Path) -> None:
        """Delete the folders of servers that were killed; a running server touches its folder."""
        for path in parent.glob(f"{PREFIX}*"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > self.limits.age and path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
