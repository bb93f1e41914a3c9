"""Tests of the queue of stored jobs: order, cancelling, stopping, and a server that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from inference.catalog.catalog import Catalog
from inference.errors import ModelFailed
from inference.library.leases import DIED
from inference.library.library import Library
from inference.library.opening import open_storage
from inference.library.records import Search, State, StoredJob
from inference.serving.job_queue import JobQueue
from inference.serving.job_service import JobService
from inference.serving.temporary_files import TemporaryFiles
from tests.support.library_jobs import new_job
from tests.support.page_server import FIELDS, Watched, coloured, png, wait_until

ROOT = Path(__file__).parents[2]
PHOTO = png(coloured((200, 30, 40)))


@pytest.fixture(scope="module")
def studio(tiny_catalog: Path) -> Watched:
    return Watched(catalog=Catalog.load(tiny_catalog), style="drawn")


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    library = Library(tmp_path / "library")
    yield library
    library.close()


@contextmanager
def running(studio: Watched, library: Library, tmp_path: Path) -> Iterator[JobQueue]:
    queue = JobQueue(JobService(studio, TemporaryFiles(tmp_path / "files"), library), library)
    queue.start()
    try:
        yield queue
    finally:
        queue.stop()


def accept(library: Library, photo: bytes = PHOTO, **values: Any) -> int:
    return library.accept(new_job(photo=photo, **{**FIELDS, **values})).id


def get(library: Library, job: int) -> StoredJob:
    stored = library.get("ann", job)
    assert stored is not None
    return stored


def ended(library: Library, *jobs: int) -> bool:
    return all(get(library, job).state.has_ended for job in jobs)


# --- in this process ------------------------------------------------------------------------------


def test_jobs_are_painted_in_their_order_and_a_wrong_one_stops_nothing(
    studio: Watched, library: Library, tmp_path: Path
) -> None:
    good = [accept(library, seed=k) for k in range(2)]
    wrong = [
        accept(library, photo=b"no picture"),
        accept(library, style="none such"),
        accept(library, mask_prompt="", mask_strokes="", mask_invert=False),
    ]
    (last,) = [accept(library, seed=9)]
    gone = accept(library, photo=png(coloured((9, 9, 9))))
    library._storage.files.delete(get(library, gone).photo)
    with running(studio, library, tmp_path):
        wait_until(lambda: ended(library, *good, *wrong, last, gone), 60)
    for job in (*good, last):
        assert get(library, job).state is State.DONE
    for job in (*wrong, gone):
        stored = get(library, job)
        assert stored.state is State.FAILED
        assert stored.error.endswith(".")
    times = [get(library, job).finished for job in (*good, *wrong, last, gone)]
    assert times == sorted(times)


def test_an_unforeseen_error_ends_the_job_and_not_the_queue(
    studio: Watched, library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise ArithmeticError("secret")

    with running(studio, library, tmp_path) as queue:
        with monkeypatch.context() as patch:
            patch.setattr("inference.serving.job_records.outcome_of", broken)
            first = accept(library)
            queue.wake()
            wait_until(lambda: ended(library, first), 60)
        second = accept(library)
        queue.wake()
        wait_until(lambda: ended(library, second), 60)
    assert get(library, first).error == str(ModelFailed())
    assert get(library, second).state is State.DONE


def test_a_running_job_can_be_deleted_and_the_next_one_is_painted(
    studio: Watched, library: Library, tmp_path: Path
) -> None:
    with running(studio, library, tmp_path) as queue:
        endless, after = accept(library, steps=50, num_images=8), accept(library)
        queue.wake()
        wait_until(lambda: studio.now == 1)
        assert library.delete("ann", endless)
        queue.cancel(after)
        queue.cancel(endless)
        wait_until(lambda: ended(library, after), 60)
    assert library.get("ann", endless) is None
    assert get(library, after).state is State.DONE


def test_a_job_that_the_servers_end_breaks_off_is_queued_as_if_untried(
    studio: Watched, library: Library, tmp_path: Path
) -> None:
    with running(studio, library, tmp_path) as queue:
        job = accept(library, steps=50, num_images=8)
        queue.wake()
        wait_until(lambda: studio.now == 1, 90)
    stored = get(library, job)
    assert (stored.state, stored.attempts, stored.error) == (State.QUEUED, 0, "")
    assert studio.now == 0


# --- a server that is killed ----------------------------------------------------------------------

SERVER = """
import sys
from pathlib import Path
from inference.catalog.catalog import Catalog
from inference.studio.studio import Studio
from inference.serving.backend import backend
from inference.serving.options import Options
options = Options(library=Path(sys.argv[1]))
studio = Studio(catalog=Catalog.load(Path(sys.argv[2])), style="drawn")
with backend(studio, options, Path(sys.argv[3])):
    print("up", flush=True)
    sys.stdin.read()
"""


@contextmanager
def server_process(tmp_path: Path, catalog: Path) -> Iterator[subprocess.Popen[str]]:
    folders = [str(tmp_path / "library"), str(catalog), str(tmp_path / "files")]
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, *folders], cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        yield process


def states(tmp_path: Path) -> list[tuple[int, State, int]]:
    """Number, state and attempts of each job, read beside the running server."""
    storage, _ = open_storage(tmp_path / "library")
    with storage.used() as rows:
        jobs = rows.search(Search(owner="ann"))
    storage.close()
    return [(job.id, job.state, job.attempts) for job in reversed(jobs)]


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
def test_after_a_kill_in_the_middle_of_a_painting_it_is_painted_again_and_then_given_up(
    tmp_path: Path, tiny_catalog: Path
) -> None:
    library = Library(tmp_path / "library")
    endless = {"steps": 50, "num_images": 8, "w": 1024, "h": 1024}
    first, second = accept(library, **endless), accept(library)
    library.close()
    for attempt in (1, 2):
        with server_process(tmp_path, tiny_catalog) as process:
            wait_until(lambda k=attempt: states(tmp_path)[0] == (first, State.RUNNING, k), 90)
            time.sleep(0.3)
            process.send_signal(signal.SIGKILL)
    with server_process(tmp_path, tiny_catalog) as process:
        wait_until(lambda: states(tmp_path)[1][1] is State.DONE, 90)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(30) == 0
    library = Library(tmp_path / "library")
    stored = library.get("ann", first)
    assert stored is not None
    assert (stored.state, stored.error) == (State.FAILED, DIED)
    assert library.get("ann", second).state is State.DONE  # type: ignore[union-attr]
    library.close()
