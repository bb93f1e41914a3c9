"""The mask settings of a recipe: words, threshold, strokes, invert, dilate, edges."""

from __future__ import annotations

import re
from typing import Annotated, Literal, NamedTuple

from pydantic import ValidationInfo, field_validator

from inference.recipe.length import Length, MaskLength, Unit
from inference.recipe.settings import EmptyIsNone, Setting, Settings
from inference.recipe.strokes import Strokes

THRESHOLDS = 0.05, 0.95
Edges = Literal["soft", "matte"]
SEPARATORS = r"[,|\n]"
# White space, too, but not in phrases for one person: `left person`, `largest face`, `person 2`.
NEGATIVE_SEPARATORS = (
    r"(?i)[,|]|(?<!\bleft)(?<!\bright)(?<!\blargest)(?<!\s)\s+"
    r"(?!\s|\d{1,2}(?![\w.]))"
)


class MaskSettings(Settings):
    """Settings of the mask: phrases to segment, and how their scores become a mask.

    Order of operations: union of `mask_prompt` → minus `mask_negative` → `mask_threshold`, without
    specks → `mask_strokes` → invert → dilate → feather or matte. In the
    finished mask 255 is repainted.
    """

    mask_prompt: str = Setting(
        "foreground",
        "Words",
        "What to look for in the photo. Commas separate several things; a word may have a "
        "threshold of its own, as in hat:0.3.",
        max_length=500,
    )
    mask_negative: str = Setting(
        "clothes",
        "But not",
        "Taken out of what was found. Spaces or commas separate several things.",
        max_length=500,
    )
    mask_invert: bool = Setting(
        True,
        "Invert",
        "On: what the words name is kept and the rest repainted. Off: the other way round.",
    )
    mask_dilate: MaskLength = Setting(
        Length(value=0.5, unit=Unit.PERCENT),
        "Mask dilate",
        "Grows the repainted region; below zero it shrinks and leaves a margin of the photo. "
        "Pixels of a picture whose short side is 512, or percent of the short side.",
        step=0.5,
    )
    mask_threshold: float = Setting(
        0.5,
        "Threshold",
        "How sure the word detector must be before a spot counts as found.",
        ge=THRESHOLDS[0],
        le=THRESHOLDS[1],
        step=0.01,
    )
    mask_feather: float = Setting(
        6.0,
        "Feather",
        "Width of the soft edge between photo and painting, in pixels of a picture whose short "
        "side is 512.",
        ge=0,
        le=64,
        step=0.5,
    )

    mask_edges: Annotated[Edges | None, EmptyIsNone] = Setting(
        None,
        "Edges",
        "Soft: a line, as wide as Feather says. Matte: single hairs are found along the line and "
        "freed of the old background's colour. Automatic: matte for people in photographs.",
    )
    mask_matte_width: float = Setting(
        24.0,
        "Matte width",
        "How far from the line single hairs are looked for, in pixels of a picture whose short "
        "side is 512; a sixth of it where there is no hair.",
        ge=1,
        le=64,
        step=0.5,
    )

    mask_strokes: Strokes = Setting(
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
        """The positive phrases, separated by commas, ``|`` or line breaks."""
        return _split(self.mask_prompt, SEPARATORS)

    @property
    def negative_phrases(self) -> tuple[Phrase, ...]:
        """The negative phrases, separated by white space, commas or ``|``.

        A number belongs to the word before it, `left`, `right` and `largest` to the word behind.
        """
        return _split(self.mask_negative, NEGATIVE_SEPARATORS)

    @property
    def has_clicks(self) -> bool:
        """Whether the strokes contain clicks."""
        return any(stroke.is_click for stroke in self.mask_strokes)


class Phrase(NamedTuple):
    """A phrase to segment, with its own threshold if one is given (``hat:0.3``)."""

    text: str
    threshold: float | None = None


def _split(text: str, separators: str) -> tuple[Phrase, ...]:
    """The distinct phrases, in order, in lower case."""
    phrases: dict[str, Phrase] = {}
    for part in re.split(separators, re.sub(r"\s*:\s*(?=\d*\.?\d)", ":", text)):
        phrase = " ".join(part.split()).lower()
        match = re.fullmatch(r"(.*\S):(\d{0,3}\.?\d{1,6})", phrase, re.ASCII)
        word = Phrase(match[1], float(match[2])) if match else Phrase(phrase)
        if word.text:
            phrases.setdefault(word.text, word)
    return tuple(phrases.values())
