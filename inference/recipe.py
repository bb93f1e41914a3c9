"""The recipe: everything that decides a picture, and the one place where ranges and defaults stand.

The page, the Python and HTTP interfaces and the documentation all read `Recipe.model_fields`;
none of them repeats a number. Field names are those of the prompt block that people paste.
"""

from __future__ import annotations

import re
import secrets
from typing import Annotated, Any, Literal, NamedTuple, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.config import JsonDict
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from inference.errors import InvalidRecipe
from inference.length import Length as Length  # a part of the recipe's language
from inference.length import MaskLength
from inference.length import Unit as Unit
from inference.strokes import Strokes

MAX_TEXT = 10_000
MAX_SEED = 2**32
THRESHOLDS = 0.05, 0.95
SEPARATORS, NEGATIVE_SEPARATORS = r"[,|\n]", r"[,|\s]"


def _blank_is_none(value: object) -> object:
    """An empty field of a form or prompt block means «not given»."""
    return None if isinstance(value, str) and not value.strip() else value


def Knob(  # noqa: N802 - reads as a kind of Field at the place of use
    default: Any, title: str, hint: str, *, step: float | None = None, **limits: Any
) -> Any:
    """A pydantic `Field` with what a page needs to show it: title, help text and slider step."""
    extra: JsonDict | None = {"step": step} if step is not None else None
    return Field(default, title=title, description=hint, json_schema_extra=extra, **limits)


class MaskSettings(BaseModel):
    """What to find in the photo and how to turn it into the region to repaint.

    Published order: union of `mask_prompt` → minus `mask_negative` → `mask_threshold`, without
    specks → `mask_strokes` → invert → dilate → feather. In the finished mask 255 means repaint.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

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

    @field_validator("*", mode="before")
    @classmethod
    def _no_yes_for_a_number(cls, value: object, info: ValidationInfo) -> object:
        """Python counts True as 1; a person who ticks a box does not mean a number."""
        numeric = {int, float} & _kinds(cls.model_fields[str(info.field_name)])
        if numeric and isinstance(value, bool):
            raise ValueError("takes a number")
        return value

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


SchedulerName = Literal[
    "euler", "euler_a", "dpm++2m", "dpm++2m_karras", "dpm++sde", "dpm++sde_karras", "lcm", "tcd",
]  # fmt: skip
SCHEDULERS: tuple[str, ...] = get_args(SchedulerName)
AspectRatio = Literal[
    "1:1", "16:9", "9:16", "21:9", "9:21", "3:2", "2:3", "5:4", "4:5", "4:3", "3:4",
    "portrait", "landscape",
]  # fmt: skip
Blank = BeforeValidator(_blank_is_none)


class Recipe(MaskSettings):
    """One picture's worth of decisions: the mask's settings and the painting's.

    Raises:
        InvalidRecipe: from `Recipe.parse` for values from outside; it names field and range.
    """

    prompt: str = Knob(
        "", "Prompt", "The new scene, in words: who, wearing what, where.", max_length=MAX_TEXT
    )
    negative_prompt: str = Knob(
        "text, watermark, cropped",
        "Negative prompt",
        "What to stay away from.",
        max_length=MAX_TEXT,
    )
    style: Annotated[str | None, Blank] = Knob(
        None, "Style", "Which painter's hand. Empty: the best one that is at hand.", max_length=100
    )
    denoising_strength: float = Knob(
        1.0,
        "Denoising strength",
        "How far the repainted region may move away from the photo: 0 not at all, 1 entirely.",
        ge=0,
        le=1,
        step=0.01,
    )
    cfg_scale: float = Knob(
        5.0,
        "CFG scale",
        "Guidance scale: how literally the prompt is taken. Too much burns the colours.",
        ge=0,
        le=15,
        step=0.1,
    )
    steps: int = Knob(
        20, "Steps", "Denoising steps. More are slower and finer.", ge=1, le=50, step=1
    )
    seed: Annotated[int | None, Blank] = Knob(
        None,
        "Seed",
        "The same seed paints the same picture again. Empty: a new one each time.",
        ge=0,
        le=MAX_SEED,
    )
    num_images: int = Knob(
        1, "Images", "How many pictures; picture k uses the seed plus k.", ge=1, le=8, step=1
    )
    scheduler: SchedulerName = Knob(
        "dpm++2m_karras", "Scheduler", "The solver that walks from noise to picture."
    )
    controlnet: Annotated[str | None, Blank] = Knob(
        "pose",
        "Control",
        "What of the photo guides the painting, beside the words.",
        max_length=100,
    )
    controlnet_conditioning_scale: float = Knob(
        1.0, "Control scale", "How strongly the control map guides.", ge=0, le=1, step=0.05
    )
    ar: Annotated[AspectRatio | None, Blank] = Knob(
        None, "Aspect ratio", "Crops the photo to this shape. Empty: as the photo is."
    )
    w: Annotated[int | None, Blank] = Knob(
        None, "Width", "Width of the result in pixels, with the height.",
        ge=64, le=4096, multiple_of=8,
    )  # fmt: skip
    h: Annotated[int | None, Blank] = Knob(
        None, "Height", "Height of the result in pixels, with the width.",
        ge=64, le=4096, multiple_of=8,
    )  # fmt: skip

    @classmethod
    def parse(cls, fields: dict[str, object]) -> Recipe:
        """Build a recipe from untrusted values.

        Raises:
            InvalidRecipe: a field is unknown or its value is not allowed; one clear sentence.
        """
        try:
            recipe = cls.model_validate(fields)
        except ValidationError as error:
            raise _first_fault(error.errors()[0], cls) from error
        if (recipe.w is None) != (recipe.h is None):
            missing = "w" if recipe.w is None else "h"
            raise InvalidRecipe("Give both width and height, or neither.", field=missing)
        return recipe

    def with_seed(self) -> Recipe:
        """This recipe with a concrete seed: its own, or a random one."""
        if self.seed is not None:
            return self
        return self.model_copy(update={"seed": secrets.randbelow(MAX_SEED)})


def _first_fault(fault: ErrorDetails, model: type[BaseModel]) -> InvalidRecipe:
    """Say what is wrong with one field, and what it takes."""
    if not fault["loc"]:
        return InvalidRecipe("A recipe is a set of fields with names and values.")
    name = str(fault["loc"][0])
    field = model.model_fields.get(name)
    if field is None:
        shown = " ".join(name.split())[:40]
        return InvalidRecipe(f"There is no field «{shown}» in a recipe.", field=name)
    return InvalidRecipe(f"{field.title} ({name}): {_needed(field, fault)}.", field=name)


def _kinds(field: FieldInfo) -> set[Any]:
    """The types that a field may have."""
    return {field.annotation, *get_args(field.annotation)}


def _needed(field: FieldInfo, fault: ErrorDetails) -> str:
    """What a field takes, from its own limits."""
    names = ("ge", "le", "multiple_of", "max_length")
    limits = {name: getattr(m, name) for m in field.metadata for name in names if hasattr(m, name)}
    if "ge" in limits:
        kind = "a whole number" if int in _kinds(field) else "a number"
        kind = f"a multiple of {limits['multiple_of']}" if "multiple_of" in limits else kind
        return f"takes {kind} from {limits['ge']:.10g} to {limits['le']:.10g}"
    if "max_length" in limits and fault["type"] != "value_error":
        return f"takes text of at most {limits['max_length']} characters"
    if field.annotation is bool:
        return "takes true or false"
    if fault["type"] == "literal_error":
        return f"takes one of {fault['ctx']['expected']}"
    return fault["msg"].removeprefix("Value error, ")
