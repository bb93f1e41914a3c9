"""OpenAPI schemas of the REST service: prompt and tune objects, bodies, and refusals."""

from __future__ import annotations

from typing import Any

from inference.recipe.recipe import Recipe
from inference.rest.prompt_request import WITHOUT_MEANING

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_TIME: Schema = {"type": ["string", "null"], "format": "date-time"}
_ID: Schema = {"type": ["integer", "string"]}

TUNE: Schema = {
    "type": "object",
    "required": ["id", "title", "name", "url"],
    "properties": {
        "id": _ID, "title": _TEXT, "name": _TEXT, "description": _TEXT, "branch": _TEXT,
        "model_type": _TEXT, "url": _TEXT,
    },
}  # fmt: skip

PROMPT: Schema = {
    "type": "object",
    "description": "A prompt with all fields that were given; trained_at is null until it is done.",
    "required": ["id", "text", "created_at", "updated_at", "tune_id", "url", "images"],
    "properties": {
        "id": {"type": "integer"},
        "text": _TEXT,
        "callback": {"type": ["string", "null"]},
        "trained_at": _TIME,
        "started_training_at": _TIME,
        "created_at": _TIME,
        "updated_at": _TIME,
        "tune_id": _ID,
        "url": _TEXT,
        "images": {"type": "array", "items": _TEXT},
        "state": {"enum": ["queued", "running", "done", "failed", "cancelled"]},
        "error": {"type": ["string", "null"]},
        "notes": {"type": "array", "items": _TEXT},
        "kept_pixels_changed": {"type": ["integer", "null"]},
    },
}
SENTENCE: Schema = {"type": "object", "properties": {"detail": _TEXT}, "required": ["detail"]}
BY_FIELD: Schema = {
    "type": "object",
    "additionalProperties": {"type": "array", "items": _TEXT},
}
_REASONS = {
    400: "The request cannot be read.",
    401: "There is no token, or it is not known.",
    404: "There is nothing of yours at this address.",
    413: "The body is too long.",
    415: "The body is neither multipart nor JSON.",
    429: "Too many prompts wait; Retry-After gives the seconds to wait.",
    503: "This server keeps no library.",
    507: "The disk is full.",
}


def answer(schema: Schema, about: str) -> Schema:
    """The description of an answer in JSON."""
    return {"description": about, "content": {"application/json": {"schema": schema}}}


def errors(*statuses: int) -> dict[int | str, Schema]:
    """The descriptions of refusals, by status; those of every route are always among them."""
    found: dict[int | str, Schema] = {
        status: answer(SENTENCE, _REASONS[status]) for status in (400, 503, 507, *statuses)
    }
    return {**found, 422: answer(BY_FIELD, "Fields have wrong values: sentences by field.")}


def prompt_body() -> Schema:
    """The description of the body of a request for a prompt."""
    fields = _fields()
    as_json = {"type": "object", "properties": {"prompt": fields}, "required": ["prompt"]}
    files = {name: {"type": "string", "format": "binary"} for name in ("input_image", "mask_image")}
    parts = {f"prompt[{name}]": schema for name, schema in (fields["properties"] | files).items()}
    as_form = {"type": "object", "properties": parts, "required": ["prompt[text]"]}
    return {
        "required": True,
        "content": {
            "application/json": {"schema": as_json},
            "multipart/form-data": {"schema": as_form},
        },
    }


def _fields() -> Schema:
    """The attributes of a prompt, with ranges and descriptions of the recipe."""
    settings = Recipe.model_json_schema(mode="serialization")["properties"]
    for name in ("prompt", "style"):
        del settings[name]
    plain = {
        name: {key: value for key, value in schema.items() if key not in ("default", "step")}
        for name, schema in settings.items()
    }
    about = {"text": "What to paint, with flags such as --mask_prompt foreground."}
    about |= {name: f"Accepted; {why}." for name, why in WITHOUT_MEANING.items()}
    about |= {
        "callback": "Address that gets the prompt by POST once it has ended.",
        "aspect_ratio": "As ar.",
        "input_image_base64": "The photo as a data URL, in place of input_image.",
        "mask_image_base64": "The mask image as a data URL.",
    }
    more = {name: {**_TEXT, "description": text} for name, text in about.items()}
    return {"type": "object", "properties": more | plain, "required": ["text"]}
