"""Tests of what a page's jobs leave in the library, with a real server and tiny models."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
import numpy as np
import pytest
from PIL import Image

from inference import Recipe
from inference.errors import Cancelled, MasqueradeError, ModelFailed, NotStored
from inference.library.library import Library
from inference.library.records import LOCAL_OWNER, Origin, Search, State, StoredJob
from inference.picture import png_metadata
from inference.picture.file_header import without_metadata
from inference.picture.geometry import Box
from inference.picture.photo import Photo
from inference.picture.result import Result
from inference.recipe.prompt_block import parse
from inference.serving.job_records import LEFT, JobRecord, opened_library
from inference.serving.options import Options
from inference.serving.owners import COOKIE, Owners, browser_of
from inference.serving.request import PaintRequest, grid_of
from inference.studio.grid import GridResult
from tests.support.library_jobs import files_in, new_job
from tests.support.page_server import FIELDS, Server, coloured, outcome, png, tiny_server, upload
from tools.visitor import Visitor

PHOTO = coloured((200, 30, 40))


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    library = Library(tmp_path / "library")
    yield library
    library.close()


def request(**values: Any) -> PaintRequest:
    recipe = values.pop("recipe", Recipe(prompt="a garden", seed=5, style="drawn"))
    return PaintRequest(
        photo=Photo.of(PHOTO), recipe=recipe, **{"owner": "ann", "photo_file": png(PHOTO)} | values
    )


def result(recipe: Recipe | None = None, **values: Any) -> Result:
    size = (PHOTO.shape[1], PHOTO.shape[0])
    return Result(
        images=(255 - PHOTO,), original=PHOTO, mask=np.full(PHOTO.shape[:2], 255, np.uint8),
        control_map=None, box=Box.whole(size), recipe=recipe or request().recipe, seconds={},
        kept_pixels=0, kept_pixels_changed=0, **values,
    )  # fmt: skip


def jobs(library: Library, owner: str = "ann") -> list[StoredJob]:
    return library.search(Search(owner=owner))


# --- how a job ends -------------------------------------------------------------------------------


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize(
    ("error", "page", "queue", "reason"),
    [
        (Cancelled(), State.CANCELLED, State.CANCELLED, str(Cancelled())),
        (MasqueradeError("It broke."), State.FAILED, State.FAILED, "It broke."),
        (RuntimeError("secret"), State.FAILED, State.FAILED, str(ModelFailed())),
        (GeneratorExit(), State.CANCELLED, State.QUEUED, LEFT),
    ],
)
def test_a_job_that_gives_no_picture_says_why(
    library: Library, error: BaseException, page: State, queue: State, reason: str, stored: bool
) -> None:
    number = None
    if stored:
        library.accept(new_job())
        claimed = library.claim()
        assert claimed is not None
        number = claimed.id

    def work() -> None:
        with JobRecord(library, request(stored=number)):
            assert jobs(library)[0].state is State.RUNNING
            raise error

    with pytest.raises(type(error)):
        work()
    (job,) = jobs(library)
    expected = queue if stored else page
    assert (job.state, job.error) == (expected, "" if expected is State.QUEUED else reason)


def test_a_job_without_an_owner_or_a_library_is_not_kept(library: Library) -> None:
    with JobRecord(library, request(owner=None)) as record:
        assert record.done(result()).notes == ()
    with JobRecord(None, request()) as record:
        assert record.done(result()).notes == ()
    assert jobs(library) == []


def test_a_grid_is_a_job_for_each_cell(library: Library) -> None:
    grid = grid_of(request().recipe, ["drawn", "ink"], None)
    assert grid is not None
    done = GridResult(
        grid=grid, results=(result(), None), failures={grid.cells[1].label: "No ink."}
    )
    with JobRecord(library, request(grid=grid)) as record:
        assert [job.state for job in jobs(library)] == [State.RUNNING] * 2
        record.done(done)
    ink, drawn = jobs(library)
    assert (drawn.style, drawn.state, len(drawn.pictures)) == ("drawn", State.DONE, 1)
    assert (ink.style, ink.state, ink.error) == ("ink", State.FAILED, "No ink.")
    assert ink.photo == drawn.photo


def test_a_retouched_picture_takes_the_place_of_the_one_before(library: Library) -> None:
    plain = request().recipe
    grainy = plain.model_copy(update={"film_grain": True})
    for recipe, is_retouch in ((plain, False), (grainy, True)):
        with JobRecord(library, request(recipe=recipe, is_retouch=is_retouch)) as record:
            record.done(result(recipe))
    (job,) = jobs(library)
    assert parse(job.recipe).recipe.film_grain
    library.star("ann", job.id)
    with JobRecord(library, request(recipe=plain, is_retouch=True)) as record:
        record.done(result(plain))
    assert len(jobs(library)) == 2


def test_what_cannot_be_kept_is_shown_all_the_same_and_said(library: Library) -> None:
    library._storage._connection.execute("PRAGMA max_page_count = 1")
    long = Recipe(prompt="x" * 10_000, style="drawn")
    with suppress(NotStored):
        while True:
            library.accept(new_job(prompt="x" * 9000))
    before = len(jobs(library))
    with JobRecord(library, request(recipe=long)) as record:
        shown = record.done(result(long))
    (note,) = shown.notes
    assert note.startswith("Not kept: The disk of the library is full")
    assert len(jobs(library)) == before


@pytest.mark.parametrize("holder", ["another server", "a file"])
def test_a_server_that_cannot_have_the_library_says_so_and_goes_on_without(
    library: Library, tmp_path: Path, caplog: pytest.LogCaptureFixture, holder: str
) -> None:
    folder = tmp_path / ("library" if holder == "another server" else "file")
    if holder == "a file":
        folder.write_text("x")
    with opened_library(Options(library=folder)) as opened:
        assert opened is None
    (told,) = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert "--library" in told
    assert told.endswith("This server keeps no library.")


# --- files ----------------------------------------------------------------------------------------


def jpeg(orientation: int, **more: Any) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "SecretCamera"
    exif.get_ifd(0x8825)[1] = "N"
    file = io.BytesIO()
    Image.fromarray(PHOTO).save(file, "JPEG", exif=exif, quality=95, comment=b"SecretWords", **more)
    return file.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_kept_jpeg_is_the_same_picture_without_place_and_camera(orientation: int) -> None:
    data = jpeg(orientation)
    assert b"Secret" in data
    kept = without_metadata(data)
    assert b"Secret" not in kept
    assert Photo.open(kept).digest == Photo.open(data).digest
    assert without_metadata(kept) == kept


@pytest.mark.parametrize("source", [Path("/nowhere/photo.jpg"), None, b"no picture"])
def test_without_its_file_the_photos_pixels_are_kept(library: Library, source: Any) -> None:
    with JobRecord(library, request(photo_file=source)):
        (job,) = jobs(library)
    kept = library.read(job.photo)
    if source != b"no picture":
        np.testing.assert_array_equal(Photo.open(kept).pixels, PHOTO)


# --- on a server ----------------------------------------------------------------------------------


def test_a_job_of_an_endpoint_is_kept_with_what_gives_it_again(
    running: Server, client: httpx.Client
) -> None:
    file = upload(client, jpeg(6), "photo.jpg")
    kind, (report,) = outcome(client, "paint", file, {**FIELDS, "num_images": 2}, None)
    assert kind == "complete"
    job = jobs(running.library, LOCAL_OWNER)[0]
    assert (job.state, job.origin) == (State.DONE, Origin.COMMAND)
    assert job.report["seed"] == report["seed"] == FIELDS["seed"]
    assert parse(job.recipe).recipe == Recipe.parse(report["recipe"])
    for k, name in enumerate(job.pictures):
        data = running.library.read(name)
        answer = client.get(f"/gradio_api/file={report['images'][k]['path']}")
        assert data == answer.content
        found = png_metadata.read(data)
        assert found is not None
        assert found.recipe.seed == FIELDS["seed"] + k
        thumbnail = Image.open(io.BytesIO(running.library.read(job.thumbnails[k])))
        assert (thumbnail.format, max(thumbnail.size) <= 384) == ("JPEG", True)
    assert Photo.open(running.library.read(job.photo)).size == (120, 96)


def test_a_job_of_the_page_is_kept_and_a_wrong_one_with_its_reason(
    running: Server, client: httpx.Client
) -> None:
    visitor = Visitor(client)
    with visitor.here():
        visitor.upload(png(PHOTO))
        visitor.paint(**FIELDS | {"controlnet": "unset", "prompt": "on the page"})
        done = jobs(running.library, LOCAL_OWNER)[0]
        assert (done.state, done.origin, done.prompt) == (State.DONE, Origin.PAGE, "on the page")
        visitor.paint(**FIELDS | {"controlnet": "unset", "mask_strokes": "", "mask_prompt": ""})
    failed = jobs(running.library, LOCAL_OWNER)[0]
    assert failed.state is State.FAILED
    assert failed.error.endswith(".")


def test_each_browser_of_a_shared_page_and_each_user_has_their_own(
    tiny_catalog: Path, tmp_path: Path
) -> None:
    shared = ("--allowed-host", "page.example")
    with tiny_server(tiny_catalog, tmp_path, *shared) as server:
        owners = set()
        for _ in range(2):
            with server.client() as client:
                answer = client.get("/")
                header = answer.headers["set-cookie"]
                assert header.startswith(f"{COOKIE}=")
                assert "HttpOnly" in header
                assert "set-cookie" not in client.get("/").headers
                file = upload(client, png(PHOTO))
                assert outcome(client, "paint", file, FIELDS, None)[0] == "complete"
                value = browser_of(f"{COOKIE}={client.cookies[COOKIE]}")
                owner = Owners(Options(hosts=("page.example",))).of(
                    gr.Request(httpx.Request("GET", "/", headers={"cookie": f"{COOKIE}={value}"}))
                )
                assert len(jobs(server.library, str(owner))) == 1
                owners.add(owner)
        assert len(owners) == 2
        with server.client() as stranger:
            files = files_in(tmp_path / "library")
            file = upload(stranger, png(coloured((1, 2, 3))))
            assert outcome(stranger, "paint", file, FIELDS, None)[0] == "complete"
            assert files_in(tmp_path / "library") == files


@pytest.mark.parametrize(
    ("options", "username", "cookie", "owner"),
    [
        (Options(), None, "", LOCAL_OWNER),
        (Options(auth=(("ann", "x"),)), "ann", "", "ann"),
        (Options(auth=(("ann", "x"),)), None, "", None),
        (Options(auth=(("ann", "x"),), share=True), "ann", f"{COOKIE}={'0' * 32}", "ann"),
        (Options(share=True), None, "", None),
        (Options(share=True), None, f"{COOKIE}=short", None),
        (Options(share=True), None, f"{COOKIE}={'0' * 32}",
         "browser-84e0c0eafaa95a34c293f278ac52e45c"),
        (Options(share=True), None, f"a=b; {COOKIE}={'0' * 32}; c=d",
         "browser-84e0c0eafaa95a34c293f278ac52e45c"),
    ],
)  # fmt: skip
def test_whose_a_request_is(
    options: Options, username: str | None, cookie: str, owner: str | None
) -> None:
    request = httpx.Request("GET", "/", headers={"cookie": cookie})
    assert Owners(options).of(gr.Request(request, username)) == owner
    assert Owners(options).of(None) is None
