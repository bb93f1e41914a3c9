"""JSON objects of the REST service: prompts and tunes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from inference.catalog.catalog import Catalog
from inference.catalog.schema import Style
from inference.library.records import State, StoredJob

# Fields of a stored request.
GIVEN, BASE, SIGNER = "given", "base", "signer"
# Fields that every prompt has, also where the client gave none.
ALWAYS = ("negative_prompt", "cfg_scale", "steps", "seed")

Object = dict[str, Any]


def style_of(catalog: Catalog, tune: str) -> Style | None:
    """The style with this key or number; None if there is none."""
    if tune in catalog.style_by_key:
        return catalog.style_by_key[tune]
    return next((one for one in catalog.styles() if str(one.number) == tune), None)


def tune_id(catalog: Catalog, style: str) -> int | str:
    """The number of a style, or else its key."""
    known = catalog.style_by_key.get(style)
    return style if known is None or known.number is None else known.number


def tune_object(style: Style, base: str) -> Object:
    """A style as a tune.

    Args:
        style: the style.
        base: address of the server, without a slash at the end.
    """
    number = style.key if style.number is None else style.number
    return {
        "id": number,
        "title": style.title,
        "name": style.key,
        "description": style.description,
        "branch": style.family,
        "model_type": "checkpoint",
        "url": f"{base}/tunes/{number}.json",
    }


def prompt_object(job: StoredJob, catalog: Catalog, base: str) -> Object:
    """A job as a prompt.

    `trained_at` is null until it is done, and stays so if it fails; `error` then says why.
    """
    given: Mapping[str, Any] = job.request.get(GIVEN, {})
    tune, is_done = tune_id(catalog, job.style), job.state is State.DONE
    fields: Object = {"text": job.prompt, **dict.fromkeys(ALWAYS), **given}
    if is_done:
        fields["seed"] = job.report.get("seed")
    return {
        **fields,
        "id": job.id,
        "callback": job.callback or None,
        "trained_at": _time(job.finished) if is_done else None,
        "started_training_at": _time(job.started),
        "created_at": _time(job.created),
        "updated_at": _time(job.updated),
        "tune_id": tune,
        "url": f"{base}/tunes/{tune}/prompts/{job.id}.json",
        "images": [f"{base}/images/{name}" for name in job.pictures],
        "state": job.state.value,
        "error": job.error or None,
        "notes": list(job.notes),
        "kept_pixels_changed": job.report.get("kept_pixels_changed"),
    }


def number_of(text: str) -> int | None:
    """The number in a path, with or without `.json`; None if it is none."""
    digits = text.removesuffix(".json")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 18:
        return None
    return int(digits)


def _time(moment: datetime | None) -> str | None:
    """A time in ISO 8601, in UTC with milliseconds."""
    if moment is None:
        return None
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
