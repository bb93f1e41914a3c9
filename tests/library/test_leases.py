"""Tests of a library that many processes use at once: each job once, and nothing lost with one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from inference.errors import NotStored
from inference.library import leases
from inference.library.address import Place, Shared
from inference.library.leases import DIED, LEASE
from inference.library.library import CALLBACK_SECONDS, LIMITS_SECONDS, Library
from inference.library.limits import Limits
from inference.library.records import Callback, Role, Search, State
from inference.library.storage import WRITE_SECONDS
from tests.support.library_jobs import (
    PLACES,
    Clock,
    files_in,
    new_job,
    opened,
    outcome,
    picture_file,
    place_for,
)
from tests.support.page_server import wait_until
from tests.support.postgresql import PASSWORD, PostgresqlServer

ROOT = Path(__file__).parents[2]
each_shared_place = pytest.mark.parametrize("place", PLACES[1:], indirect=True)
each_place_of_processes = pytest.mark.parametrize("place", PLACES[1:3], indirect=True)


@contextmanager
def several(place: Place, clock: Clock, count: int = 2, **options: Any) -> Iterator[list[Library]]:
    """Several processes' libraries in one place, here in one process, with a lease of a minute."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(opened(place, clock=clock, lease=LEASE, **options))
            for _ in range(count)
        ]


# --- a lease --------------------------------------------------------------------------------------


@each_shared_place
@pytest.mark.parametrize(
    ("seconds", "renewed_after", "is_taken"),
    [(LEASE - 1, None, False), (LEASE + 1, None, True), (LEASE + 1, 30, False)],
)
def test_a_job_is_taken_over_once_its_lease_has_ended(
    place: Place, seconds: float, renewed_after: float | None, is_taken: bool
) -> None:
    clock = Clock()
    with several(place, clock) as (one, other):
        job = one.accept(new_job()).id
        assert one.claim().id == job
        if renewed_after is not None:
            clock.now += renewed_after
            assert one.heartbeat(job)
            clock.now -= renewed_after
        clock.now += seconds
        assert other.waiting() == ([(job, "drawn")] if is_taken else [])
        taken = other.claim()
        assert (taken is not None) == is_taken
        assert one.heartbeat(job) != is_taken
        assert one.finish(job, outcome(1)) != is_taken
        if taken is not None:
            assert (taken.id, taken.attempts) == (job, 2)
            assert other.finish(job, outcome(2))
        stored = one.find(job)
        assert stored.state is State.DONE
        assert len(stored.pictures) == 1
        assert set(files_in(place)) == {stored.photo, *stored.pictures, *stored.thumbnails}


@each_shared_place
def test_a_job_whose_process_ended_twice_is_given_up_and_told(place: Place) -> None:
    clock = Clock()
    with several(place, clock, 3) as libraries:
        job = libraries[0].accept(new_job(callback="https://a.example")).id
        for library in libraries[:2]:
            assert library.claim().id == job
            clock.now += LEASE + 1
        assert libraries[2].claim() is None
        stored = libraries[2].find(job)
        assert (stored.state, stored.error, stored.attempts) == (State.FAILED, DIED, 2)
        assert [one.job for one in libraries[2].due_callbacks()] == [job]


@each_shared_place
@pytest.mark.parametrize("is_claimed", [True, False])
@pytest.mark.parametrize(
    "late",
    [
        lambda library, job: library.finish(job, outcome(1)),
        lambda library, job: library.fail(job, "Late."),
        lambda library, job: library.cancel(job, "Late."),
        lambda library, job: library.requeue(job),
    ],
)
def test_whoever_lost_a_job_changes_nothing_of_it_any_more(
    place: Place, late: Callable[[Library, int], object], is_claimed: bool
) -> None:
    clock = Clock()
    with several(place, clock) as (one, other):
        job = one.accept(new_job(), running=True).id
        clock.now += LEASE + 1
        other.claim()
        if not is_claimed:
            other.requeue(job)
        before, files = other.find(job), files_in(place)
        late(one, job)
        assert other.find(job) == before
        assert files_in(place) == files


@each_shared_place
def test_jobs_can_be_claimed_by_style_and_by_number(place: Place) -> None:
    with several(place, Clock()) as (one, other):
        ids = [one.accept(new_job(style=style)).id for style in ("drawn", "ink", "drawn", "ink")]
        assert other.waiting() == list(zip(ids, ("drawn", "ink", "drawn", "ink"), strict=True))
        assert other.claim(styles=["ink"]).id == ids[1]
        assert one.claim(styles=["flat", "ink"]).id == ids[3]
        assert one.claim(styles=[]) is None
        assert one.claim(styles=["ink"]) is None
        assert one.claim(job=ids[1]) is None
        assert other.claim(job=ids[2]).id == ids[2]
        assert other.claim().id == ids[0]
        assert one.claim() is None
        assert one.waiting() == []


@each_shared_place
def test_a_living_process_keeps_its_job_by_itself(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "BEAT", 0.02)
    clock = Clock()
    with several(place, clock) as (one, other):
        job = one.accept(new_job()).id
        assert one.claim().id == job
        clock.now += LEASE / 2
        wait_until(lambda: lease_of(other, job) == clock.now + LEASE)
        clock.now += LEASE - 1
        assert other.claim() is None
        one.close()
        clock.now += LEASE + 1
        assert other.claim().id == job


@each_shared_place
@pytest.mark.parametrize("why", ["deleted", "taken over"])
def test_a_process_is_told_of_a_job_that_it_paints_for_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    monkeypatch.setattr(leases, "BEAT", 0.02)
    lost: list[int] = []
    clock = Clock()
    with several(place, clock) as (one, other):
        one.when_lost(lost.append)
        job, kept = (one.accept(new_job(photo=k)).id for k in range(2))
        assert [one.claim().id for _ in range(2)] == [job, kept]
        if why == "deleted":
            other.delete("ann", job)
        else:
            with other._storage.changed() as rows:
                rows.change(job, clock.now, worker="another")
        wait_until(lambda: lost == [job])
        assert one.heartbeat(kept)


def lease_of(library: Library, job: int) -> float:
    with library._storage.used():
        row = library._storage._connection.execute(
            "SELECT lease FROM jobs WHERE id = :id", {"id": job}
        ).fetchone()
    assert row is not None
    return float(row["lease"])


# --- what one of all does -------------------------------------------------------------------------


@each_shared_place
def test_of_all_processes_one_is_told_of_a_callback_until_it_had_time_to_deliver_it(
    place: Place,
) -> None:
    clock, url = Clock(), "https://hook.example/"
    with several(place, clock) as (one, other):
        job = one.accept(new_job(callback=url), running=True).id
        one.fail(job, "It broke.")
        due = [Callback(job=job, url=url, attempts=0)]
        assert one.due_callbacks() == due
        assert other.due_callbacks() == one.due_callbacks() == []
        clock.now += CALLBACK_SECONDS
        assert other.due_callbacks() == due
        other.postpone_callback(job, 10)
        assert one.due_callbacks() == []
        clock.now += 10
        assert one.due_callbacks() == [Callback(job=job, url=url, attempts=1)]
        one.drop_callback(job)
        clock.now += CALLBACK_SECONDS
        assert other.due_callbacks() == []


@each_shared_place
def test_of_all_processes_one_enforces_the_limits_in_a_minute(place: Place) -> None:
    clock = Clock()
    with several(place, clock, limits=Limits(size=0, young=0)) as (one, other):
        for number in range(3):
            job = one.accept(new_job(photo=number), running=True)
            clock.now += 1
            one.finish(job.id, outcome(number))  # enforces them, too
        assert len(one.search(Search(owner="ann"))) == 3
        assert other.enforce_limits() == 0
        clock.now += LIMITS_SECONDS
        assert other.enforce_limits() == 3
        assert one.enforce_limits() == 0
        assert files_in(place) == []


# --- files ----------------------------------------------------------------------------------------


@each_shared_place
def test_a_file_is_not_deleted_while_another_process_stores_a_job_with_it(place: Place) -> None:
    with several(place, Clock()) as (one, other):
        first = one.accept(new_job(photo=1))
        with other._storage.written({Role.PHOTO: [picture_file(1)]}) as new:
            assert one.delete("ann", first.id)
            with other._storage.changed() as rows:
                second = rows.insert(new_job(photo=1), 0.0, state=State.QUEUED)
                new.add_to(second, rows)
        assert one.read(one.find(second).photo) == picture_file(1)
        assert one.delete("ann", second)
        assert files_in(place) == []


@each_shared_place
def test_what_a_write_left_that_was_cut_off_is_deleted_after_an_hour(place: Place) -> None:
    clock = Clock()
    with several(place, clock) as (one, _):
        kept = one.accept(new_job(photo=1))
        with pytest.raises(KeyboardInterrupt), cut_off(one):
            one.accept(new_job(photo=2))
        one.enforce_limits()
        assert len(files_in(place)) == 2
        for table, column in (("blobs", "touched"), ("unfinished_writes", "since")):
            one._storage._connection.execute(
                f"UPDATE {table} SET {column} = {column} - :ago", {"ago": WRITE_SECONDS + 1}
            )
        clock.now += LIMITS_SECONDS
        one.enforce_limits()
        assert files_in(place) == [kept.photo]


@contextmanager
def cut_off(library: Library) -> Iterator[None]:
    """Context in which a process ends between the writing of files and that of the job."""

    def ended(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library._storage._rows, "insert", ended)
        patch.setattr(library._storage.blobs, "end_writes", lambda _: None)
        patch.setattr(library._storage, "collect", lambda _: None)
        yield


# --- processes ------------------------------------------------------------------------------------

WORKER = """
import json, sys
from inference.library.address import SharedFolder, place_of
from inference.library.library import Library
from tests.support.library_jobs import *
place = SharedFolder(path=Path(sys.argv[1])) if len(sys.argv) == 2 else place_of(*sys.argv[1:3])
{work}
"""
CLAIM_ALL = """
print("ready", flush=True)
sys.stdin.readline()
library = Library(place)
mine = int(sys.stdin.readline())
for number in range(50):
    library.accept(new_job(photo=mine * 50 + number))
print("accepted", flush=True)
sys.stdin.readline()
done = []
while (job := library.claim()) is not None:
    assert library.finish(job.id, outcome(job.id))
    done.append(job.id)
print(json.dumps(done), flush=True)
library.close()
"""
CLAIM_ONE = """
library = Library(place, lease=0.5)
print(library.claim().id, flush=True)
sys.stdin.read()
"""


@contextmanager
def process(place: Place, work: str) -> Iterator[Any]:
    where = [place.database, place.files] if isinstance(place, Shared) else [str(place.path)]
    command = [sys.executable, "-c", WORKER.format(work=work), *where]
    with subprocess.Popen(
        command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as started:
        try:
            yield started
        finally:
            started.kill()


@each_place_of_processes
def test_four_processes_begin_a_library_at_once_and_do_two_hundred_jobs_each_once(
    place: Place,
) -> None:
    with ExitStack() as stack:
        workers = [stack.enter_context(process(place, CLAIM_ALL)) for _ in range(4)]
        for answers in ("ready", "accepted"):
            assert [one.stdout.readline() for one in workers] == [f"{answers}\n"] * 4
            for number, one in enumerate(workers):
                one.stdin.write(f"\n{number}\n" if answers == "ready" else "\n")
                one.stdin.flush()
        done = [json.loads(one.stdout.readline()) for one in workers]
    assert Counter(job for jobs in done for job in jobs) == Counter(range(1, 201))
    with opened(place) as library:
        jobs = library.search(Search(owner="ann", limit=1000))
        assert {job.state for job in jobs} == {State.DONE}
        assert len(jobs) == 200
        for job in jobs:
            assert job.attempts == 1
            assert library.read(job.pictures[0]) == outcome(job.id).pictures[0].file


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
@each_place_of_processes
def test_the_job_of_a_killed_process_is_done_by_another_one(place: Place) -> None:
    library = Library(place, lease=0.5)
    job = library.accept(new_job()).id
    with process(place, CLAIM_ONE) as worker:
        assert int(worker.stdout.readline()) == job
        worker.send_signal(signal.SIGKILL)
        claimed: list[Any] = []
        wait_until(lambda: bool(claimed.append(library.claim()) or claimed[-1]))
    assert (claimed[-1].id, claimed[-1].attempts) == (job, 2)
    assert library.finish(job, outcome(1))
    library.close()


# --- a database that goes away --------------------------------------------------------------------


def test_while_the_database_is_away_it_is_told_and_afterwards_the_work_goes_on(
    tmp_path: Path, postgresql: PostgresqlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "BEAT", 0.05)
    place = place_for("postgresql", tmp_path, postgresql)
    lost: list[int] = []
    with opened(place) as library:
        library.when_lost(lost.append)
        begun, failed, waiting = (library.accept(new_job(photo=k)).id for k in range(3))
        assert [library.claim().id for _ in range(2)] == [begun, failed]
        postgresql.stop()
        try:
            for attempt in (
                library.claim,
                lambda: library.accept(new_job(photo=9)),
                lambda: library.finish(begun, outcome(1)),
                lambda: library.find(begun),
            ):
                with pytest.raises(NotStored, match=r"does not answer: start it") as told:
                    attempt()
                assert PASSWORD not in str(told.value)
            library.fail(failed, "It broke.")  # stored later
        finally:
            postgresql.start()
        assert library.claim().id == waiting
        assert library.find(failed).state is State.FAILED
        assert library.finish(begun, outcome(1))
        assert library.accept(new_job(photo=9)).state is State.QUEUED
        assert library.heartbeat(waiting)
        assert lost == []
        names = {n for j in library.search(Search(owner="ann")) for n in (j.photo, *j.pictures)}
        assert names <= set(files_in(place))


def test_threads_that_wait_for_a_database_that_comes_back_lose_nothing(
    tmp_path: Path, postgresql: PostgresqlServer
) -> None:
    place = place_for("postgresql", tmp_path, postgresql)
    accepted: list[int] = []
    stopping = threading.Event()

    def accept(mine: int) -> None:
        number = mine
        while not stopping.is_set():
            try:
                accepted.append(library.accept(new_job(photo=number)).id)
                number += 4
            except NotStored:
                stopping.wait(0.05)

    with opened(place) as library:
        threads = [threading.Thread(target=accept, args=(k,)) for k in range(4)]
        for one in threads:
            one.start()
        wait_until(lambda: len(accepted) > 20)
        postgresql.stop()
        count = len(accepted)
        postgresql.start()
        wait_until(lambda: len(accepted) > count + 20)
        stopping.set()
        for one in threads:
            one.join()
        stored = {job.id for job in library.search(Search(owner="ann", limit=10_000))}
        assert set(accepted) <= stored
        # At most one of each thread was stored without an answer, as the database went away.
        assert len(stored) <= len(accepted) + len(threads)
