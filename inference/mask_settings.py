"""The part of a recipe that says what to find in the photo and what becomes of it."""

from __future__ import annotations

import re
from typing import NamedTuple

from pydantic import ValidationInfo, field_validator

from inference.knob import Knob
from inference.length import Length, MaskLength, Unit
from inference.settings import Settings
from inference.strokes import Strokes

THRESHOLDS = 0.05, 0.95
SEPARATORS, NEGATIVE_SEPARATORS = r"[,|\n]", r"[,|\s]"


class MaskSettings(Settings):
    """What to find in the photo and how to turn it into the region to repaint.

    Published order: union of `mask_prompt` → minus `mask_negative` → `mask_threshold`, without
    specks → `mask_strokes` → invert → dilate → feather. In the finished mask 255 means repaint.
    """

    mask_prompt: str = Knob(
        "foreground",
        "Words",
        "What to look for in the photo. Commas separate several things; a word may have a "
        "threshold of its own, as in hat:0.3.",
        max_length=500,
    )
    mask_negative: str = Knob(
        "clothes",
        "But not",
        "Taken out of what was found. Spaces or commas separate several things.",
        max_length=500,
    )
    mask_invert: bool = Knob(
        True,
        "Invert",
        "On: what the words name is kept and the rest repainted. Off: the other way round.",
    )
    mask_dilate: MaskLength = Knob(
        Length(value=0.5, unit=Unit.PERCENT),
        "Mask dilate",
        "Grows the repainted region; below zero it shrinks and leaves a margin of the photo. "
        "Pixels at generation size, or percent of the short side.",
        step=0.5,
    )
    mask_threshold: float = Knob(
        0.5,
        "Threshold",
        "How sure the word detector must be before a spot counts as found.",
        ge=THRESHOLDS[0],
        le=THRESHOLDS[1],
        step=0.01,
    )
    mask_feather: float = Knob(
        2.0,
        "Feather",
        "Width of the soft edge between photo and painting, in pixels at generation size.",
        ge=0,
        le=64,
        step=0.5,
    )

    mask_strokes: Strokes = Knob(
        (),
        "Strokes",
        "What was brushed in (+) and out (-) of what the words found, by hand.",
    )

    @field_validator("mask_prompt", "mask_negative")
    @classmethod
    def _thresholds_within_limits(cls, text: str, info: ValidationInfo) -> str:
        low, high = THRESHOLDS
        between = NEGATIVE_SEPARATORS if info.field_name == "mask_negative" else SEPARATORS
        given = (phrase.threshold for phrase in _split(text, between))
        if not all(low <= threshold <= high for threshold in given if threshold is not None):
            raise ValueError(f"takes thresholds from {low} to {high}, as in hat:0.3")
        return text

    @property
    def phrases(self) -> tuple[Phrase, ...]:
        """The phrases whose union is sought; commas and ``|`` separate them."""
        return _split(self.mask_prompt, SEPARATORS)

    @property
    def negative_phrases(self) -> tuple[Phrase, ...]:
        """The phrases that are taken out; white space, commas and ``|`` separate them."""
        return _split(self.mask_negative, NEGATIVE_SEPARATORS)


class Phrase(NamedTuple):
    """Words to look for, and their own threshold where one was given (``hat:0.3``)."""

    text: str
    threshold: float | None = None


def _split(text: str, separators: str) -> tuple[Phrase, ...]:
    """Each phrase once, in order, in lower case."""
    phrases: dict[str, Phrase] = {}
    for part in re.split(separators, re.sub(r"\s*:\s*(?=\d*\.?\d)", ":", text)):
        phrase = " ".join(part.split()).lower()
        match = re.fullmatch(r"(.*\S):(\d{0,3}\.?\d{1,6})", phrase, re.ASCII)
        word = Phrase(match[1], float(match[2])) if match else Phrase(phrase)
        if word.text:
            phrases.setdefault(word.text, word)
    return tuple(phrases.values())
