"""Tests of where a library may be, of passwords that are nowhere shown, and of what is refused."""

from __future__ import annotations

import io
import logging
import sqlite3
import sys
import traceback
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from inference.__main__ import main
from inference.errors import LibraryUnavailable, NotStored
from inference.library import stored_files
from inference.library.address import Place, Shared, SharedFolder, place_of, store_folder
from inference.library.library import Library
from inference.library.opening import DATABASE, open_storage
from inference.library.postgresql import Postgresql
from inference.library.records import Search, State
from inference.library.schema import MIGRATIONS, connect
from inference.library.stored_files import ObjectFiles, StoredFiles, name_of
from inference.library.tokens import digest_of
from inference.serving.job_records import opened_library
from inference.serving.options import LIBRARY, LIBRARY_FILES, Options
from tests.support.library_jobs import files_in, new_job, opened, outcome, picture_file, place_for
from tests.support.postgresql import PASSWORD, USER, PostgresqlServer

SECRET = "hunter2"
DATABASE_URL = f"postgresql://ann:{SECRET}@db.example:5432/pictures"


# --- addresses ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("library", "files", "place"),
    [
        ("/data/lib", "", Path("/data/lib")),
        ("off", "", Path("off")),
        (DATABASE_URL, "s3://b/c", Shared(database=DATABASE_URL, files="s3://b/c")),
        ("postgres:///name", "/mnt/x", Shared(database="postgres:///name", files="/mnt/x")),
        ("postgresql://h/n?sslmode=require", "gs://b", None),
        ("postgresql://u@[::1]:5432/n", "file:///mnt/x", None),
        ("postgresql://u@one:1,two:2/n", "memory://x", None),
    ],
)
def test_a_place_is_a_folder_or_a_database_with_a_store(
    library: str, files: str, place: Place | None
) -> None:
    assert place_of(library, files) == (place or Shared(database=library, files=files))


@pytest.mark.parametrize(
    ("library", "files"),
    [
        ("", ""),
        ("a\nb", ""),
        ("\0", ""),
        ("/data/lib", f"s3://{SECRET}"),
        *(
            (text, "s3://b")
            for text in (
                f"mysql://ann:{SECRET}@h/n",
                f"sqlite:///{SECRET}",
                f"http://ann:{SECRET}@h/n",
                f"postgresql://ann:{SECRET}",
                f"postgresql://ann:{SECRET}@h",
                f"postgresql://ann:{SECRET}@h/",
                f"postgresql://ann:{SECRET}#1@h/n",
                f"postgresql://ann:{SECRET}/1@h/n",
                f"postgresql://ann:{SECRET}?1@h/n",
                f"postgresql://ann:{SECRET}@@h/n",
                f"postgresql://ann:{SECRET}@h/n\n",
                f"postgresql://ann:{SECRET}@h/n m",
                f"postgresql://ann:{SECRET}@h/n/m",
                f"postgresql://ann:{SECRET}@h/n; DROP TABLE jobs",
                f"postgresql+driver://ann:{SECRET}@h/n",
            )
        ),
        *(
            (DATABASE_URL, text)
            for text in (
                f"s3://key:{SECRET}@bucket/x",
                f"s3://{SECRET}/../x",
                f"s3://{SECRET}?endpoint=http://evil",
                f"simplecache::s3://{SECRET}",
                f"file://x::s3://{SECRET}",
                f"https://h/{SECRET}",
                f"ftp://h/{SECRET}",
                f"github://h:{SECRET}@x/",
                f"s3://{SECRET}\n",
                f"s3://{SECRET}/a b",
                f"/mnt/{SECRET}\0",
                "s3://",
                "file://",
            )
        ),
    ],
)
def test_a_wrong_address_is_refused_without_showing_it(library: str, files: str) -> None:
    with pytest.raises(LibraryUnavailable) as told:
        place_of(library, files)
    assert str(told.value).endswith(".")
    assert SECRET not in str(told.value)


@pytest.mark.parametrize(
    ("database", "shown"),
    [
        (DATABASE_URL, "db.example:5432/pictures"),
        (f"postgresql://h/n?password={SECRET}", "h/n"),
        (f"postgresql://ann:{SECRET}@/n?host=/run", "this machine/n"),
    ],
)
def test_a_database_is_shown_by_host_and_name_alone(database: str, shown: str) -> None:
    place = Shared(database=database, files="s3://b")
    assert place.shown == shown
    assert SECRET not in f"{place} {place!r} {Options(library=place)!r}"


# --- options --------------------------------------------------------------------------------------


def test_the_environment_may_say_where_the_library_is() -> None:
    given = {LIBRARY: DATABASE_URL, LIBRARY_FILES: "s3://b/c"}
    assert Options.read("", [], given).library == Shared(database=DATABASE_URL, files="s3://b/c")
    assert Options.read("", ["--library", "off"], given).library is None


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--library", f"mysql://{SECRET}"], "correct --library"),
        (["--library", DATABASE_URL], "give --library-files"),
        (["--library", DATABASE_URL, "--library-files", f"ftp://{SECRET}"], "--library-files"),
        (["--library", "/data", "--library-files", f"s3://{SECRET}"], "give no --library-files"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    with pytest.raises(SystemExit):
        Options.read("", arguments, {})
    error = capsys.readouterr().err.split("error: ")[-1]
    assert told in error
    assert SECRET not in error


def test_help_shows_no_address_of_the_environment(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        Options.read("", ["--help"], {LIBRARY: DATABASE_URL, LIBRARY_FILES: "s3://b"})
    assert SECRET not in capsys.readouterr().out


# --- a database that refuses ----------------------------------------------------------------------


def sql(server: PostgresqlServer, *statements: str) -> None:
    with psycopg.connect(server.address("library"), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


REFUSALS: list[tuple[Callable[[PostgresqlServer], str], str]] = [
    (lambda server: server.address("library", f"{USER}:{SECRET}"), "refuses the user"),
    (lambda server: server.address("library", f"nobody:{SECRET}"), "refuses the user"),
    (lambda server: server.address("no_such"), "does not exist: create it"),
    (lambda _: f"postgresql://ann:{SECRET}@/n?host=/no/such/folder", "does not answer"),
    (lambda _: f"postgresql://ann:{SECRET}@127.0.0.1:1/n", "does not answer"),
    (lambda _: f"postgresql://ann:{SECRET}@/n?nonsense=1", "correct --library"),
    (lambda _: f"postgresql://ann:{SECRET}%zz@/n", "correct --library"),
    (lambda server: server.address("library", f"poor:{SECRET}"), "grant CREATE"),
]


@pytest.mark.parametrize(("address", "sentence"), REFUSALS)
def test_a_database_that_refuses_is_told_in_one_sentence_without_the_password(
    tmp_path: Path,
    postgresql: PostgresqlServer,
    caplog: pytest.LogCaptureFixture,
    address: Callable[[PostgresqlServer], str],
    sentence: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    postgresql.create()
    sql(postgresql, "DROP ROLE IF EXISTS poor", f"CREATE ROLE poor LOGIN PASSWORD '{SECRET}'")
    place = Shared(database=address(postgresql), files=str(tmp_path))
    with pytest.raises(LibraryUnavailable, match=sentence) as told:
        Library(place)
    whole = "".join(traceback.format_exception(told.value)) + caplog.text
    assert not {SECRET, PASSWORD, "s3cret"} & set(whole.replace("'", " ").split())
    assert SECRET not in whole
    assert "s3cret" not in whole
    with pytest.raises(SystemExit, match=sentence), opened_library(Options(library=place)):
        pass  # a server of many ends, and is started again


def test_a_newer_library_in_a_database_is_left_as_it_is(
    tmp_path: Path, postgresql: PostgresqlServer
) -> None:
    place = place_for("postgresql", tmp_path, postgresql)
    with opened(place) as library:
        job = library.accept(new_job()).id
    sql(postgresql, "UPDATE masquerade.version SET number = number + 1")
    with pytest.raises(LibraryUnavailable, match=r"newer Masquerade.*update Masquerade"):
        Library(place)
    sql(postgresql, "UPDATE masquerade.version SET number = number - 1")
    with opened(place) as library:
        assert library.find(job).state is State.QUEUED


def test_tables_of_other_programs_in_the_database_are_left_alone(
    tmp_path: Path, postgresql: PostgresqlServer
) -> None:
    place = place_for("postgresql", tmp_path, postgresql)
    sql(postgresql, "DROP TABLE IF EXISTS public.jobs", "CREATE TABLE public.jobs (mine text)")
    sql(postgresql, "INSERT INTO public.jobs VALUES ('kept')")
    with opened(place) as library:
        assert library.delete("ann", library.accept(new_job()).id)
    with psycopg.connect(postgresql.address("library")) as connection:
        assert connection.execute("SELECT mine FROM public.jobs").fetchall() == [("kept",)]


# --- older versions -------------------------------------------------------------------------------

OLD_JOB = """
INSERT INTO jobs (owner, origin, state, created, updated, recipe, prompt, style, words, request,
notes, fingerprint, callback) VALUES ('ann', 'page', 'queued', 1, 1, 'a garden', 'a garden', '',
'a garden', '{}', '[]', '', '')
"""
OLD_FILE = "INSERT INTO files (job, role, position, name, size) VALUES (1, 'photo', 0, '{}', 9)"


@pytest.mark.parametrize("kind", ["folder", "shared folder", "postgresql"])
def test_a_library_of_the_first_version_is_brought_to_this_one(
    tmp_path: Path, postgresql: PostgresqlServer, kind: str
) -> None:
    place = place_for(kind, tmp_path, postgresql)
    name = StoredFiles(tmp_path / "files").write(picture_file(1))
    if isinstance(place, Shared):
        with closing(Postgresql(place, MIGRATIONS[:1])) as old:
            old.execute(OLD_JOB)
            old.execute(OLD_FILE.format(name))
    else:
        with closing(connect(tmp_path / DATABASE, MIGRATIONS[:1])) as older:
            older.execute(OLD_JOB)
            older.execute(OLD_FILE.format(name))
    with opened(place) as library:
        job = library.claim()
        assert (job.id, library.read(job.photo)) == (1, picture_file(1))
        assert library.finish(1, outcome(1))
        assert library.delete("ann", 1)
        assert files_in(place) == []


# --- stores of files ------------------------------------------------------------------------------


@pytest.mark.parametrize("module", ["fsspec", "adlfs"])
def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(LibraryUnavailable, match="pip install adlfs"):
        stored_files.files_at("az://bucket/folder")


def test_without_the_driver_a_database_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "inference.library.postgresql")
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(LibraryUnavailable, match=r"pip install -r requirements-ray\.txt"):
        open_storage(Shared(database=DATABASE_URL, files=str(tmp_path)))


def test_an_object_store_keeps_files_by_their_content() -> None:
    files = ObjectFiles("memory://store/of files".replace(" ", "-"))
    name = files.write(picture_file(1))
    assert name == name_of(picture_file(1)) == files.write(picture_file(1))
    assert files.read(name) == picture_file(1)
    assert files.delete(name)
    assert files.delete(name)
    with pytest.raises(FileNotFoundError):
        files.read(name)
    for wrong in ("", "../x", "a" * 64, f"{name}/x"):
        with pytest.raises(ValueError, match="no file of the library"):
            files.read(wrong)


class Broken:
    """A store that fails as those of the cloud do."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def pipe_file(self, *_: object) -> None:
        raise self.error

    cat_file = rm_file = pipe_file


class CloudError(Exception):
    """An error that is no OSError."""


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (PermissionError(SECRET), "refuses access: check the keys"),
        (OSError(SECRET), "does not answer: check the network"),
        (TimeoutError(SECRET), "does not answer: check the network"),
        (CloudError(SECRET), "does not answer: check the network"),
    ],
)
def test_a_store_that_fails_is_told_and_no_job_is_accepted(
    tmp_path: Path,
    postgresql: PostgresqlServer,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    sentence: str,
) -> None:
    monkeypatch.setattr(stored_files, "ERRORS", ((__name__, "CloudError"),))
    place = place_for("postgresql with objects", tmp_path, postgresql)
    with opened(place) as library:
        with monkeypatch.context() as patch:
            patch.setattr(library._storage.files, "_store", Broken(error))
            with pytest.raises(NotStored, match=sentence) as told:
                library.accept(new_job())
            assert SECRET not in str(told.value)
        assert library.search(Search(owner="ann")) == []
        assert library.accept(new_job()).state is State.QUEUED


# --- tokens ---------------------------------------------------------------------------------------


def test_the_command_makes_a_token_in_a_database(
    tmp_path: Path, postgresql: PostgresqlServer
) -> None:
    place = place_for("postgresql", tmp_path, postgresql)
    assert isinstance(place, Shared)
    out, err = io.StringIO(), io.StringIO()
    with opened(place) as library:
        assert main(["token", "ann", "--library", place.database], out, err) == 0
        assert library.token_owner(digest_of(out.getvalue().strip())) == "ann"
        wrong = postgresql.address("library", f"{USER}:{SECRET}")
        assert main(["token", "ann", "--library", wrong], out, err) == 2
        assert "refuses the user" in err.getvalue()
        assert SECRET not in err.getvalue()


# --- a folder of several processes ----------------------------------------------------------------


def test_a_folder_is_one_processs_or_shared_but_not_both(tmp_path: Path) -> None:
    shared = SharedFolder(path=tmp_path)
    with opened(shared), opened(shared), pytest.raises(LibraryUnavailable, match="Another server"):
        Library(tmp_path)
    with opened(tmp_path), pytest.raises(LibraryUnavailable, match="Another server"):
        Library(shared)


def test_a_damaged_shared_folder_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / DATABASE).write_bytes(b"no database at all" * 500)
    with pytest.raises(LibraryUnavailable, match="give another --library"):
        Library(SharedFolder(path=tmp_path))
    assert (tmp_path / DATABASE).read_bytes() == b"no database at all" * 500


def test_a_store_is_a_folder_or_not(tmp_path: Path) -> None:
    assert store_folder(str(tmp_path)) == store_folder(f"file://{tmp_path}") == tmp_path
    assert store_folder("s3://bucket") is None
    assert sqlite3.threadsafety == 3  # what sharing one connection among threads needs
