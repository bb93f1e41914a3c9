"""Converts between records of the library and rows of its database."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime

from inference.library.records import Origin, Role, State, StoredJob
from inference.recipe.prompt_block import format_block
from inference.recipe.recipe import Recipe


def words_of(text: str) -> list[str]:
    """The words of a text in the form in which they are compared."""
    return text.encode("utf-8", "replace").decode().casefold().split()


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


def job_of(row: sqlite3.Row, files: Sequence[sqlite3.Row]) -> StoredJob:
    """The job of a row, with the rows of its files."""
    by_role: dict[str, list[str]] = {role: [] for role in Role}
    for role, name in files:
        by_role[role].append(name)
    plain = ("id", "owner", "recipe", "prompt", "style", "error", "callback", "attempts")
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
