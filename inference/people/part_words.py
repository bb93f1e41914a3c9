"""Words for people and their parts, and where a photograph shows what a word means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

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


#: A person among several: the number from the left, from 1 on, or a side, or the largest.
Which = int | Literal["left", "right", "largest"]
_NUMBERED = re.compile(r"(.+) (\d{1,2})", re.ASCII)
_SIDES: Mapping[str, Which] = MappingProxyType(
    {"left": "left", "right": "right", "largest": "largest"}
)


@dataclass(frozen=True, kw_only=True)
class OnePerson:
    """What a phrase for one person of several means, such as `face 2` or `left person`.

    Attributes:
        noun: the phrase for all of them: a word for people or a part of them.
        which: the person.
    """

    noun: str
    which: Which


def one_person(phrase: str) -> OnePerson | None:
    """The person, or a person's part, that a phrase means; None for phrases for all people."""
    words = _without_article(phrase)
    first, _, rest = words.partition(" ")
    if first in _SIDES and means_people(rest):
        return OnePerson(noun=rest, which=_SIDES[first])
    match = _NUMBERED.fullmatch(words)
    if match and means_people(match[1]):
        return OnePerson(noun=match[1], which=int(match[2]))
    return None


def means_people(phrase: str) -> bool:
    """Whether a phrase is a word for people or a part of them."""
    return word_of(phrase) not in (None, "background")


def word_of(phrase: str) -> str | None:
    """The key of `PARTS` that a phrase means; None for other phrases."""
    return _WORD_OF.get(_without_article(phrase))


def _without_article(phrase: str) -> str:
    """A phrase in lower case, with single spaces, without an article before it."""
    words = phrase.lower().split()
    return " ".join(words[words[:1] in (["a"], ["an"], ["the"]) :])


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
