"""Tests of the HTTP endpoints /paint and /mask, with a real server and tiny models."""

from __future__ import annotations

import io
import json
import math
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from inference import Recipe
from inference.recipe.settings import field_types
from tests.support.page_server import (
    API,
    FIELDS,
    Server,
    ask,
    coloured,
    events,
    outcome,
    picture,
    png,
    sentence,
    upload,
)

ROOT = Path(__file__).parents[2]
PHOTO = coloured((200, 30, 40))
NO_PHOTO = "There is no photo: upload one, or name its input_image_url."

NO_FILE = "The photo is no uploaded file: upload it first, and send its path."
NOT_HERE = "The photo was not uploaded here: upload it first, and send its path."
NO_RECIPE = "The recipe is a prompt block, or fields with their values: send either."


def test_a_photo_and_fields_give_pictures_and_a_report(client: httpx.Client) -> None:
    file = upload(client, png(PHOTO))
    said = list(events(client, "paint", ask(client, "paint", file, FIELDS, None)))
    stages = [data[0].get("stage") for kind, data in said if kind == "generating"]
    assert "Painting" in stages
    kind, (report,) = said[-1]
    assert kind == "complete"
    assert report["seed"] == FIELDS["seed"]
    assert report["kept_pixels_changed"] == 0
    assert report["kept_pixels"] > 0
    assert Recipe.parse(report["recipe"]).steps == FIELDS["steps"]
    painted = picture(client, report["images"][0])
    same = (painted == PHOTO).all(axis=2)
    assert report["kept_pixels"] <= same.sum() < same.size


def test_a_block_a_mask_image_and_several_pictures(client: httpx.Client) -> None:
    half = np.zeros_like(PHOTO)
    half[:60] = 255
    block = (
        "a garden --mask_prompt --mask_dilate 0\nsteps=1\nnum_images=2\nglitter=1\ncontrolnet=\n"
        "mask_feather=0\n"
    )
    files = upload(client, png(PHOTO)), upload(client, png(half), "mask.png")
    kind, (report,) = outcome(client, "paint", files[0], block, files[1])
    assert kind == "complete"
    assert report["notes"] == ["Unknown, so left out: glitter."]
    assert isinstance(report["seed"], int)
    first, second = (picture(client, one) for one in report["images"])
    assert not np.array_equal(first, second)
    for painted in (first, second):
        np.testing.assert_array_equal(painted[60:], PHOTO[60:])
        assert not np.array_equal(painted[:60], PHOTO[:60])


def test_the_mask_alone(client: httpx.Client) -> None:
    fields = {**FIELDS, "mask_invert": False}
    kind, (report,) = outcome(client, "mask", upload(client, png(PHOTO)), fields, None)
    assert kind == "complete"
    assert list(report["words"]) == ["foreground"]
    assert report["people"] >= 0
    mask = picture(client, report["images"][0])
    assert mask.shape == PHOTO.shape
    assert (mask > 127).all(axis=2).mean() == pytest.approx(report["repainted"], abs=1e-3)
    assert mask[60, 48].max() == 0, "brushed out of what is repainted"


def test_the_client_library_gets_files_and_sentences(running: Server, tmp_path: Path) -> None:
    Image.fromarray(PHOTO).save(tmp_path / "me.png")
    with closing(Client(running.url, verbose=False, download_files=tmp_path)) as client:
        photo = handle_file(tmp_path / "me.png")
        done = client.predict(photo, FIELDS, api_name="/paint")
        with pytest.raises(AppError, match="Steps \\(steps\\): takes a whole number from 1 to 50"):
            client.predict(photo, {"steps": 0}, api_name="/paint")
    painted = np.asarray(Image.open(done["images"][0]))
    assert painted.shape == PHOTO.shape
    assert done["kept_pixels_changed"] == 0


def test_values_can_be_named(client: httpx.Client) -> None:
    answer = client.post(
        f"{API}/call/v2/paint", json={"photo": upload(client, png(PHOTO)), "recipe": FIELDS}
    )
    *_, (kind, _) = events(client, "paint", answer.json()["event_id"])
    assert kind == "complete"


def test_only_two_things_are_offered(client: httpx.Client) -> None:
    info = client.get(f"{API}/info").json()
    assert sorted(info["named_endpoints"]) == ["/mask", "/paint"]
    assert not info["unnamed_endpoints"]
    config = client.get("/config").json()
    private = {one["api_name"] for one in config["dependencies"]} - {"paint", "mask"}
    assert len(private) > 10
    for name in private:
        assert client.post(f"{API}/call/{name}", json={"data": []}).status_code == 404


@pytest.mark.parametrize(
    ("photo", "recipe", "told"),
    [
        (None, "a garden", NO_PHOTO),
        (None, {}, NO_PHOTO),
        (None, None, NO_PHOTO),
        (5, "a garden", NO_FILE),
        ("me.png", "a garden", NO_FILE),
        ({"path": 5}, "a garden", NO_FILE),
        ({"path": "/etc/passwd"}, "", NOT_HERE),
        ({"path": "../../etc/passwd"}, "", NOT_HERE),
        (None, 5, NO_RECIPE),
        (None, ["a garden"], NO_RECIPE),
        (None, {"glitter": 1}, "There is no field «glitter» in a recipe."),
        (None, {"\ud800": 1}, "A recipe is a set of fields with names and values."),
        (None, "a garden\nsteps=99", "Steps (steps): takes a whole number from 1 to 50."),
        (None, {"w": 64}, "Give both width and height, or neither."),
        (None, {"input_image_url": "http://127.0.0.1/x.png"}, "public internet"),
    ],
)  # fmt: skip
def test_what_is_no_order_is_refused_in_a_sentence(
    client: httpx.Client, photo: object, recipe: object, told: str
) -> None:
    assert told in sentence(client, "paint", photo, recipe, None)


def test_a_file_that_is_no_picture_is_refused_in_a_sentence(client: httpx.Client) -> None:
    file = upload(client, b"Dear Sir or Madam", "letter.jpg")
    assert "no picture" in sentence(client, "paint", file, "", None)
    assert "no picture" in sentence(client, "mask", file, "", None)
    good = upload(client, png(PHOTO))
    assert "no picture" in sentence(client, "mask", good, "", file)


# --- every field --------------------------------------------------------------------------------

NUMBERS = {
    "NaN": math.nan, "infinity": math.inf, "minus infinity": -math.inf, "a word": "perhaps",
    "a list": [1, 2], "a dictionary": {"a": 1}, "true": True, "NaN as text": "NaN",
    "far too much": 10**400,
}  # fmt: skip
ODD: dict[str, Any] = {
    "NaN": math.nan, "infinity": math.inf, "a number": 10**30, "a list of lists": [[[]]],
    "a dictionary": {"a": 1}, "half a character": "\ud800", "too long": "x" * 20_000,
}  # fmt: skip


# One field of each kind gets all invalid values, every other field one of them.
THOROUGH = ("cfg_scale", "steps", "mask_invert", "prompt", "mask_dilate", "scheduler",
            "mask_strokes", "controlnets")  # fmt: skip


def cases() -> Iterator[Any]:
    """Cases of every recipe field: invalid values, and the expected description in the error."""
    for name, field in Recipe.model_fields.items():
        limits = {type(one).__name__: one for one in field.metadata}
        if "Ge" in limits:
            low, high = limits["Ge"].ge, limits["Le"].le
            values = {**NUMBERS, "too little": low - 1, "too much": high + 1}
            told = f"from {low:.10g} to {high:.10g}"
        elif bool in field_types(field):
            values, told = {**ODD, "a word": "perhaps", "two": 2}, "takes true or false"
        else:
            values, told = ODD, "takes "
        for case, value in values.items():
            if name in THOROUGH or case in ("too much", "two", "a dictionary"):
                yield pytest.param(name, value, told, id=f"{name}: {case}")


@pytest.mark.parametrize(("name", "value", "told"), cases())
def test_a_field_names_itself_and_what_it_takes(
    client: httpx.Client, name: str, value: object, told: str
) -> None:
    said = sentence(client, "paint", None, {name: value}, None)
    field = Recipe.model_fields[name]
    assert said.startswith(f"{field.title} ({name}): ")
    assert told in said
    assert re.fullmatch(r"[^\n]{10,300}\.", said)
    assert "Error" not in said


def test_the_table_covers_every_field() -> None:
    covered = {one.values[0] for one in cases()}
    assert covered == set(Recipe.model_fields)


ON_THE_WEB = {"path": "https://example.org/x.png", "meta": {"_type": "gradio.FileData"}}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ('{"data": []}', 422),
        ('{"data": [null]}', 422),
        ('{"data": [null, null, null, null]}', 422),
        ('{"data": "photo"}', 422),
        ("[]", 422),
        ("", 422),
        ("{", 400),
        ("[" * 100_000, 400),
        (json.dumps({"data": [None, "x" * 2**21, None]}), 413),
        (json.dumps({"data": [ON_THE_WEB, "", None]}), 400),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_before_it_reaches_the_queue(
    client: httpx.Client, body: str, status: int
) -> None:
    answer = client.post(
        f"{API}/call/paint", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code == status
    assert re.fullmatch(r"[^\n]{10,200}\.", answer.json()["detail"])


# --- what the documents say ---------------------------------------------------------------------


def example(document: str, language: str) -> str:
    """The example code in a language, in a document, that calls the running page."""
    blocks = (ROOT / document).read_text(encoding="utf-8").split(f"```{language}\n")[1:]
    return next(one for block in blocks if "localhost:7860" in (one := block.split("```")[0]))


@pytest.mark.parametrize("document", ["README.md", "docs/http-api.md"])
def test_the_program_in_a_document_runs_as_it_stands(
    document: str, running: Server, tmp_path: Path
) -> None:
    Image.fromarray(PHOTO).save(tmp_path / "me.png")
    code = example(document, "python").replace("http://localhost:7860", running.url)
    code = code.replace('"seed": 7', f'"seed": 7, **{FIELDS | {"seed": 7}!r}')
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1].endswith(".png'] 7 0")


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_commands_for_curl_run_as_they_stand(running: Server, tmp_path: Path) -> None:
    Image.fromarray(PHOTO).save(tmp_path / "me.png")
    commands = example("docs/http-api.md", "sh").replace("http://localhost:7860", running.url)
    fields = "".join(f"\\\\n{name}={value}" for name, value in FIELDS.items() if name != "prompt")
    commands = commands.replace("\\\\nsteps=8", fields)
    done = subprocess.run(
        ["sh", "-c", commands], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    *_, kind, data = (line for line in done.stdout.splitlines() if line)
    assert kind == "event: complete"
    report = json.loads(data.removeprefix("data: "))[0]
    assert report["kept_pixels_changed"] == 0
    answer = httpx.get(f"{running.url}{API}/file={report['images'][0]['path']}")
    assert Image.open(io.BytesIO(answer.content)).size == (96, 120)
