"""Rows of the database: the connection, the conditions of a search, conversion to records."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any, Protocol

from inference.library.records import Origin, Role, Search, State, StoredJob
from inference.recipe.prompt_block import format_block
from inference.recipe.recipe import Recipe


class Row(Protocol):
    """A row: its values by the names of its columns."""

    def __getitem__(self, name: str) -> Any:
        """The value of a column."""


class Cursor(Protocol):
    """What a statement gave."""

    @property
    def rowcount(self) -> int:
        """How many rows it changed."""

    def fetchone(self) -> Row | None:
        """The next row."""

    def fetchall(self) -> Sequence[Row]:
        """All other rows."""


class Connection(Protocol):
    """A connection to SQLite or PostgreSQL, which run the same statements.

    Parameters are named as in `:name`. `FOR UPDATE [SKIP LOCKED]` at the end of a query locks rows
    against other processes; SQLite, where a transaction is alone, does without. One thread at a
    time.

    Attributes:
        errors: what its methods raise, beside `LibraryUnavailable`.
    """

    errors: tuple[type[Exception], ...]

    def execute(self, sql: str, values: Mapping[str, object] | None = None) -> Cursor:
        """Run a statement."""

    def transaction(self) -> AbstractContextManager[None]:
        """Context whose statements take effect together, or not at all."""

    def now(self) -> float:
        """Seconds since 1970, by the one clock of all who use the database."""

    def told(self, error: Exception) -> str:
        """The sentence for one of its errors."""

    def close(self) -> None:
        """End the connection."""


def words_of(text: str) -> list[str]:
    """The words of a text in the form in which they are compared."""
    return text.encode("utf-8", "replace").decode().casefold().split()


def listed(name: str, values: Iterable[object]) -> tuple[str, dict[str, object]]:
    """Parameters for the values of an `IN (…)`, as SQL, and their values by name."""
    named = {f"{name}_{k}": value for k, value in enumerate(values)}
    return ", ".join(f":{one}" for one in named), named


def conditions_of(wanted: Search) -> tuple[list[str], dict[str, object]]:
    """The conditions of a search, as SQL, and the values of their parameters."""
    conditions, values = ["owner = :owner"], dict[str, object](owner=wanted.owner)
    for k, word in enumerate(words_of(wanted.words)):
        # Contains the word; unlike LIKE, this knows no special characters.
        conditions.append(f"replace(words, :word_{k}, '') != words")
        values[f"word_{k}"] = word
    if wanted.states:
        names, states = listed("state", wanted.states)
        conditions.append(f"state IN ({names})")
        values |= states
    if wanted.style:
        conditions.append("style = :style")
        values["style"] = wanted.style
    if wanted.origin is not None:
        conditions.append("origin = :origin")
        values["origin"] = wanted.origin
    if wanted.starred:
        conditions.append("starred = 1")
    if wanted.before is not None:
        conditions.append("id < :before")
        values["before"] = wanted.before
    return conditions, values


def recipe_columns(recipe: Recipe) -> dict[str, object]:
    """The columns that a recipe fills."""
    # Addresses may be secret, and the photo itself is stored.
    known = recipe.model_copy(update={"input_image_url": "", "mask_image_url": ""})
    searched = (recipe.prompt, recipe.negative_prompt, recipe.style or "")
    return {
        "recipe": format_block(known),
        "prompt": recipe.prompt,
        "style": recipe.style or "",
        "words": " ".join(words_of(" ".join(searched))),
    }


def job_of(row: Row, files: Sequence[Row]) -> StoredJob:
    """The job of a row, with the rows of its files."""
    by_role: dict[str, list[str]] = {role: [] for role in Role}
    for file in files:
        by_role[file["role"]].append(file["name"])
    plain = ("id", "owner", "recipe", "prompt", "style", "error", "callback", "attempts", "worker")
    loaded = ("request", "report")
    return StoredJob(
        **{name: row[name] for name in plain},
        **{name: json.loads(row[name]) for name in loaded},
        origin=Origin(row["origin"]),
        state=State(row["state"]),
        created=_time(row["created"]),
        started=None if row["started"] is None else _time(row["started"]),
        finished=None if row["finished"] is None else _time(row["finished"]),
        updated=_time(row["updated"]),
        photo=by_role[Role.PHOTO][0],
        mask=next(iter(by_role[Role.MASK]), None),
        pictures=tuple(by_role[Role.PICTURE]),
        thumbnails=tuple(by_role[Role.THUMBNAIL]),
        notes=tuple(json.loads(row["notes"])),
        starred=bool(row["starred"]),
    )


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
