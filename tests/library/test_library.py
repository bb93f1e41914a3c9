"""Tests of the library: the life of a job, whose it is, search, and what is left on the disk."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from inference.errors import LibraryUnavailable
from inference.library.address import Place
from inference.library.leases import DIED
from inference.library.library import Library
from inference.library.limits import Limits
from inference.library.records import NewJob, Origin, Search, State
from inference.recipe.prompt_block import parse
from tests.support.library_jobs import (
    Clock,
    files_in,
    new_job,
    opened,
    outcome,
    picture_file,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture
def library(place: Place) -> Any:
    with opened(place) as library:
        yield library


# --- the life of a job ----------------------------------------------------------------------------


def test_an_accepted_job_is_there_as_it_was_given(library: Library) -> None:
    job = new_job(
        mask=picture_file(9), request={"text": "é"}, notes=("Scaled.",), callback="https://a.example",
        origin=Origin.REST, steps=3, negative_prompt="text",
    )  # fmt: skip
    stored = library.accept(job)
    assert library.get("ann", stored.id) == stored
    assert (stored.state, stored.origin, stored.attempts) == (State.QUEUED, Origin.REST, 0)
    assert parse(stored.recipe).recipe == job.recipe
    assert (stored.prompt, stored.style) == ("a garden", "drawn")
    assert library.read(stored.photo) == job.photo
    assert library.read(str(stored.mask)) == job.mask
    assert stored.request == {"text": "é"}
    assert stored.notes == ("Scaled.",)
    assert stored.created == datetime.fromtimestamp(1_800_000_000, UTC)
    assert stored.started is None
    assert not stored.pictures


def test_a_finished_job_has_its_pictures_and_the_seed_that_was_used(library: Library) -> None:
    library.accept(new_job(notes=("Scaled.",)))
    job = library.claim()
    assert job is not None
    done = outcome(1, 2, seed=41)
    assert library.finish(job.id, done)
    stored = library.get("ann", job.id)
    assert stored is not None
    assert stored.state is State.DONE
    assert parse(stored.recipe).recipe.seed == 41
    assert [library.read(name) for name in stored.pictures] == [p.file for p in done.pictures]
    assert [library.read(name) for name in stored.thumbnails] == [
        p.thumbnail for p in done.pictures
    ]
    assert stored.report == {"seed": 41}
    assert stored.notes == ("Scaled.", "Painted.")


def test_an_address_of_a_photo_is_not_stored(tmp_path: Path) -> None:
    secret = "https://example.org/secret.png"
    with opened(tmp_path) as library:
        stored = library.accept(new_job(input_image_url=secret, mask_image_url=secret))
        assert "example" not in stored.recipe
        everything = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
        assert b"secret.png" not in everything


def test_jobs_are_painted_in_the_order_in_which_they_were_accepted(library: Library) -> None:
    ids = [library.accept(new_job(owner)).id for owner in ("ann", "bob", "ann")]
    claimed = [library.claim() for _ in range(4)]
    assert [job and job.id for job in claimed] == [*ids, None]


@pytest.mark.parametrize(
    ("ending", "state", "error"),
    [
        (lambda library, job: library.fail(job, "It broke."), State.FAILED, "It broke."),
        (lambda library, job: library.cancel(job, "Stopped."), State.CANCELLED, "Stopped."),
        (lambda library, job: library.requeue(job), State.QUEUED, ""),
        (lambda library, job: library.finish(job, outcome(1)), State.DONE, ""),
    ],
)
def test_how_a_running_job_ends(
    library: Library, ending: Callable[[Library, int], object], state: State, error: str
) -> None:
    job = library.accept(new_job(), running=True)
    assert job.state is State.RUNNING
    ending(library, job.id)
    stored = library.get("ann", job.id)
    assert stored is not None
    assert (stored.state, stored.error) == (state, error)
    assert (stored.finished is not None) == state.has_ended
    assert stored.attempts == (0 if state is State.QUEUED else 1)


@pytest.mark.parametrize("ending", ["cancel", "fail", "delete", "finish"])
def test_what_has_ended_does_not_end_again_and_leaves_no_file(
    place: Place, library: Library, ending: str
) -> None:
    job = library.accept(new_job(), running=True).id
    {
        "cancel": lambda: library.cancel(job, "Stopped."),
        "fail": lambda: library.fail(job, "It broke."),
        "delete": lambda: library.delete("ann", job),
        "finish": lambda: library.finish(job, outcome(1)),
    }[ending]()
    before, files = library.get("ann", job), files_in(place)
    assert not library.finish(job, outcome(5, 6))
    library.fail(job, "Too late.")
    library.cancel(job, "Too late.")
    library.requeue(job)
    assert library.get("ann", job) == before
    assert files_in(place) == files


# --- whose it is ----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, -1, 2**63, 2**80, 999])
def test_a_number_that_no_job_has_finds_none(library: Library, number: int) -> None:
    assert library.get("ann", number) is None
    assert not library.delete("ann", number)
    assert not library.star("ann", number)


def test_another_owners_job_can_neither_be_seen_nor_changed(library: Library) -> None:
    job = library.accept(new_job("ann"), running=True)
    library.finish(job.id, outcome(1))
    stored = library.get("ann", job.id)
    assert stored is not None
    assert library.get("bob", job.id) is None
    assert not library.delete("bob", job.id)
    assert not library.star("bob", job.id)
    assert library.search(Search(owner="bob")) == []
    assert library.get("ann", job.id) == stored


@pytest.mark.parametrize("name", ["", "x", "../library.sqlite", "a" * 64, "/etc/passwd", "\0"])
def test_a_name_that_is_no_file_leads_nowhere(library: Library, name: str) -> None:
    assert library.picture(name) is None


# --- search ---------------------------------------------------------------------------------------

MADE = [
    ("ann", {"prompt": "An astronaut in a GARDEN"}),
    ("ann", {"prompt": "a garden at night", "negative_prompt": "people"}),
    ("bob", {"prompt": "a garden"}),
    ("ann", {"prompt": "Straße im Schnee", "style": "ink"}),
    ("ann", {"prompt": "100% wool, a_b"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, [5, 4, 2, 1]),
        ({"words": "garden"}, [2, 1]),
        ({"words": "GARDEN astro"}, [1]),
        ({"words": "garden snow"}, []),
        ({"words": "people"}, [2]),
        ({"words": "STRASSE"}, [4]),
        ({"words": "ink"}, [4]),
        ({"words": "%"}, [5]),
        ({"words": "a_b"}, [5]),
        ({"words": "'; DROP TABLE jobs; --"}, []),
        ({"words": "\ud800"}, []),
        ({"style": "ink"}, [4]),
        ({"owner": "bob"}, [3]),
        ({"owner": "eve"}, []),
        ({"before": 4}, [2, 1]),
        ({"offset": 1, "limit": 2}, [4, 2]),
        ({"limit": 0}, []),
        ({"starred": True}, [2]),
        ({"states": (State.DONE,)}, []),
        ({"states": (State.QUEUED, State.DONE)}, [5, 4, 2, 1]),
        ({"origin": Origin.REST}, []),
    ],
)
def test_a_search_finds(library: Library, wanted: dict[str, Any], found: list[int]) -> None:
    for owner, values in MADE:
        library.accept(new_job(owner, **values))
    library.star("ann", 2)
    assert [job.id for job in library.search(Search(**{"owner": "ann"} | wanted))] == found


@pytest.mark.parametrize(("seconds", "is_found"), [(59, False), (61, True)])
def test_a_repeated_request_is_found_by_its_fingerprint_for_a_while(
    place: Place, seconds: float, is_found: bool
) -> None:
    clock = Clock()
    with opened(place, clock=clock) as library:
        first = library.accept(new_job("ann", fingerprint="same"))
        library.accept(new_job("bob", fingerprint="same"))
        library.accept(new_job("ann", fingerprint="other"))
        clock.now += 60
        assert library.find_same("ann", "same", seconds) == (first if is_found else None)


# --- files and limits -----------------------------------------------------------------------------


def test_a_photo_of_several_jobs_is_one_file_until_the_last_of_them_goes(
    place: Place, library: Library
) -> None:
    one, two, other = (library.accept(new_job(photo=k)).id for k in (1, 1, 2))
    assert len(files_in(place)) == 2
    library.delete("ann", one)
    assert len(files_in(place)) == 2
    library.delete("ann", two)
    library.delete("ann", other)
    assert files_in(place) == []


@pytest.mark.parametrize(
    ("limits", "stay"),
    [
        (Limits(size=None, young=0), [1, 2, 3, 4, 5]),
        (Limits(size=70_000, young=0), [2, 4, 5]),
        (Limits(size=0, young=0), [2, 5]),
        (Limits(size=0, young=1000), [2, 4, 5]),
        (Limits(size=None, age=2500, young=0), [2, 3, 4, 5]),
        (Limits(size=None, age=400, young=0), [2, 5]),
        (Limits(size=None, age=500, young=10_000), [1, 2, 3, 4, 5]),
    ],
)
def test_the_oldest_go_first_but_no_star_nothing_young_and_nothing_that_waits(
    place: Place, limits: Limits, stay: list[int]
) -> None:
    """Jobs of 30 kB, 1000 seconds apart; the second has a star and the last one waits."""
    clock = Clock()
    with opened(place, clock=clock) as library:
        for number in range(1, 5):
            job = library.accept(new_job(photo=number), running=True)
            library.finish(job.id, outcome(number))
            clock.now += 1000
        clock.now -= 500
        library.star("ann", 2)
        library.accept(new_job(photo=5))
    with opened(place, limits, clock) as library:
        assert library.enforce_limits() == 5 - len(stay)
        left = library.search(Search(owner="ann"))
        assert sorted(job.id for job in left) == stay
        names = {name for job in left for name in (job.photo, *job.pictures, *job.thumbnails)}
        assert set(files_in(place)) == names


# --- start and end --------------------------------------------------------------------------------


def test_after_a_crash_the_cut_off_jobs_are_painted_first_and_given_up_the_second_time(
    tmp_path: Path,
) -> None:
    with opened(tmp_path) as library:
        for photo in range(3):
            library.accept(new_job(photo=photo))
        assert library.claim().id == 1
    with opened(tmp_path) as library:
        assert library.notes == ("1 jobs that were cut off are painted again.",)
        assert library.claim().id == 1
    with opened(tmp_path) as library:
        assert library.notes == ("1 jobs that ended the server twice are given up.",)
        first = library.get("ann", 1)
        assert (first.state, first.error) == (State.FAILED, DIED)
        assert library.claim().id == 2


def test_a_job_that_was_put_back_has_not_been_tried(tmp_path: Path) -> None:
    for _ in range(4):
        with opened(tmp_path) as library:
            if not library.search(Search(owner="ann")):
                library.accept(new_job())
            job = library.claim()
            assert job.attempts == 1
            library.requeue(job.id)


def test_files_of_no_job_are_deleted_at_the_start_and_those_of_others_are_not(
    tmp_path: Path,
) -> None:
    with opened(tmp_path) as library:
        kept = library.accept(new_job(photo=1))
        names = [library._storage.files.write(picture_file(k)) for k in (2, 3)]
    (tmp_path / "files" / names[0][:2] / ".0123456789abcdef.part").write_bytes(b"half")
    (tmp_path / "files" / "mine.txt").write_text("mine")
    (tmp_path / "files" / names[0][:2] / "mine.txt").write_text("mine")
    with opened(tmp_path):
        assert files_in(tmp_path) == sorted([kept.photo, "mine.txt", "mine.txt"])


def test_a_second_server_is_told_in_one_sentence(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from inference.library.library import Library; "
        f"Library(Path({str(tmp_path)!r}))"
    )
    with opened(tmp_path):
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
        )
    assert "Another server uses the library" in done.stderr
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_a_closed_library_can_be_opened_again_in_this_process(tmp_path: Path) -> None:
    with opened(tmp_path) as library:
        library.accept(new_job())
    with opened(tmp_path) as library:
        assert len(library.search(Search(owner="ann"))) == 1


def test_a_folder_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(LibraryUnavailable, match="give another --library"):
        Library(tmp_path / "file")


def test_twenty_threads_at_once_lose_and_mix_up_nothing(library: Library) -> None:
    claimed: list[int] = []
    lock = threading.Lock()

    def one(number: int) -> tuple[int, NewJob]:
        job = new_job(f"owner {number % 5}", photo=number)
        stored = library.accept(job)
        mine = library.claim()
        if mine is not None:
            with lock:
                claimed.append(mine.id)
            library.finish(mine.id, outcome(mine.id))
        return stored.id, job

    with ThreadPoolExecutor(20) as pool:
        accepted = list(pool.map(one, range(60)))
    assert sorted(claimed) == sorted(number for number, _ in accepted)
    for number, job in accepted:
        stored = library.get(job.owner, number)
        assert stored is not None
        assert library.read(stored.photo) == job.photo
        assert library.read(stored.pictures[0]) == outcome(number).pictures[0].file
