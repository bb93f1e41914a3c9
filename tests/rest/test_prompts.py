"""Tests of the REST service's prompts, with a real server and tiny models."""

from __future__ import annotations

import base64
import io
import json
import re
import sqlite3
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from inference.catalog.catalog import Catalog
from inference.library.records import LOCAL_OWNER, Search
from inference.picture import png_metadata
from inference.recipe.prompt_block import parse
from tests.support.library_jobs import noise_file
from tests.support.page_server import (
    FIELDS,
    Server,
    coloured,
    outcome,
    png,
    tiny_server,
    upload,
    wait_until,
)
from tests.support.rest_client import SETTINGS, TEXT, TUNE, create, ended, form, rest_client

PIXELS = coloured((200, 30, 40))
PHOTO = png(PIXELS)
BASE64 = base64.b64encode(PHOTO).decode()
PROMPTS = f"/tunes/{TUNE}/prompts"
SENTENCE = re.compile(r"[^\n]{10,400}[.…]")


@pytest.fixture
def ann(running: Server) -> Iterator[httpx.Client]:
    with rest_client(running, "ann") as client:
        yield client


@pytest.fixture
def bob(running: Server) -> Iterator[httpx.Client]:
    with rest_client(running, "bob") as client:
        yield client


def send(client: httpx.Client, **prompt: Any) -> httpx.Response:
    """Send a prompt as JSON."""
    return client.post(PROMPTS, json={"prompt": prompt})


# --- one prompt -----------------------------------------------------------------------------------


def test_a_prompt_is_accepted_painted_and_its_pictures_can_be_fetched(
    running: Server, ann: httpx.Client
) -> None:
    answer = create(ann, PHOTO, num_images=2)
    assert answer.status_code == 201, answer.text
    prompt = answer.json()
    assert (prompt["text"], prompt["steps"], prompt["seed"]) == (TEXT, 2, 5)
    assert prompt["tune_id"] == TUNE
    assert prompt["trained_at"] is None
    assert prompt["images"] == []
    assert prompt["url"] == f"{running.url}{PROMPTS}/{prompt['id']}.json"
    done = ended(ann, prompt)
    assert ann.get(prompt["url"]).json() == done
    for name in ("trained_at", "started_training_at", "created_at", "updated_at"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", done[name])
        datetime.fromisoformat(done[name])
    assert done["kept_pixels_changed"] == 0
    assert len(done["images"]) == 2
    for k, url in enumerate(done["images"]):
        picture = httpx.get(url)  # without a token
        assert picture.headers["content-type"] == "image/png"
        found = png_metadata.read(picture.content)
        assert found is not None
        assert (found.recipe.prompt, found.recipe.seed) == (TEXT, 5 + k)


BASE_FIELDS = {
    "id", "callback", "text", "negative_prompt", "cfg_scale", "steps", "seed", "trained_at",
    "started_training_at", "created_at", "updated_at", "tune_id", "url", "images", "state",
    "error", "notes", "kept_pixels_changed",
}  # fmt: skip


def test_a_prompt_object_has_the_fields_that_all_have_and_those_that_were_given(
    ann: httpx.Client,
) -> None:
    few = send(ann, text="x", input_image_base64=BASE64, steps=1).json()
    assert set(few) == BASE_FIELDS
    assert (few["negative_prompt"], few["cfg_scale"], few["seed"]) == (None, None, None)
    given = {
        "super_resolution": "True", "face_correct": True, "hires_fix": "false", "ar": "1:1",
        "scheduler": "euler", "color_grading": "", "w": "", "h": None, "denoising_strength": "0.5",
        "num_images": "1", "use_lpw": 1, "theme": "mine", "id": 99, "images": "none",
        "trained_at": "x",
    }  # fmt: skip
    many = send(ann, text="x", input_image_base64=BASE64, steps="1", **given).json()
    assert set(many) == BASE_FIELDS | set(given)
    typed = {
        "super_resolution": True, "face_correct": True, "hires_fix": False, "ar": "1:1",
        "color_grading": None, "w": None, "h": None, "denoising_strength": 0.5, "num_images": 1,
        "use_lpw": True, "theme": "mine", "steps": 1,
    }  # fmt: skip
    assert {name: many[name] for name in typed} == typed
    assert many["id"] == few["id"] + 1
    assert many["images"] == []
    assert many["trained_at"] is None


@pytest.mark.parametrize(
    ("given", "note"),
    [
        ({"style": "Cinematic"}, "style means nothing here: the tune is the style."),
        ({"resolution": "2K"}, "resolution means nothing here: w and h give the size."),
        ({"backend_version": 1}, "backend_version means nothing here: there is one backend."),
        ({"glitter": 1, "community": "true"}, "Unknown, so left out: glitter, community."),
        ({"text": "x --only_such_flag 3"}, "Unknown, so left out: only_such_flag."),
        ({"style": "", "theme": None}, None),
        ({"aspect_ratio": "1:1"}, None),
    ],
)
def test_what_means_nothing_here_is_accepted_and_noted(
    ann: httpx.Client, given: dict[str, Any], note: str | None
) -> None:
    answer = send(ann, **{"text": "x", "input_image_base64": BASE64, "steps": 1, **given})
    assert answer.status_code == 201
    assert answer.json()["notes"] == ([note] if note else [])


def test_every_setting_and_flag_reaches_the_recipe(running: Server, ann: httpx.Client) -> None:
    text = "e=mc2 --mask_prompt foreground --mask_negative clothes --mask_invert --mask_dilate -20"
    given = {
        "aspect_ratio": "3:4", "steps": "3", "cfg_scale": "4.5", "controlnet": "pose canny",
        "controlnets": "pose canny", "controlnet_weights": "0.5 1", "scheduler": "euler_a",
        "film_grain": "True", "color_grading": "Ektar", "w": 64, "h": 72,
    }  # fmt: skip
    answer = send(ann, text=text, input_image_base64=BASE64, **given)
    assert answer.status_code == 201, answer.text
    job = running.library.get("ann", answer.json()["id"])
    recipe = parse(job.recipe).recipe
    assert recipe.prompt == "e=mc2"
    assert (recipe.mask_prompt, recipe.mask_negative, recipe.mask_invert) == (
        "foreground", "clothes", True,
    )  # fmt: skip
    assert (recipe.ar, recipe.steps, recipe.cfg_scale, recipe.w) == ("3:4", 3, 4.5, 64)
    assert recipe.controlnets == ("pose", "canny")
    assert (recipe.scheduler, recipe.film_grain) == ("euler_a", True)
    assert recipe.style == TUNE


@pytest.mark.parametrize("source", ["file", "data url", "plain base64", "urlencoded", "in lines"])
def test_a_picture_comes_as_a_file_or_in_base64(
    running: Server, ann: httpx.Client, source: str
) -> None:
    data_url = f"data:image/png;base64,{BASE64}"
    encoded = {"data url": data_url, "plain base64": BASE64}
    encoded["in lines"] = "\r\n".join(BASE64[k : k + 76] for k in range(0, len(BASE64), 76))
    if source == "file":
        answer = create(ann, PHOTO)
    elif source == "urlencoded":
        answer = ann.post(PROMPTS, data=form(input_image_base64=BASE64))
    else:
        answer = send(ann, text=TEXT, input_image_base64=encoded[source], **SETTINGS)
    assert answer.status_code == 201, answer.text
    job = running.library.get("ann", answer.json()["id"])
    assert running.library.read(job.photo) == PHOTO


def test_a_mask_image_and_an_address_are_used(
    running: Server, ann: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = np.zeros_like(PIXELS)
    half[:60] = 255
    # Addresses of this machine are refused, so the fetching itself is tested in its own room.
    monkeypatch.setattr("inference.rest.prompt_request.fetch_file", lambda url: PHOTO)
    url = "https://example.org/me.png?secret=1"
    answer = ann.post(
        PROMPTS,
        data=form(input_image_url=url, mask_prompt="", mask_strokes=None, mask_invert="false",
                  mask_dilate=0, mask_feather=0),
        files={"prompt[mask_image]": ("mask.png", png(half))},
    )  # fmt: skip
    assert answer.json()["input_image_url"] == url
    done = ended(ann, answer.json())
    painted = np.asarray(Image.open(io.BytesIO(httpx.get(done["images"][0]).content)))
    np.testing.assert_array_equal(painted[60:], PIXELS[60:])
    assert not np.array_equal(painted[:60], PIXELS[:60])


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        ({"text": None}, {"text"}),
        ({"text": "  "}, {"text"}),
        ({"text": 7}, {"text"}),
        ({"input_image_base64": None}, {"input_image"}),
        ({"input_image_base64": "%%%"}, {"input_image_base64"}),
        ({"input_image_base64": "aGVsbG8="}, {"input_image_base64"}),
        ({"mask_image_base64": "aGVsbG8="}, {"mask_image_base64"}),
        ({"input_image": "me.png"}, {"input_image"}),
        ({"steps": 0}, {"steps"}),
        ({"steps": 51, "cfg_scale": -1, "seed": "x"}, {"steps", "cfg_scale", "seed"}),
        ({"steps": "many"}, {"steps"}),
        ({"steps": True}, {"steps"}),
        ({"steps": [1]}, {"steps"}),
        ({"steps": {"a": 1}}, {"steps"}),
        ({"num_images": 9}, {"num_images"}),
        ({"w": 512}, {"h"}),
        ({"w": 7, "h": 8}, {"w", "h"}),
        ({"aspect_ratio": "7:1"}, {"aspect_ratio"}),
        ({"scheduler": "none"}, {"scheduler"}),
        ({"controlnet_weights": "1 1"}, {"controlnet_weights"}),
        ({"text": "x --steps 99"}, {"steps"}),
        ({"text": "x --steps 9", "steps": 8}, {"steps"}),
        ({"text": "x" * 10_001}, {"text"}),
        ({"text": "x" * 50_000}, {"base"}),
        ({"text": "\ud800"}, {"text"}),
        ({"theme": "\udfff"}, {"theme"}),
        ({"callback": "ftp://x"}, {"callback"}),
        ({"callback": "http://user:pw@host/"}, {"callback"}),
        ({"callback": "https://x.example/" + "x" * 2000}, {"callback"}),
        ({"callback": 5}, {"callback"}),
        *(
            ({"input_image_base64": None, "input_image_url": url}, {"input_image_url"})
            for url in ("file:///etc/passwd", "http://127.0.0.1/x", "http://169.254.169.254/")
        ),
        ({"mask_image_url": "http://[::1]/x"}, {"mask_image_url"}),
    ],
    ids=lambda value: str(sorted(value) if isinstance(value, set) else value)[:50],
)  # fmt: skip
def test_wrong_fields_are_told_each_by_its_name(
    running: Server, ann: httpx.Client, given: dict[str, Any], fields: set[str]
) -> None:
    before = running.library.count_waiting("ann")
    body = json.dumps({"prompt": {"text": "x", "input_image_base64": BASE64, **given}})
    answer = ann.post(PROMPTS, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422, answer.text
    told = answer.json()
    assert set(told) == fields
    for sentences in told.values():
        assert all(SENTENCE.fullmatch(one) for one in sentences), sentences
    assert running.library.count_waiting("ann") == before


MANY_FIELDS = json.dumps({"prompt": dict.fromkeys(map(str, range(999)), 1)}).encode()
ONE_PART = b'--x\r\nContent-Disposition: form-data; name="prompt[text]"\r\n\r\n\xff\r\n--x--\r\n'


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("application/json", b"", 400),
        ("application/json", b"{", 400),
        ("application/json", b"[" * 100_000, 400),
        ("application/json", b"\xff\xfe", 400),
        ("application/json", b"9" * 10_000, 400),
        ("application/json", b"[]", 422),
        ("application/json", b"null", 422),
        ("application/json", b'{"prompt": []}', 422),
        ("application/json", b'{"prompt": {"steps": NaN}}', 422),
        ("application/json", b'{"prompt": {"steps": 1e999}}', 422),
        ("application/json", MANY_FIELDS, 400),
        ("text/plain", b"x", 415),
        ("", b"x", 415),
        ("multipart/form-data", b"x", 400),
        ("multipart/form-data; boundary=x", b"x", 400),
        ("multipart/form-data; boundary=x", b"--x--\r\n", 422),
        ("multipart/form-data; boundary=x; charset=nonsense", ONE_PART, 422),
        ("application/x-www-form-urlencoded", b"a=b", 422),
        ("application/x-www-form-urlencoded", b"prompt[text]=x", 422),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_a_body_that_cannot_be_read_is_refused(
    ann: httpx.Client, kind: str, body: bytes, status: int
) -> None:
    answer = ann.post(PROMPTS, content=body, headers={"content-type": kind})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"


def test_too_long_a_body_is_refused_while_it_comes(ann: httpx.Client) -> None:
    def parts() -> Iterator[bytes]:
        yield b'{"prompt": {"text": "'
        for _ in range(70):
            yield b"x" * 2**20

    with pytest.raises(httpx.HTTPError):  # noqa: PT012 - either the answer or the connection ends
        answer = ann.post(PROMPTS, content=parts(), headers={"content-type": "application/json"})
        assert answer.status_code == 413
        raise httpx.HTTPError("refused")


AWAY = ("GET", "/tunes"), ("GET", "/tunes/drawn"), ("GET", PROMPTS), ("GET", "/prompts")
ONE = ("GET", f"{PROMPTS}/1"), ("DELETE", f"{PROMPTS}/1"), ("GET", "/prompts/1")


@pytest.mark.parametrize(("method", "path"), [*AWAY, *ONE, ("POST", PROMPTS)])
@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer mq_guessed", "Basic YTpi", "mq_guessed"]
)
def test_without_a_known_token_there_is_nothing(
    running: Server, method: str, path: str, header: str | None
) -> None:
    headers = {} if header is None else {"Authorization": header}
    with running.client() as client:
        answer = client.request(method, path, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "python -m inference token" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *((method, path) for method in ("GET", "DELETE") for path in (
            f"{PROMPTS}/999999", f"{PROMPTS}/x", f"{PROMPTS}/-1", f"{PROMPTS}/{'9' * 40}",
            f"{PROMPTS}/１", "/prompts/0", "/tunes/ink/prompts/{id}", "/tunes/none/prompts/{id}",
        )),
        ("POST", "/tunes/none/prompts"), ("GET", "/tunes/none"), ("GET", "/tunes/none/prompts"),
        ("GET", "/tunes/drawn/x"), ("GET", "/images/x.png"), ("GET", f"/images/{'0' * 64}.png"),
        ("GET", "/images/..%2flibrary.sqlite"), ("GET", "/prompts/1/images"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_not_found(ann: httpx.Client, method: str, path: str) -> None:
    prompt = create(ann, PHOTO, steps=1).json()
    answer = ann.request(method, path.format(id=prompt["id"]))
    assert answer.status_code == 404, answer.text
    assert SENTENCE.fullmatch(answer.json()["detail"])


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("/prompts?offset=-1", 422, "offset"),
        ("/prompts?offset=x", 422, "offset"),
        ("/prompts?limit=0", 422, "limit"),
        ("/prompts?limit=121", 422, "limit"),
        ("/prompts?before_id=0", 422, "before_id"),
        (f"/prompts?before_id={'9' * 30}", 422, "before_id"),
        ("/prompts?offset=10001", 400, "detail"),
    ],
)
def test_a_wrong_part_of_a_list_is_refused(
    ann: httpx.Client, path: str, status: int, told: str
) -> None:
    answer = ann.get(path)
    assert (answer.status_code, set(answer.json())) == (status, {told})


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS"])
def test_other_methods_are_refused(ann: httpx.Client, method: str) -> None:
    assert ann.request(method, "/tunes").status_code == 405


# --- lists, owners, deletion ----------------------------------------------------------------------


def test_a_list_has_the_owners_prompts_newest_first_in_parts(
    running: Server, ann: httpx.Client
) -> None:
    with rest_client(running, "lister") as client:
        ids = [create(client, PHOTO, tune=tune, steps=1).json()["id"] for tune in (TUNE, "ink") * 2]
        newest = ids[::-1]

        def listed(path: str) -> list[int]:
            return [one["id"] for one in client.get(path).json()]

        assert listed("/prompts") == newest
        assert listed(PROMPTS) == newest[1::2]
        assert listed("/tunes/ink/prompts") == newest[::2]
        assert listed("/prompts?offset=1&limit=2") == newest[1:3]
        assert listed(f"/prompts?before_id={newest[1]}") == newest[2:]
        assert listed("/prompts?offset=4") == []
    assert not set(ids) & {one["id"] for one in ann.get("/prompts").json()}


def test_nobody_reaches_another_ones_prompt(ann: httpx.Client, bob: httpx.Client) -> None:
    prompt = create(ann, PHOTO, steps=1).json()
    for method in ("GET", "DELETE"):
        assert bob.request(method, f"{PROMPTS}/{prompt['id']}").status_code == 404
    ended(ann, prompt)


def test_a_deleted_prompt_is_gone_with_its_pictures(running: Server, ann: httpx.Client) -> None:
    photo = noise_file(77)
    prompt = ended(ann, create(ann, photo).json())
    (url,) = prompt["images"]
    assert httpx.get(url).status_code == 200
    answer = ann.delete(f"{PROMPTS}/{prompt['id']}")
    assert (answer.status_code, answer.json()) == (200, {"message": "The prompt was deleted."})
    assert httpx.get(url).status_code == 404
    assert ann.get(f"{PROMPTS}/{prompt['id']}").status_code == 404
    folder = running.library._storage.files.root
    assert not [path for path in folder.rglob("*.png") if path.read_bytes() == photo]


def test_a_running_and_a_waiting_prompt_can_be_deleted(running: Server, ann: httpx.Client) -> None:
    endless = create(ann, PHOTO, steps=50, num_images=8).json()
    waiting, after = create(ann, PHOTO).json(), create(ann, PHOTO).json()
    wait_until(lambda: running.studio.now == 1)
    for prompt in (waiting, endless):
        assert ann.delete(f"/prompts/{prompt['id']}").status_code == 200
    assert ended(ann, after)["images"]


def test_the_photo_of_a_prompt_is_at_no_address(running: Server, ann: httpx.Client) -> None:
    job = running.library.get("ann", create(ann, PHOTO, steps=1).json()["id"])
    assert ann.get(f"/images/{job.photo}").status_code == 404


# --- what fails -----------------------------------------------------------------------------------


def test_a_prompt_that_fails_says_why(ann: httpx.Client) -> None:
    answer = send(
        ann, text="x --mask_prompt", input_image_base64=BASE64, steps=1, mask_strokes="",
    )  # fmt: skip
    failed = ended(ann, answer.json())
    assert failed["state"] == "failed"
    assert failed["trained_at"] is None
    assert SENTENCE.fullmatch(failed["error"])


def test_a_full_queue_is_told_with_the_seconds_to_wait(
    running: Server, ann: httpx.Client, bob: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = create(ann, PHOTO, steps=50, num_images=8).json()
    count = running.library.count_waiting
    monkeypatch.setattr(
        running.library, "count_waiting", lambda owner="": count(owner) + 98 * (owner == "ann")
    )
    create(ann, PHOTO)
    answer = create(ann, PHOTO)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
    assert SENTENCE.fullmatch(answer.json()["detail"])
    assert create(bob, PHOTO).status_code == 201
    ann.delete(f"/prompts/{endless['id']}")
    wait_until(lambda: running.library.count_waiting() == 0, 60)


def test_a_full_disk_is_told_and_keeps_nothing(running: Server, ann: httpx.Client) -> None:
    connection: sqlite3.Connection = running.library._storage._connection
    wait_until(lambda: running.library.count_waiting() == 0, 60)
    connection.execute("PRAGMA max_page_count = 1")
    try:
        answers = [
            send(ann, text="x" * 9000, input_image_base64=BASE64, steps=1) for _ in range(30)
        ]
    finally:
        connection.execute("PRAGMA max_page_count = 1073741823")
    answer = answers[-1]
    assert answer.status_code == 507
    assert "full" in answer.json()["detail"]
    assert answer.headers["retry-after"]
    wait_until(lambda: running.library.count_waiting() == 0, 60)


def test_an_error_of_the_server_shows_nothing_of_itself(
    ann: httpx.Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ArithmeticError("xylophone")

    monkeypatch.setattr("inference.rest.handlers.prompt_object", broken)
    create(ann, PHOTO, steps=1)
    answer = ann.get("/prompts?limit=1")
    assert answer.status_code == 500
    assert SENTENCE.fullmatch(answer.json()["detail"])
    assert "xylophone" not in answer.text + caplog.text
    assert "ArithmeticError at test_prompts.py" in caplog.text


# --- tunes and description ------------------------------------------------------------------------


def test_tunes_are_the_styles_and_known_numbers_name_them(ann: httpx.Client) -> None:
    tunes = {one["name"]: one for one in ann.get("/tunes").json()}
    assert {"photo", "cartoon", "flat", "drawn"} <= tunes.keys()
    numbers = {"photo": 690204, "cartoon": 636337, "flat": 623021, "drawn": "drawn"}
    for name, number in numbers.items():
        assert tunes[name]["id"] == number
        for address in (name, str(number), f"{number}.json"):
            assert ann.get(f"/tunes/{address}").json() == tunes[name]
    assert len(ann.get("/tunes?limit=2").json()) == 2
    assert ann.get("/tunes?offset=1").json()[0] == list(tunes.values())[1]
    assert ann.get("/tunes/690204/prompts").json() == []


def test_no_two_styles_have_one_number() -> None:
    numbers = [style.number for style in Catalog.load().styles() if style.number]
    assert len(numbers) == len(set(numbers)) == 3


def test_the_description_is_there_for_people_and_for_machines(client: httpx.Client) -> None:
    page = client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    for said in ("POST /tunes/{tune_id}/prompts", "prompt[input_image]", "1–50", "Retry-After"):
        assert said in page.text
    assert "http" not in re.sub(r"<style>.*</style>", "", page.text)
    description = client.get("/openapi.json").json()
    assert description["openapi"].startswith("3.")
    assert len(description["paths"]) == 9


# --- idempotency ----------------------------------------------------------------------------------


def test_the_same_attributes_give_the_same_prompt_where_that_is_wanted(
    tiny_catalog: Path, tmp_path: Path, running: Server, ann: httpx.Client
) -> None:
    assert create(ann, PHOTO).json()["id"] != create(ann, PHOTO).json()["id"]
    with (
        tiny_server(tiny_catalog, tmp_path, "--idempotent") as server,
        rest_client(server, "ann") as first,
        rest_client(server, "bob") as other,
    ):
        made = create(first, PHOTO)
        again = create(first, PHOTO)
        assert (made.status_code, again.status_code) == (201, 200)
        assert again.json()["id"] == made.json()["id"]
        for different in (
            create(first, PHOTO, seed=6),
            create(first, png(coloured((1, 2, 3)))),
            create(first, PHOTO, tune="ink"),
            create(other, PHOTO),
        ):
            assert different.status_code == 201
        wrong = {"text": "x --mask_prompt", "mask_strokes": ""}
        failed = ended(first, create(first, PHOTO, **wrong).json())
        assert create(first, PHOTO, **wrong).json()["id"] != failed["id"]


def test_a_server_without_a_library_says_so(tiny_catalog: Path, tmp_path: Path) -> None:
    with tiny_server(tiny_catalog, tmp_path, "--library", "off") as server:
        with server.client() as client:
            answer = client.get("/tunes")
        assert answer.status_code == 503
        assert "--library" in answer.json()["detail"]


def test_a_token_without_a_name_belongs_to_the_page_of_this_machine(running: Server) -> None:
    with running.client() as client, rest_client(running, LOCAL_OWNER) as rest:
        file = upload(client, PHOTO)
        assert (
            outcome(client, "paint", file, {**FIELDS, "prompt": "by hand"}, None)[0] == "complete"
        )
        assert rest.get("/prompts").json()[0]["text"] == "by hand"
        prompt = ended(rest, create(rest, PHOTO).json())
        assert running.library.search(Search(owner=LOCAL_OWNER))[0].id == prompt["id"]
