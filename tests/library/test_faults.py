"""Tests of a library whose disk is full or damaged, and of versions: nothing half, nothing lost."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from pathlib import Path

import pytest

from inference.errors import LibraryUnavailable, NotStored
from inference.library.library import Library
from inference.library.opening import DATABASE
from inference.library.records import Search, State
from inference.library.schema import MIGRATIONS, connect, use_write_ahead_log
from inference.library.stored_files import StoredFiles
from tests.support.library_jobs import files_in, new_job, noise_file, opened, outcome

ROOT = Path(__file__).parents[2]


def filled(folder: Path) -> None:
    """A library with one finished job."""
    with opened(folder) as library:
        library.finish(library.accept(new_job(), running=True).id, outcome(1))


def everything(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".lock" and not path.name.endswith(("-shm", "-wal"))
    }


# --- a damaged or foreign library -----------------------------------------------------------------


def garbage(file: Path) -> None:
    file.write_bytes(b"no database at all" * 500)


def torn(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:3000])


def scribbled(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[5000:20000] = b"\xab" * 15000
    file.write_bytes(data)


def emptied(file: Path) -> None:
    file.write_bytes(b"")


@pytest.mark.parametrize("damage", [garbage, torn, scribbled, emptied, Path.unlink])
def test_what_cannot_be_read_is_set_aside_as_a_whole_and_said(
    tmp_path: Path, damage: object
) -> None:
    filled(tmp_path)
    damage(tmp_path / DATABASE)  # type: ignore[operator]
    before = everything(tmp_path)
    with opened(tmp_path) as library:
        (told,) = library.notes
        assert library.search(Search(owner="ann")) == []
        assert files_in(tmp_path) == []
        library.accept(new_job())
    (place,) = tmp_path.glob("set-aside-*")
    assert place.name in told
    assert everything(place) == before
    with opened(tmp_path) as library:
        assert library.notes == ()
        assert len(library.search(Search(owner="ann"))) == 1


def test_a_newer_library_is_left_as_it_is(tmp_path: Path) -> None:
    filled(tmp_path)
    with closing(sqlite3.connect(tmp_path / DATABASE)) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    before = everything(tmp_path)
    with pytest.raises(LibraryUnavailable, match=r"newer Masquerade.*update Masquerade"):
        Library(tmp_path)
    assert everything(tmp_path) == before


def test_another_programs_database_is_left_as_it_is(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / DATABASE)) as connection:
        connection.execute("CREATE TABLE jobs (id)")
    before = everything(tmp_path)
    with pytest.raises(LibraryUnavailable, match="another program's"):
        Library(tmp_path)
    assert everything(tmp_path) == before


def test_an_older_library_is_brought_to_this_version_once(tmp_path: Path) -> None:
    filled(tmp_path)
    newer = (*MIGRATIONS, ("ALTER TABLE jobs ADD COLUMN mood TEXT NOT NULL DEFAULT 'calm'",))
    for _ in range(2):
        with closing(connect(tmp_path / DATABASE, newer)) as connection:
            assert connection.execute("SELECT mood FROM jobs").fetchall()[0][0] == "calm"
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            assert version == len(newer)


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    filled(tmp_path)
    wrong = (*MIGRATIONS, ("ALTER TABLE jobs ADD COLUMN mood TEXT", "NO SQL"))
    with pytest.raises(sqlite3.OperationalError):
        connect(tmp_path / DATABASE, wrong)
    with opened(tmp_path) as library:
        assert len(library.search(Search(owner="ann"))) == 1


# --- a full disk ----------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Path:
    """A folder on a file system of 2 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if os.name == "nt" or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def ballast(folder: Path, left: int = 0) -> Path:
    """A file that fills the disk but for some bytes."""
    file = folder / "ballast"
    handle = os.open(file, os.O_WRONLY | os.O_CREAT)
    with contextlib.suppress(OSError):
        while os.write(handle, b"x" * 4096):
            pass
    os.close(handle)
    os.truncate(file, max(0, file.stat().st_size - left))
    return file


@pytest.mark.parametrize("left", [0, 4096, 16384, 65536])
def test_on_a_full_disk_nothing_half_remains_and_it_is_said(small_disk: Path, left: int) -> None:
    with opened(small_disk) as library:
        first = library.accept(new_job(photo=1), running=True)
        files = files_in(small_disk)
        file = ballast(small_disk, left)
        told = []
        for number in range(2, 8):
            try:
                library.finish(first.id, outcome(*range(number * 10, number * 10 + 8)))
            except NotStored as error:
                told.append(str(error))
        assert set(told) == {
            "The disk of the library is full: free some space, or lower --library-size."
        }
        library.fail(first.id, "The disk is full.")
        assert files_in(small_disk) == files
        file.unlink()
        library.accept(new_job(photo=9))
        stored = library.get("ann", first.id)
        assert (stored.state, stored.error) == (State.FAILED, "The disk is full.")
        assert not stored.pictures
    with opened(small_disk) as library:
        assert library.claim().id == first.id + 1


def test_a_job_that_does_not_fit_is_not_accepted(small_disk: Path) -> None:
    with opened(small_disk) as library:
        file = ballast(small_disk, 20_000)
        with pytest.raises(NotStored, match="full"):
            library.accept(new_job(mask=noise_file(1)))
        assert library.search(Search(owner="ann")) == []
        assert files_in(small_disk) == []
        file.unlink()
        assert library.accept(new_job(mask=noise_file(1))).id


def test_a_database_that_cannot_grow_refuses_as_a_whole(tmp_path: Path) -> None:
    with opened(tmp_path) as library:
        library._storage._connection.execute("PRAGMA max_page_count = 1")
        accepted = 0
        with contextlib.suppress(NotStored):
            while accepted < 200:
                library.accept(new_job(photo=accepted, prompt="x" * 9000))
                accepted += 1
        assert accepted < 200
        count = len(library.search(Search(owner="ann", limit=1000)))
        assert len(files_in(tmp_path)) == count == accepted


# --- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "suffix"),
    [
        (b"\x89PNG\r\n\x1a\n", "png"),
        (b"\xff\xd8\xff\xe0", "jpg"),
        (b"RIFF1234WEBPVP8 ", "webp"),
        (b"\0\0\0\x20ftypavif", "avif"),
        (b"\0\0\0\x20ftypheic", "heic"),
        (b"GIF89a", "gif"),
        (b"BM1234", "bmp"),
        (b"II*\0", "tif"),
        (b"MM\0*", "tif"),
        (b"what is this", "bin"),
    ],
)
def test_a_file_is_named_by_content_and_format(tmp_path: Path, start: bytes, suffix: str) -> None:
    files = StoredFiles(tmp_path)
    name = files.write(start)
    assert name.endswith(f".{suffix}")
    assert files.read(name) == start
    assert files.write(start) == name
    assert files.write(start + b"more") != name


KILLED = """
import sys
from pathlib import Path
from inference.library.library import Library
from tests.support.library_jobs import new_job, outcome
library = Library(Path(sys.argv[1]))
number = 0
while True:
    job = library.accept(new_job(photo=number), running=True)
    print(job.id, flush=True)
    library.finish(job.id, outcome(number))
    print(-job.id, flush=True)
    number += 1
"""


@pytest.mark.parametrize("seconds", [0.0, 0.013, 0.05, 0.11])
def test_kill_at_any_moment_loses_nothing_that_was_said_and_leaves_nothing_half(
    tmp_path: Path, seconds: float
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        said = [int(process.stdout.readline()) for _ in range(3)]
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL if os.name != "nt" else signal.SIGTERM)
        said += [int(line) for line in process.stdout.read().split("\n")[:-1]]
    with opened(tmp_path) as library:
        jobs = {job.id: job for job in library.search(Search(owner="ann", limit=10_000))}
        assert {number for number in said if number > 0} <= jobs.keys()
        done = {number for number, job in jobs.items() if job.state is State.DONE}
        assert {-number for number in said if number < 0} <= done
        assert len(jobs.keys() - done) <= 1
        names = [n for job in jobs.values() for n in (job.photo, *job.pictures, *job.thumbnails)]
        assert set(files_in(tmp_path)) == set(names)
        assert all(library.read(name) for name in names)


def test_the_log_is_begun_once_no_other_process_uses_the_database(tmp_path: Path) -> None:
    """SQLite answers at once that the database is locked where two processes begin it together."""
    with (
        closing(sqlite3.connect(tmp_path / DATABASE, isolation_level=None)) as other,
        closing(sqlite3.connect(tmp_path / DATABASE, 0, check_same_thread=False)) as ours,
        ThreadPoolExecutor() as threads,
    ):
        other.executescript("CREATE TABLE kept (one); BEGIN; SELECT * FROM kept")
        began = threads.submit(use_write_ahead_log, ours)
        assert not wait({began}, timeout=0.2).done
        other.execute("ROLLBACK")
        began.result()
        assert ours.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
