"""The request for a prompt: a client's attributes as a recipe, pictures, and notes."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any

from inference.errors import InvalidPhoto, InvalidRecipe
from inference.picture.checked_network import parsed
from inference.picture.file_header import without_metadata
from inference.picture.photo import Photo
from inference.picture.url_fetch import fetch_file
from inference.recipe.prompt_block import field_line, parse
from inference.recipe.recipe import Recipe
from inference.rest.answers import InvalidFields
from inference.rest.request_body import Attributes

# Attributes of the hosted service under other names here.
ALIASES = {"aspect_ratio": "ar"}
THEIR_NAMES = {"prompt": "text"}
# Settings that may be right only together with another one.
WITH_OTHERS = ("controlnet_weights", "controlnet_windows")
# One line such as «e=mc2 --mask_invert», which is a text with flags and no field.
_FORMULA = re.compile(r"(?P<words>[a-z][a-z_0-9]*[ \t]*=.*?)(?P<flags>(\s--[a-z_]+.*)?)")
# Attributes that are no settings of the picture, or whose values are pictures.
NO_SETTINGS = frozenset(
    ("text", "prompt", "style", "callback", *ALIASES, "input_image", "input_image_base64",
     "input_image_url", "mask_image", "mask_image_base64", "mask_image_url")
)  # fmt: skip
#: Attributes of the hosted service that are accepted and mean nothing here, with the reason.
WITHOUT_MEANING = {
    "style": "the tune is the style",
    "theme": "it groups prompts there",
    "resolution": "w and h give the size",
    "backend_version": "there is one backend",
    "prompt_expansion": "the text is taken as it is",
}
NO_PHOTO = "There is no photo: send input_image, input_image_base64 or input_image_url."
NO_TEXT = "There is no text: say what to paint."
MAX_ADDRESS = 2000


@dataclass(frozen=True, kw_only=True)
class PromptRequest:
    """A request whose fields are valid; its pictures are not yet fetched.

    Attributes:
        recipe: all settings.
        given: the attributes that the client sent, with typed values, without pictures.
        callback: address that is told when the prompt is done; "" for none.
        attributes: as they came.
        notes: sentences about what means nothing here.
    """

    recipe: Recipe
    given: dict[str, Any]
    callback: str
    attributes: Attributes = field(repr=False)
    notes: tuple[str, ...]

    @classmethod
    def read(cls, attributes: Attributes, style: str) -> PromptRequest:
        """Check the attributes of a prompt.

        Args:
            attributes: what the client sent.
            style: key of the style of its tune.

        Raises:
            InvalidFields: with a sentence for each field that is wrong.
        """
        settings = {
            ALIASES.get(name, name): value
            for name, value in attributes.items()
            if name not in NO_SETTINGS or (name in ALIASES and value not in (None, ""))
        }
        known = {name: settings[name] for name in settings if name in Recipe.model_fields}
        text = _text(attributes.get("text"))
        errors = _address_errors(attributes) | ({} if text else {"text": [NO_TEXT]})
        recipe, unknown = Recipe(), tuple[str, ...]()
        try:
            recipe, unknown = _recipe(text, known)
        except InvalidRecipe as error:
            wrong = _errors(known) or {error.field or "base": [str(error)]}
            theirs = THEIR_NAMES | {ALIASES[name]: name for name in attributes if name in ALIASES}
            errors |= {theirs.get(name, name): told for name, told in wrong.items()}
        if errors:
            raise InvalidFields(errors)
        addresses = {name: getattr(recipe, name) for name in ("input_image_url", "mask_image_url")}
        for name, address in addresses.items():  # of a pasted block
            if address and _source(attributes, name.removesuffix("_url")) is None:
                attributes = attributes | {name: address}
        if _source(attributes, "input_image") is None:
            raise InvalidFields({"input_image": [NO_PHOTO]})
        left_out = [name for name in settings if name not in known] + list(unknown)
        return cls(
            recipe=recipe.model_copy(update={"style": style}),
            given=_given(attributes, recipe),
            callback=_text(attributes.get("callback")),
            attributes=attributes,
            notes=_notes(attributes, left_out),
        )

    def fingerprint(self, style: str) -> str:
        """A digest of all attributes and the style; pictures count by their content or address."""
        values = {
            name: hashlib.sha256(value).hexdigest() if isinstance(value, bytes) else value
            for name, value in self.attributes.items()
        }
        text = json.dumps([style, values], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def pictures(self) -> tuple[bytes, bytes | None, tuple[str, ...]]:
        """The files of photo and mask image, fetched where they are addresses, and notes on them.

        Raises:
            InvalidFields: one of them is no picture, or cannot be fetched.
        """
        photo, note = self._picture("input_image")
        mask, _ = self._picture("mask_image")
        if photo is None:
            raise InvalidFields({"input_image": [NO_PHOTO]})
        return photo, mask, (note,) if note else ()

    def _picture(self, name: str) -> tuple[bytes | None, str]:
        source = _source(self.attributes, name)
        if source is None:
            return None, ""
        value = self.attributes[source]
        try:
            if source.endswith("_url"):
                value = fetch_file(value)
            elif source.endswith("_base64"):
                value = _decoded(value)
            photo = Photo.open(value)
            return without_metadata(value), photo.note
        except InvalidPhoto as error:
            raise InvalidFields({source: [str(error)]}) from error


def _recipe(text: str, known: dict[str, Any]) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe of a text with flags and of fields, and the names of unknown flags.

    Raises:
        InvalidRecipe: a field or a flag has a wrong value.
    """
    lines, formula = [text], _FORMULA.fullmatch(text)
    if formula is not None:
        lines = [formula["flags"], field_line("prompt", formula["words"])]
    block = parse("\n".join([*lines, *(field_line(name, known[name]) for name in known)]))
    return block.recipe, block.unknown


def _errors(known: dict[str, Any]) -> dict[str, list[str]]:
    """The sentences for all settings that are wrong by themselves."""
    errors = {}
    for name, value in known.items():
        try:
            parse(field_line(name, value))
        except InvalidRecipe as error:
            if error.field == name and name not in WITH_OTHERS:
                errors[name] = [str(error)]
    return errors


def _notes(attributes: Attributes, left_out: list[str]) -> tuple[str, ...]:
    """Sentences about what means nothing here, and what is unknown."""
    notes = [
        f"{name} means nothing here: {WITHOUT_MEANING[name]}."
        for name in attributes
        if name in WITHOUT_MEANING and attributes[name] not in (None, "")
    ]
    unknown = ", ".join(name for name in left_out if name not in WITHOUT_MEANING)
    return tuple([*notes, f"Unknown, so left out: {unknown}."] if unknown else notes)


def _address_errors(attributes: Attributes) -> dict[str, list[str]]:
    errors = {}
    for name in ("callback", "input_image_url", "mask_image_url"):
        value = attributes.get(name)
        if value in (None, ""):
            continue
        try:
            if not isinstance(value, str) or len(value) > MAX_ADDRESS:
                raise InvalidPhoto(f"takes an address of at most {MAX_ADDRESS} characters.")
            parsed(value)
        except InvalidPhoto as error:
            errors[name] = [str(error)]
    return errors


def _source(attributes: Attributes, name: str) -> str | None:
    """The attribute that has the picture: the file itself, base64, or an address."""
    sources = (name, f"{name}_base64", f"{name}_url")
    return next((one for one in sources if attributes.get(one) not in (None, "", b"")), None)


def _decoded(value: object) -> bytes:
    """The file in a data URL, or in plain base64."""
    text = str(value)
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidPhoto("This is not base64: send data:image/png;base64,….") from error


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _given(attributes: Attributes, recipe: Recipe) -> dict[str, Any]:
    """The attributes as they are repeated: settings by their typed values, no pictures."""
    typed = recipe.model_dump(mode="json")
    given: dict[str, Any] = {}
    for name, value in attributes.items():
        is_set = value not in (None, "")
        if isinstance(value, bytes) or name.endswith("_base64"):
            continue
        setting = ALIASES.get(name, name)
        if setting in typed and name not in WITHOUT_MEANING and not name.endswith("_url"):
            given[name] = typed[setting] if is_set else None
        else:
            given[name] = value
    return given
