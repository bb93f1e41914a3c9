"""The example portraits of the page, each with a prompt."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Example:
    """An example portrait and a prompt for it."""

    photo: Path
    prompt: str

    @classmethod
    def load_all(cls, folder: Path) -> list[Example]:
        """The examples that examples.toml in a folder lists."""
        listed = tomllib.loads((folder / "examples.toml").read_text(encoding="utf-8"))["example"]
        return [cls(photo=folder / one["file"], prompt=one["prompt"]) for one in listed]
