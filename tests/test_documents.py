"""Tests of the documents against the repository: links, named files, the list of packages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from inference.catalog.catalog import Catalog
from tests.test_architecture import INFERENCE, ROOMS, ROOT

DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "assets" / "pack" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
ARCHITECTURE = ROOT / "docs" / "architecture.md"
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]+))?\)")
FILE = re.compile(
    r"(?<![\w/.-])(?:inference|tools|tests|assets|docs)/(?:[\w.-]+/)*[\w-]+\.(?:py|toml|js|html|md|txt|png)\b"
)

every_document = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix()
)


def text_of(document: Path) -> str:
    return document.read_text(encoding="utf-8")


def anchors(document: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text_of(document), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", one).lower().replace(" ", "-") for one in headings}


@every_document
def test_each_relative_link_leads_to_a_file_and_a_heading_that_exist(document: Path) -> None:
    for path, anchor in LINK.findall(text_of(document)):
        target = document.parent / path if path else document
        assert target.exists(), path
        assert not anchor or anchor in anchors(target), f"{path}#{anchor}"


@every_document
def test_each_file_that_is_named_exists(document: Path) -> None:
    missing = [name for name in FILE.findall(text_of(document)) if not (ROOT / name).exists()]
    assert not missing


@every_document
def test_each_document_says_in_its_first_sentence_what_it_is(document: Path) -> None:
    text = text_of(document).split("\n---\n", 1)[-1].strip()
    heading, first = text.split("\n\n")[:2]
    assert re.fullmatch(r"# .+", heading)
    assert re.match(r"\w", first), first


def test_the_readme_names_every_document() -> None:
    linked = {(ROOT / path).resolve() for path, _ in LINK.findall(text_of(ROOT / "README.md"))}
    assert set(DOCUMENTS[1:]) <= linked


def listed_files() -> Iterator[tuple[str, set[str]]]:
    """The packages that docs/architecture.md lists, each with the files in its table."""
    for part in text_of(ARCHITECTURE).split("\n### `inference/")[1:]:
        name, table = part.split("`", 1)
        files = re.findall(r"^\| `([\w.]+)` \|", table.split("\n## ")[0], re.MULTILINE)
        yield name.strip("/"), set(files)


def test_the_architecture_lists_every_room_and_every_file_of_it() -> None:
    listed = dict(listed_files())
    top = {"__init__.py", "__main__.py", "errors.py"}
    assert listed.pop("") == top
    assert list(listed) == [*reversed(ROOMS)]
    for room in ROOMS:
        files = {path.name for path in (INFERENCE / room).iterdir() if path.is_file()}
        assert listed[room] == files - {"__init__.py"}, room


def test_the_architecture_draws_every_room() -> None:
    drawing = text_of(ARCHITECTURE).split("```mermaid\n")[1].split("```")[0]
    arrows = re.findall(r"^ +(\w+)(?:\[[^\]]*\])? --> (\w+)", drawing, re.MULTILINE)
    assert {name for arrow in arrows for name in arrow} == {*ROOMS, "app", "command", "errors"}
    order = ["app", "command", *reversed(ROOMS), "errors"]
    assert all(order.index(above) < order.index(below) for above, below in arrows)


@pytest.mark.parametrize(
    "entry", re.findall(r"```toml\n(.*?)```", text_of(ROOT / "docs" / "models.md"), re.DOTALL)
)
def test_each_catalog_entry_in_the_documents_can_be_loaded(entry: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(entry, encoding="utf-8")
    assert Catalog.load(tmp_path / "mine.toml").style_by_key
