"""The recipe and the mask inside a PNG: written with a result, read when it is dropped back in.

The recipe stands as a prompt block in an international text chunk, where other programs show it;
the mask as a grayscale PNG in a private chunk of its own (Portable Network Graphics, third
edition, sections 5 and 11.3.3). Nothing else goes in: no time, no place, no address.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from types import MappingProxyType

from inference.errors import InvalidRecipe
from inference.prompt_text import format_block, parse
from inference.recipe import Length, Recipe

SIGNATURE = b"\x89PNG\r\n\x1a\n"
KEYWORD = "masquerade"
TEXT, MASK = b"iTXt", b"maSk"  # the second: ancillary, private, safe to copy
MAX_CHUNKS = 2_000
# An address may be a secret of whoever sent it.
ADDRESSES = ("input_image_url", "mask_image_url")
# The mask image has all of this in it.
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
    """What a PNG of ours says of itself.

    Attributes:
        recipe: all settings, with the seed and the style that were used.
        mask: a picture file, white where it was repainted; None where the file does not say.
        unknown: fields that this version does not know.
    """

    recipe: Recipe
    mask: bytes | None = field(default=None, repr=False)
    unknown: tuple[str, ...] = ()

    @property
    def masked_recipe(self) -> Recipe:
        """The settings under which the mask, as a mask image, is what was painted with."""
        return self.recipe if self.mask is None else self.recipe.model_copy(update=AS_DRAWN)

    @property
    def told(self) -> str:
        """What of it is taken, in a sentence."""
        told = "This picture was painted here: its settings and its mask are back"
        return f"{told}, but for {', '.join(self.unknown)}." if self.unknown else f"{told}."


def embed(png: bytes, recipe: Recipe, mask: bytes) -> bytes:
    """A PNG with a recipe and a mask in it.

    Args:
        png: a PNG file as an encoder wrote it.
        recipe: with its concrete seed.
        mask: another one, of the same size, white where it was repainted.
    """
    known = recipe.model_copy(update=dict.fromkeys(ADDRESSES))
    # Between keyword and text: not compressed, in no language, under no other keyword.
    text = KEYWORD.encode() + bytes(5) + format_block(known).encode()
    first = len(SIGNATURE) + 25  # behind the header chunk, which has a fixed size
    return png[:first] + _chunk(TEXT, text) + _chunk(MASK, mask) + png[first:]


def read(data: bytes) -> Embedded | None:
    """What is embedded in a picture file; None if it is no PNG of ours.

    The mask is as untrusted as any upload: `Photo.open` is its decoder too.

    Raises:
        InvalidRecipe: the embedded recipe has a value that is not allowed.
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
    """Kind and body of each whole chunk of a PNG; nothing of another file."""
    at = len(SIGNATURE) if data.startswith(SIGNATURE) else len(data)
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4])
        kind, body = data[at + 4 : at + 8], data[at + 8 : end]
        if end + 4 > len(data) or zlib.crc32(kind + body) != int.from_bytes(data[end : end + 4]):
            return
        yield kind, body
        at = end + 4
