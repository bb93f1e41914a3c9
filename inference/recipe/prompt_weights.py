"""Attention weights and windows in a prompt, in the syntax of AUTOMATIC1111's web UI.

    (word)       weight 1.1, ((word)) 1.21
    [word]       weight 1 / 1.1
    (word:1.2)   weight 1.2; brackets within brackets multiply
    \\( \\) \\[ \\] \\\\ the characters themselves; other backslashes are dropped
    BREAK        what follows is read in a window of its own

A bracket that is not closed weighs all that follows; one that is not opened is an ordinary
character. Round and square brackets are matched independently.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

STEP = 1.1
# Well above useful weights, well below an overflow.
MAX_WEIGHT = 5.0

#: How weights act on embeddings; `painting.prompt_embeddings` has both ways.
Weighting = Literal["scaled", "extrapolated"]

_CLOSING = {"(": ")", "[": "]"}
_SIGNS = re.compile(r"\\[()\[\]\\]?|[()\[\]]")
_NUMBER = re.compile(r":\s{0,9}([+-]?(?:\d{1,6}(?:\.\d{0,20})?|\.\d{1,20}))\s{0,9}$", re.ASCII)
_LONGEST_NUMBER = 50
_BREAK = re.compile(r"\bBREAK\b")


class WeightedText(NamedTuple):
    """A part of a prompt.

    Attributes:
        text: the words.
        weight: -`MAX_WEIGHT` to `MAX_WEIGHT`; 1 is unweighted.
        starts_window: whether the part follows a BREAK.
    """

    text: str
    weight: float = 1.0
    starts_window: bool = False


def parse_weights(prompt: str) -> tuple[WeightedText, ...]:
    """Split a prompt into parts of one weight each.

    Never raises. A prompt without weights gives one part, an empty prompt none.
    """
    signs = list(_SIGNS.finditer(prompt))
    starts = [0, *(match.end() for match in signs)]
    ends = [*(match.start() for match in signs), len(prompt)]
    before = [prompt[start:end] for start, end in zip(starts, ends, strict=True)]
    closing = _pairs([match[0] for match in signs])
    opening = {closed: opened for opened, closed in closing.items()}
    pieces: list[WeightedText] = []
    factors: dict[int, float] = {}  # of the open brackets, by the index of each
    for index, (match, words) in enumerate(zip(signs, before, strict=False)):
        sign = match[0]
        if sign in _CLOSING:
            _add(pieces, words, factors)
            factors[index] = _factor(sign, before[closing[index]] if index in closing else "")
        elif index in opening:
            _add(pieces, words if sign == "]" else _NUMBER.sub("", words), factors)
            del factors[opening[index]]
        else:
            _add(pieces, words + sign.removeprefix("\\"), factors)
    _add(pieces, before[-1], factors)
    return tuple(pieces)


def _pairs(signs: list[str]) -> dict[int, int]:
    """The index of the bracket that closes each bracket; nothing for unclosed ones."""
    pairs: dict[int, int] = {}
    waiting: dict[str, list[int]] = {closing: [] for closing in _CLOSING.values()}
    for index, sign in enumerate(signs):
        if sign in _CLOSING:
            waiting[_CLOSING[sign]].append(index)
        elif waiting.get(sign):
            pairs[waiting[sign].pop()] = index
    return pairs


def _factor(sign: str, inside: str) -> float:
    """The factor of a bracket, given the words before the one that closes it."""
    if sign == "[":
        return 1 / STEP
    number = _NUMBER.search(inside[-_LONGEST_NUMBER:])
    return float(number[1]) if number else STEP


def _add(pieces: list[WeightedText], text: str, factors: Mapping[int, float]) -> None:
    """Append text; it is joined to the last part if that has the same weight."""
    if not text:
        return
    weight = _product(factors.values())
    first, *others = _between_breaks(text)
    last = pieces.pop() if pieces else WeightedText("", weight)
    if last.text and last.weight != weight and first:
        pieces += [last, WeightedText(first, weight)]
    elif last.text and last.weight != weight:
        pieces.append(last)
    elif last.text or first or last.starts_window:
        pieces.append(WeightedText(last.text + first, weight, last.starts_window))
    pieces += [WeightedText(one, weight, starts_window=True) for one in others]


def _between_breaks(text: str) -> list[str]:
    """The texts around each BREAK, without the white space beside it."""
    parts = _BREAK.split(text)
    for k in range(len(parts) - 1):
        parts[k], parts[k + 1] = parts[k].rstrip(), parts[k + 1].lstrip()
    return parts


def _product(factors: Iterable[float]) -> float:
    """The product within the limits; 0 times infinity is 0."""
    weight = math.prod(factors)
    return 0.0 if math.isnan(weight) else min(max(weight, -MAX_WEIGHT), MAX_WEIGHT)
