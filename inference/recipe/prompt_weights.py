"""Attention weights in a prompt, in the syntax of AUTOMATIC1111's web UI: `(word:1.2)`.

    (word)       weight 1.1, ((word)) 1.21
    [word]       weight 1 / 1.1
    (word:1.2)   weight 1.2; brackets within brackets multiply
    \\( \\) \\[ \\] the brackets themselves

A bracket without its counterpart is an ordinary character.
"""

from __future__ import annotations

import re
from typing import NamedTuple

STEP = 1.1
# Well above useful weights, well below an overflow.
MAX_WEIGHT = 5.0

_CLOSING = {"(": ")", "[": "]"}
_SIGNS = re.compile(r"\\[()\[\]\\]|[()\[\]]")
_NUMBER = re.compile(r":\s{0,9}(\d{1,6}(?:\.\d{0,20})?|\.\d{1,20})\s{0,9}$", re.ASCII)
_LONGEST_NUMBER = 50


class WeightedText(NamedTuple):
    """A part of a prompt and its weight, 0–`MAX_WEIGHT`; 1 is unweighted."""

    text: str
    weight: float = 1.0


def parse_weights(prompt: str) -> tuple[WeightedText, ...]:
    """Split a prompt into parts of one weight each.

    Never raises. A prompt without weights gives one part, an empty prompt none.
    """
    signs = list(_SIGNS.finditer(prompt))
    partner = _pairs([match[0] for match in signs])
    pieces: list[WeightedText] = []
    weights = [1.0]
    place = 0
    for index, match in enumerate(signs):
        sign, words = match[0], prompt[place : match.start()]
        place = match.end()
        if sign.startswith("\\"):
            _add(pieces, words + sign[1], weights[-1])
        elif index not in partner:
            _add(pieces, words + sign, weights[-1])
        elif sign in _CLOSING:
            _add(pieces, words, weights[-1])
            end = signs[partner[index]].start()
            weights.append(min(weights[-1] * _factor(sign, prompt[place:end]), MAX_WEIGHT))
        else:
            _add(pieces, words if sign == "]" else _NUMBER.sub("", words), weights.pop())
    _add(pieces, prompt[place:], 1.0)
    return tuple(pieces)


def _pairs(signs: list[str]) -> dict[int, int]:
    """The index of each bracket's counterpart, in both directions."""
    partner: dict[int, int] = {}
    waiting: list[int] = []
    count = dict.fromkeys(_CLOSING.values(), 0)
    for index, sign in enumerate(signs):
        if sign in _CLOSING:
            waiting.append(index)
            count[_CLOSING[sign]] += 1
        elif count.get(sign):
            while True:
                opened = waiting.pop()
                count[_CLOSING[signs[opened]]] -= 1
                if _CLOSING[signs[opened]] == sign:
                    break
            partner |= {opened: index, index: opened}
    return partner


def _factor(sign: str, inside: str) -> float:
    if sign == "[":
        return 1 / STEP
    number = _NUMBER.search(inside[-_LONGEST_NUMBER:])
    return float(number[1]) if number else STEP


def _add(pieces: list[WeightedText], text: str, weight: float) -> None:
    """Append text; it is joined to the last part if that has the same weight."""
    if pieces and pieces[-1].weight == weight:
        pieces[-1] = WeightedText(pieces[-1].text + text, weight)
    elif text:
        pieces.append(WeightedText(text, weight))
