"""Bodies of requests for a prompt: multipart, a form or JSON, within limits."""

from __future__ import annotations

import json
import math
import re
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import FormParser, MultiPartException, MultiPartParser
from starlette.requests import Request

from inference.picture.photo import MAX_BYTES
from inference.rest.answers import InvalidFields, Refusal

# A photo and a mask in base64, and the other fields.
MAX_BODY = 2 * (MAX_BYTES * 4 // 3) + 2 * 2**20
MAX_FIELDS = 200
FILES = ("input_image", "mask_image")
_NAME = re.compile(r"prompt\[([a-z_0-9]{1,60})\](\[\])?")

#: What a client sent for each attribute; a picture as bytes.
Attributes = dict[str, Any]


async def attributes_of(request: Request) -> Attributes:
    """Read the attributes of a prompt from a request.

    Raises:
        Refusal: the body cannot be read, or is too long.
        InvalidFields: it has no prompt, or one with a value that is neither text nor a number.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    stream = _limited(request.stream())
    if kind == "multipart/form-data":
        parser: Any = MultiPartParser(
            request.headers, stream, max_files=len(FILES), max_fields=MAX_FIELDS,
            max_part_size=MAX_BODY,
        )  # fmt: skip
        return await _from_form(parser)
    if kind == "application/x-www-form-urlencoded":
        return await _from_form(FormParser(request.headers, stream))
    if kind == "application/json":
        return _from_json(b"".join([part async for part in stream]))
    raise Refusal(415, "Send multipart/form-data, or JSON with its content type.")


async def _limited(stream: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    count = 0
    async for part in stream:
        count += len(part)
        if count > MAX_BODY:
            raise Refusal(413, f"This is over {MAX_BODY >> 20} MB: send less.")
        yield part


async def _from_form(parser: Any) -> Attributes:
    try:
        form: FormData = await parser.parse()
    except (MultiPartException, ValueError, KeyError, LookupError) as error:
        raise Refusal(400, "The form cannot be read: send it anew.") from error
    try:
        found: Attributes = {}
        for key, value in form.multi_items():
            match = _NAME.fullmatch(key)
            if match is not None:
                found[match[1]] = await value.read() if isinstance(value, UploadFile) else value
    finally:
        await form.close()
    if not found:
        raise InvalidFields({"prompt": ["There is no prompt: send prompt[text] and others."]})
    return _checked(found)


def _from_json(data: bytes) -> Attributes:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Refusal(400, 'This is not JSON: send {"prompt": {…}}.') from error
    found = value.get("prompt") if isinstance(value, dict) else None
    if not isinstance(found, dict):
        raise InvalidFields({"prompt": ['There is no prompt: send {"prompt": {"text": …}}.']})
    if len(found) > MAX_FIELDS:
        raise Refusal(400, f"A prompt has at most {MAX_FIELDS} fields: send fewer.")
    for name in FILES:
        if found.get(name) is not None:
            told = f"is a file of multipart/form-data: send {name}_base64 or {name}_url in JSON."
            raise InvalidFields({name: [f"{name} {told}"]})
    return _checked(found)


def _checked(found: Mapping[str, Any]) -> Attributes:
    """The attributes without empty pictures; refuses values that are no scalars."""
    wrong = {
        name: ["takes text, a number, true or false."]
        for name in found
        if not _is_plain(found[name])
    }
    if wrong:
        raise InvalidFields({_shown(name): text for name, text in wrong.items()})
    for name in FILES:
        if isinstance(found.get(name), str) and found[name]:
            raise InvalidFields({name: [f"{name} is no file: send it as one."]})
    for name, value in found.items():
        if isinstance(value, bytes) and name not in FILES:
            raise InvalidFields({_shown(name): [f"{_shown(name)} takes text, and no file."]})
    return {_shown(name): value for name, value in found.items()}


def _is_plain(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, str):
        return not any("\ud800" <= one <= "\udfff" for one in value)
    return value is None or isinstance(value, (int, bool, bytes))


def _shown(name: str) -> str:
    """A name that is safe to repeat."""
    return name.encode("ascii", "replace").decode()[:60]
