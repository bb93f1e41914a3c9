"""The files of a running page: uploads, previews and results, in one folder that is swept."""

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
    """How much is kept, and how long.

    Attributes:
        age: seconds after which a file goes.
        grace: seconds after which the files of a session go that has ended; a tab whose connection
            was lost for a moment finds them again.
        files, size: how many files, and how many bytes, stay at most; the oldest go first.
        young: seconds for which a file stays in any case, because somebody is at work on it, or a
            browser that has not heard of its successor asks for it.
        pause: seconds between two sweeps.
    """

    age: float = 86_400
    grace: float = 600
    files: int = 2000
    size: int = 4 * 2**30
    young: float = 60
    pause: float = 60


@contextmanager
def opened(variable: str, folder: Path | None = None) -> Iterator[Workplace]:
    """A workplace in `folder`, or else in the one that an environment variable names.

    The variable names the workplace meanwhile, for a library that writes files of its own.
    """
    parent = os.environ.get(variable)
    work = Workplace(folder or (Path(parent) if parent else None))
    os.environ[variable] = str(work.root)
    try:
        yield work
    finally:
        work.close()
        del os.environ[variable]
        if parent:
            os.environ[variable] = parent


class Workplace:
    """A folder of our own, so that sweeping it harms nobody. Thread-safe.

    Args:
        parent: where to make it; the system's place for temporary files when left out.
        limits: how much is kept.
    """

    def __init__(self, parent: Path | None = None, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        parent = parent or Path(tempfile.gettempdir())
        parent.mkdir(parents=True, exist_ok=True)
        self._drop_forgotten(parent)
        self.root = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent)).resolve()
        self._kept: frozenset[Path] = frozenset()
        self._closed = Event()

    def settle(self) -> None:
        """What is here by now belongs to the page itself and stays; the rest is swept from now."""
        self._kept = frozenset(path for path, _ in self._files())
        Thread(target=self._keep_sweeping, daemon=True, name="sweeper").start()

    def folder(self, session: str | None) -> Path:
        """A new folder for a job of this session."""
        place = self._session(session)
        place.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))

    def keep(self, data: bytes, session: str | None) -> Path:
        """A new file with these bytes."""
        path = self.folder(session) / "photo"
        path.write_bytes(data)
        return path

    def touch(self, path: Path) -> None:
        """Somebody works with this file: if it is one of ours, it is as young as a new one."""
        if path.resolve().is_relative_to(self.root):
            with contextlib.suppress(OSError):
                os.utime(path)

    def drop(self, folder: Path | None) -> None:
        """Delete a folder that `folder` gave."""
        if folder is not None and folder.is_relative_to(self.root / RESULTS):
            shutil.rmtree(folder, ignore_errors=True)

    def retire(self, folder: Path | None) -> None:
        """Let a folder that `folder` gave go, once no browser can still be asking for its files."""
        if folder is not None and folder.is_relative_to(self.root / RESULTS):
            self._let_go(folder, self.limits.young)

    def leave(self, session: str | None) -> None:
        """A session has ended: let its files go after the time of grace."""
        self._let_go(self._session(session), self.limits.grace)

    def sweep(self) -> None:
        """Delete what is too old, and the oldest of what is too much."""
        now = time.time()
        with contextlib.suppress(OSError):
            os.utime(self.root)  # says that this folder is not forgotten
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

    def _let_go(self, place: Path, seconds: float) -> None:
        """Make all files here so old that they are swept in so many seconds."""
        due = time.time() - self.limits.age + seconds
        for path in place.rglob("*"):
            with contextlib.suppress(OSError):
                if path.is_file():
                    os.utime(path, (due, due))

    def _keep_sweeping(self) -> None:
        while not self._closed.wait(self.limits.pause):
            self.sweep()

    def _session(self, session: str | None) -> Path:
        """The folder of a session, whose name comes from outside."""
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
            # One that was just made is about to be filled; one that is not empty stays.
            with contextlib.suppress(OSError):
                about = path.lstat()
                if stat.S_ISDIR(about.st_mode) and now - about.st_mtime > self.limits.young:
                    path.rmdir()

    def _drop_forgotten(self, parent: Path) -> None:
        """Folders of servers that were killed: a running one touches its own all the time."""
        for path in parent.glob(f"{PREFIX}*"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > self.limits.age and path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
