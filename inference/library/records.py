"""Types of the library: a job as it is accepted, as it ended, and as it is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from inference.recipe.recipe import Recipe

#: The owner of what is made on a page that has one user, and of tokens without a name.
LOCAL_OWNER = "local"


class State(StrEnum):
    """Where a job is between acceptance and end."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def has_ended(self) -> bool:
        """Whether nothing happens to the job any more."""
        return self not in (State.QUEUED, State.RUNNING)


class Origin(StrEnum):
    """Through which interface a job came."""

    PAGE = "page"
    REST = "rest"
    COMMAND = "command"


class Role(StrEnum):
    """What a file of a job is."""

    PHOTO = "photo"
    MASK = "mask"
    PICTURE = "picture"
    THUMBNAIL = "thumbnail"


@dataclass(frozen=True, kw_only=True)
class NewJob:
    """A job to be accepted.

    Attributes:
        owner: whose it is; only this owner gets to see it.
        origin: the interface that it came through.
        recipe: all settings; addresses of pictures are not stored.
        photo: the photo's file.
        mask: the mask image's file.
        request: what a client sent, beside the recipe, ready for JSON.
        notes: sentences about what was changed or left out on reading.
        fingerprint: digest of the request, by which a repeated one is found.
        callback: address that is told when the job has ended; "" for none.
    """

    owner: str
    origin: Origin
    recipe: Recipe
    photo: bytes = field(repr=False)
    mask: bytes | None = field(default=None, repr=False)
    request: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    fingerprint: str = ""
    callback: str = ""


@dataclass(frozen=True, kw_only=True)
class KeptPicture:
    """A finished picture: its PNG file, and a small JPEG of it."""

    file: bytes = field(repr=False)
    thumbnail: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a job's painting gave.

    Attributes:
        recipe: the painted recipe, with its concrete seed and style.
        pictures: the finished pictures.
        report: counts and seconds, ready for JSON.
        notes: sentences about how it was made.
    """

    recipe: Recipe
    pictures: tuple[KeptPicture, ...]
    report: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StoredJob:
    """A job of the library.

    Attributes:
        id: its number, in the order of acceptance.
        owner, origin, request: as in `NewJob`.
        state: where it is.
        created, started, finished, updated: UTC; None where it has not come to that.
        recipe: a prompt block, with the concrete seed once it is painted.
        prompt, style: of the recipe; "" for no style.
        photo, mask: names of files, None for no mask.
        pictures, thumbnails: names of files, in one order.
        report: counts and seconds of the painting.
        notes: sentences about how it was read and made.
        error: why it failed or was cancelled; "" otherwise.
        callback: address that is told when the job has ended; "" for none.
        starred: whether it is exempt from the library's limits.
        attempts: how often its painting was begun.
        worker: the process that paints it, or did so last; "" for none.
    """

    id: int
    owner: str
    origin: Origin
    state: State
    created: datetime
    started: datetime | None
    finished: datetime | None
    updated: datetime
    recipe: str
    prompt: str
    style: str
    photo: str
    mask: str | None
    pictures: tuple[str, ...]
    thumbnails: tuple[str, ...]
    request: Mapping[str, Any]
    report: Mapping[str, Any]
    notes: tuple[str, ...]
    error: str
    callback: str
    starred: bool
    attempts: int
    worker: str


@dataclass(frozen=True, kw_only=True)
class Search:
    """Which jobs to list, the newest first.

    Attributes:
        owner: whose.
        words: words that the prompt, the negative prompt or the style has to contain, all of them.
        states: in one of these states; () for all.
        style: of this style; "" for all.
        origin: through this interface; None for all.
        starred: only starred ones.
        before: with a smaller id than this one.
        offset, limit: how many to skip, and how many to list.
    """

    owner: str
    words: str = ""
    states: tuple[State, ...] = ()
    style: str = ""
    origin: Origin | None = None
    starred: bool = False
    before: int | None = None
    offset: int = 0
    limit: int = 50


@dataclass(frozen=True, kw_only=True)
class Callback:
    """A callback that is due: the job that has ended, and how often it was tried."""

    job: int
    url: str
    attempts: int
