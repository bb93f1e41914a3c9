"""Tests of temporary files: kept files, sweeps, and files of others."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from inference.serving.temporary_files import PREFIX, Limits, TemporaryFiles, temporary_files

DAY = 86_400


def file(work: TemporaryFiles, name: str, *, age: float = 0, size: int = 10) -> Path:
    """A file of a job, written `age` seconds ago."""
    path = work.folder("someone") / name
    path.write_bytes(b"x" * size)
    os.utime(path, (time.time() - age,) * 2)
    return path


@pytest.mark.parametrize(
    ("limits", "ages", "stay"),
    [
        (Limits(), [0, 3600, DAY - 60], [0, 3600, DAY - 60]),
        (Limits(), [0, DAY + 60, 9 * DAY], [0]),
        (Limits(files=2), [100, 200, 300, 400], [100, 200]),
        (Limits(size=25), [100, 200, 300, 400], [100, 200]),
        (Limits(files=1), [0, 10, 20, 300], [0, 10, 20]),
        (Limits(files=0, young=0), [1, 2], []),
    ],
)
def test_the_oldest_go_first_and_young_ones_never(
    tmp_path: Path, limits: Limits, ages: list[int], stay: list[int]
) -> None:
    work = TemporaryFiles(tmp_path, limits)
    for age in ages:
        file(work, str(age), age=age)
    work.sweep()
    left = sorted(int(path.name) for path in work.root.rglob("*") if path.is_file())
    assert left == stay


def test_what_belongs_to_the_page_stays(tmp_path: Path) -> None:
    work = TemporaryFiles(tmp_path)
    example, old = file(work, "example", age=9 * DAY), None
    work.start_sweeping()
    old = file(work, "old", age=9 * DAY)
    work.sweep()
    assert example.exists()
    assert not old.exists()
    work.close()


def test_what_is_in_use_is_young_and_what_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    work = TemporaryFiles(tmp_path)
    used, other = file(work, "used", age=9 * DAY), tmp_path / "other"
    other.touch()
    os.utime(other, (0, 0))
    for path in (used, other, work.root / "not there"):
        work.touch(path)
    work.sweep()
    assert used.exists()
    assert other.stat().st_mtime == 0


def test_empty_folders_go_but_not_those_just_made(tmp_path: Path) -> None:
    work = TemporaryFiles(tmp_path)
    empty, new = work.folder("one"), work.folder("two")
    os.utime(empty, (time.time() - 100,) * 2)
    work.sweep()
    assert not empty.exists()
    assert new.exists()


def test_what_a_session_had_goes_some_time_after_its_end(tmp_path: Path) -> None:
    work = TemporaryFiles(tmp_path, Limits(grace=100))
    mine, other = work.folder("mine") / "a", work.folder("other") / "a"
    mine.touch()
    other.touch()
    work.end_session("mine")
    work.sweep()
    assert mine.exists(), "the connection may only have been lost"
    os.utime(mine, (mine.stat().st_mtime - 101,) * 2)
    work.sweep()
    assert not mine.exists()
    assert other.exists()


def test_what_was_replaced_goes_when_nobody_can_be_asking_for_it(tmp_path: Path) -> None:
    work = TemporaryFiles(tmp_path, Limits(young=100))
    replaced, other = work.folder("mine") / "a", work.folder("mine") / "a"
    replaced.touch()
    other.touch()
    work.delete_later(replaced.parent)
    work.sweep()
    assert replaced.exists(), "a browser may not have heard of it yet"
    os.utime(replaced, (replaced.stat().st_mtime - 101,) * 2)
    work.sweep()
    assert not replaced.exists()
    assert other.exists()


@pytest.mark.parametrize(
    "session", [None, "", "x", "../../etc", "/etc", "a/b", "\ud800", "x" * 999]
)
def test_a_session_is_never_a_path(tmp_path: Path, session: str | None) -> None:
    work = TemporaryFiles(tmp_path)
    folder = work.folder(session)
    assert folder.parent.parent == work.root / "results"
    work.end_session(session)
    work.drop(folder)
    assert not folder.exists()


def test_nothing_but_folders_of_jobs_can_be_dropped(tmp_path: Path) -> None:
    work = TemporaryFiles(tmp_path)
    for other in (tmp_path, work.root, None):
        work.drop(other)
        work.delete_later(other)
    assert work.root.is_dir()


def test_folders_of_killed_servers_go_and_those_of_others_stay(tmp_path: Path) -> None:
    for name, age in ((f"{PREFIX}dead", 2 * DAY), (f"{PREFIX}alive", 60), ("gradio", 9 * DAY)):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    TemporaryFiles(tmp_path)
    assert not (tmp_path / f"{PREFIX}dead").exists()
    assert (tmp_path / f"{PREFIX}alive").exists()
    assert (tmp_path / "gradio").exists()


def test_everything_goes_at_the_end_and_the_surroundings_are_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for before in (str(tmp_path), None):
        if before is None:
            monkeypatch.delenv("SOME_FOLDER", raising=False)
        else:
            monkeypatch.setenv("SOME_FOLDER", before)
        with temporary_files("SOME_FOLDER", None if before else tmp_path) as work:
            assert work.root.parent == tmp_path.resolve()
            assert os.environ["SOME_FOLDER"] == str(work.root)
            assert work.root.stat().st_mode & 0o077 == 0, "nobody else may look in"
            file(work, "x")
        assert os.environ.get("SOME_FOLDER") == before
        assert not any(tmp_path.iterdir())
