"""Tests of the examples of the page's gallery: drawings, and a photograph of known origin."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path

import pytest

from inference import Photo, Recipe
from inference.page.examples import Example
from tools.make_examples import EXAMPLES, listed

FOLDER = Path(__file__).parents[2] / "assets" / "examples"
README = (FOLDER / "README.md").read_text(encoding="utf-8")


def test_the_list_is_what_the_tool_writes() -> None:
    assert (FOLDER / "examples.toml").read_text(encoding="utf-8") == listed(EXAMPLES)


def test_the_folder_holds_the_listed_pictures_and_no_others() -> None:
    shown = {one.photo.name for one in Example.load_all(FOLDER)}
    assert shown == {path.name for path in FOLDER.iterdir()} - {"examples.toml", "README.md"}


@pytest.mark.parametrize("example", Example.load_all(FOLDER), ids=lambda one: one.photo.stem)
def test_an_example_can_be_opened_and_has_a_prompt_and_an_origin(example: Example) -> None:
    assert min(Photo.open(example.photo).size) >= 512
    assert Recipe(prompt=example.prompt).prompt
    assert f"`{example.photo.name}`" in README


def test_drawings_come_first_and_the_photograph_is_nasas_file_unchanged() -> None:
    entries = tomllib.loads((FOLDER / "examples.toml").read_text(encoding="utf-8"))["example"]
    assert ["seed" in one for one in entries] == [True, True, True, True, False]
    digest = hashlib.sha256((FOLDER / entries[-1]["file"]).read_bytes()).hexdigest()
    assert f"`{digest}`" in README
