"""Writes and reads the recipe and mask that are embedded in a PNG.

The recipe is a prompt block in an international text chunk, which other programs show; the mask is
a grayscale PNG in a private chunk (Portable Network Graphics, third edition, sections 5 and
11.3.3). Times, places and addresses are not embedded.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from types import MappingProxyType

from inference.errors import InvalidRecipe
from inference.recipe.length import Length
from inference.recipe.prompt_block import format_block, parse
from inference.recipe.recipe import Recipe

SIGNATURE = b"\x89PNG\r\n\x1a\n"
KEYWORD = "masquerade"
TEXT, MASK = b"iTXt", b"maSk"  # the second: ancillary, private, safe to copy
MAX_CHUNKS = 2_000
# Fields that are left out, because an address may be secret.
ADDRESSES = ("input_image_url", "mask_image_url")
# Mask settings under which an embedded mask, used as a mask image, gives the same mask.
AS_DRAWN = MappingProxyType(
    {
        "mask_prompt": "",
        "mask_negative": "",
        "mask_strokes": "",
        "mask_invert": False,
        "mask_dilate": Length(value=0),
    }
)


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """Recipe and mask embedded in a PNG.

    Attributes:
        recipe: all settings, with the concrete seed and style.
        mask: a picture file, white = repainted; None without a mask.
        unknown: names of fields that this version does not know.
    """

    recipe: Recipe
    mask: bytes | None = field(default=None, repr=False)
    unknown: tuple[str, ...] = ()

    @property
    def masked_recipe(self) -> Recipe:
        """The recipe under which `mask`, used as mask image, gives the painted mask again."""
        return self.recipe if self.mask is None else self.recipe.model_copy(update=AS_DRAWN)

    @property
    def summary(self) -> str:
        """A sentence for the user about what was read."""
        text = "This picture was painted here: its settings and its mask are back"
        return f"{text}, but for {', '.join(self.unknown)}." if self.unknown else f"{text}."


def embed(png: bytes, recipe: Recipe, mask: bytes) -> bytes:
    """Embed a recipe and a mask in a PNG file.

    Args:
        png: the file as an encoder wrote it.
        recipe: with its concrete seed.
        mask: a PNG file of the same size, white = repainted.

    Returns:
        The new file.
    """
    known = recipe.model_copy(update=dict.fromkeys(ADDRESSES))
    # Five zero bytes: end of keyword, no compression (2), empty language, no translated keyword.
    text = KEYWORD.encode() + bytes(5) + format_block(known).encode()
    first = len(SIGNATURE) + 25  # after the header chunk, which has a fixed size
    return png[:first] + _chunk(TEXT, text) + _chunk(MASK, mask) + png[first:]


def read(data: bytes) -> Embedded | None:
    """Read the recipe and mask embedded in a picture file; None if there are none.

    The mask is as untrusted as any upload: decode it with `Photo.open`.

    Raises:
        InvalidRecipe: the embedded recipe has an invalid value.
    """
    found = {kind: body for kind, body in islice(_chunks(data), MAX_CHUNKS) if _is_ours(kind, body)}
    if TEXT not in found:
        return None
    try:
        text = found[TEXT].split(b"\0", 5)[5].decode()
    except (IndexError, UnicodeDecodeError) as error:
        raise InvalidRecipe("The settings in this picture are damaged: set them anew.") from error
    block = parse(text)
    return Embedded(recipe=block.recipe, mask=found.get(MASK), unknown=block.unknown)


def _is_ours(kind: bytes, body: bytes) -> bool:
    return kind == MASK or (kind == TEXT and body.startswith(KEYWORD.encode() + b"\0"))


def _chunk(kind: bytes, body: bytes) -> bytes:
    check = zlib.crc32(kind + body)
    return len(body).to_bytes(4) + kind + body + check.to_bytes(4)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Type and body of each intact chunk of a PNG; nothing for other files."""
    at = len(SIGNATURE) if data.startswith(SIGNATURE) else len(data)
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4])
        kind, body = data[at + 4 : at + 8], data[at + 8 : end]
        if end + 4 > len(data) or zlib.crc32(kind + body) != int.from_bytes(data[end : end + 4]):
            return
        yield kind, body
        at = end + 4
