"""Words for people and their parts, and where a photograph shows what a word means."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import cv2
import numpy as np

from inference.people.part_cleaning import largest_piece
from inference.people.parts import Part
from inference.people.turned_square import Floats

if TYPE_CHECKING:
    from inference.people.photo_reader import People

_PERSON = tuple(part for part in Part if part != Part.BACKGROUND)
#: The parts that each word covers. `head` takes in hair and hat but not the neck.
PARTS: Mapping[str, tuple[Part, ...]] = MappingProxyType(
    {
        "person": _PERSON,
        "foreground": _PERSON,
        "background": (Part.BACKGROUND,),
        "head": (Part.FACE, Part.EAR, Part.HAIR, Part.HAT, Part.GLASSES),
        "face": (Part.FACE, Part.EAR, Part.GLASSES),
        "hair": (Part.HAIR,),
        "skin": (Part.FACE, Part.EAR, Part.SKIN),
        "clothes": (Part.CLOTHES,),
        "hat": (Part.HAT,),
        "glasses": (Part.GLASSES,),
    }
)
_SYNONYMS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "person": ("people", "human", "man", "woman", "body"),
        "foreground": ("subject",),
        "background": ("backdrop", "scenery"),
        "hair": ("hairstyle",),
        "clothes": ("clothing", "outfit"),
        "hat": ("cap", "headwear"),
        "glasses": ("sunglasses", "spectacles"),
    }
)
_WORD_OF: Mapping[str, str] = MappingProxyType(
    {
        **{word: word for word in PARTS},
        **{other: word for word, others in _SYNONYMS.items() for other in others},
    }
)
#: Words that mean something in a photograph without people, too.
WITHOUT_PEOPLE = ("foreground", "background")
# A part seen in less than this share of the largest head, or of the picture, is a mistake; its
# probability is cut to `FAINT`.
LEAST_OF_HEAD, LEAST_OF_PICTURE = 0.02, 0.0005
SEEN, FAINT = 0.2, 0.15


def word_of(phrase: str) -> str | None:
    """The key of `PARTS` that a phrase means; None for other phrases."""
    words = phrase.lower().split()
    if words and words[0] in ("a", "an", "the"):
        words = words[1:]
    return _WORD_OF.get(" ".join(words))


def probability(people: People, word: str) -> Floats:
    """Where a photograph shows what a word, a key of `PARTS`, means: (h, w) in 0–1."""
    found = people.parts[list(PARTS[word])].sum(axis=0)
    if word == "background":
        return np.asarray(found, np.float32)
    head = people.parts[list(PARTS["head"])].sum(axis=0) > 0.5
    least = max(LEAST_OF_PICTURE * head.size, LEAST_OF_HEAD * float(largest_piece(head)))
    return _without_specks(np.asarray(found, np.float32), least)


def _without_specks(found: Floats, least: float) -> Floats:
    """Probabilities with those of connected parts below `least` pixels cut to `FAINT`."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats((found >= SEEN).astype(np.uint8))
    small = stats[:, cv2.CC_STAT_AREA] < least
    small[0] = True
    return np.where(small[labels], np.minimum(found, np.float32(FAINT)), found)
