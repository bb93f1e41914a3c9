"""The recipe: all settings of a picture, with their ranges, defaults, labels and help texts.

Ranges and defaults are defined only here: the page, the Python and HTTP interfaces and the
documentation read `Recipe.model_fields`. Field names are those of the prompt block.
"""

from __future__ import annotations

import secrets
from itertools import zip_longest
from typing import Annotated, Literal, Self, get_args

from pydantic import BaseModel, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from inference.errors import InvalidRecipe
from inference.recipe.control_list import Control, Names, Weights, Windows
from inference.recipe.finish_settings import RETOUCH, FinishSettings
from inference.recipe.length import Length as Length
from inference.recipe.length import Unit as Unit
from inference.recipe.mask_settings import MaskSettings as MaskSettings
from inference.recipe.mask_settings import Phrase as Phrase
from inference.recipe.outpaint_settings import OutpaintSettings
from inference.recipe.settings import MAX_TEXT, EmptyIsNone, Setting, field_types

MAX_SEED = 2**32
CFG_SCALE = 5.0  # if neither recipe nor style sets one

SchedulerName = Literal[
    "euler", "euler_a", "dpm++2m", "dpm++2m_karras", "dpm++sde", "dpm++sde_karras", "lcm", "tcd",
]  # fmt: skip
ControlMode = Literal["balanced", "unbalanced"]
SCHEDULERS: tuple[str, ...] = get_args(SchedulerName)
AspectRatio = Literal[
    "1:1", "16:9", "9:16", "21:9", "9:21", "3:2", "2:3", "5:4", "4:5", "4:3", "3:4",
    "portrait", "landscape",
]  # fmt: skip


class Recipe(MaskSettings, FinishSettings, OutpaintSettings):
    """All settings of a picture: of the mask, the painting and the finishing.

    `Recipe.parse` reads untrusted values.
    """

    prompt: str = Setting(
        "", "Prompt", "The new scene, in words: who, wearing what, where.", max_length=MAX_TEXT
    )
    negative_prompt: str = Setting(
        "text, watermark, cropped",
        "Negative prompt",
        "What to stay away from.",
        max_length=MAX_TEXT,
    )
    style: Annotated[str | None, EmptyIsNone] = Setting(
        None, "Style", "Which painter's hand. Empty: the best one that is at hand.", max_length=100
    )
    denoising_strength: float = Setting(
        1.0,
        "Denoising strength",
        "How far the repainted region may move away from the photo: 0 not at all, 1 entirely.",
        ge=0,
        le=1,
        step=0.01,
    )
    cfg_scale: Annotated[float | None, EmptyIsNone] = Setting(
        None,
        "CFG scale",
        "Guidance scale: how literally the prompt is taken. Too much burns the colours. Where "
        "none is given, what suits the style.",
        ge=0,
        le=15,
        step=0.1,
    )
    fast: bool = Setting(
        False,
        "Fast",
        "Few steps, with the settings and the LoRA that the style's models have for it; they take "
        "the place of CFG scale, Guidance until, Steps and Scheduler.",
    )
    guidance_stop: float = Setting(
        1.0,
        "Guidance until",
        "The part of the steps after which guidance is dropped, which halves what a step costs.",
        ge=0,
        le=1,
        step=0.05,
    )
    steps: int = Setting(
        20, "Steps", "Denoising steps. More are slower and finer.", ge=1, le=50, step=1
    )
    seed: Annotated[int | None, EmptyIsNone] = Setting(
        None,
        "Seed",
        "The same seed paints the same picture again. Empty: a new one each time.",
        ge=0,
        le=MAX_SEED,
    )
    num_images: int = Setting(
        1, "Images", "How many pictures; picture k uses the seed plus k.", ge=1, le=8, step=1
    )
    scheduler: SchedulerName = Setting(
        "dpm++2m_karras", "Scheduler", "The solver that walks from noise to picture."
    )
    controlnet: Annotated[str | None, EmptyIsNone] = Setting(
        "pose",
        "Control",
        "What of the photo guides the painting, beside the words.",
        max_length=100,
    )
    controlnet_conditioning_scale: float = Setting(
        1.0, "Control scale", "How strongly the control map guides.", ge=0, le=1, step=0.05
    )
    control_guidance_end: float = Setting(
        1.0,
        "Control until",
        "The part of the steps after which the control map no longer guides.",
        ge=0,
        le=1,
        step=0.05,
    )
    control_mode: Annotated[ControlMode | None, EmptyIsNone] = Setting(
        None,
        "Control mode",
        "Balanced: beside the words. Unbalanced: the guidance scale strengthens the control maps "
        "as it does the words. Where none is given, what suits the style.",
    )
    controlnets: Names = Setting(
        (),
        "Several controls",
        "Names, such as pose canny. They take the place of Control.",
    )
    controlnet_weights: Weights = Setting(
        (), "Their weights", "One for each, in the same order; 1 where none is given."
    )
    controlnet_windows: Windows = Setting(
        (),
        "Their windows",
        "From where to where in the steps each guides, such as 0-0.6; 0-1 where none is given.",
    )
    controlnet_txt2img: bool = Setting(
        False,
        "Guide by control only",
        "Paints everything from nothing; of the photo only the control map guides.",
    )
    use_lpw: bool = Setting(
        True,
        "Long prompt",
        "Reads weights such as (word:1.2), and prompts of any length. Off: plain words, up to "
        "where the model's window ends.",
    )
    inpainting_model: bool = Setting(
        True,
        "Inpainting model",
        "Shows the painter what is kept, so that the new part fits better: by the style's "
        "inpainting checkpoint, or by the control inpaint where it has none.",
    )
    input_image_url: str = Setting(
        "", "Photo address", "Where the photo is on the web, instead of an upload.", max_length=2000
    )
    mask_image_url: str = Setting(
        "", "Mask address", "Where a mask image is on the web; its white counts as found.",
        max_length=2000,
    )  # fmt: skip
    ar: Annotated[AspectRatio | None, EmptyIsNone] = Setting(
        None, "Aspect ratio", "Crops the photo to this shape. Empty: as the photo is."
    )
    w: Annotated[int | None, EmptyIsNone] = Setting(
        None, "Width", "Width of the result in pixels, with the height.",
        ge=64, le=4096, multiple_of=8,
    )  # fmt: skip
    h: Annotated[int | None, EmptyIsNone] = Setting(
        None, "Height", "Height of the result in pixels, with the width.",
        ge=64, le=4096, multiple_of=8,
    )  # fmt: skip

    @classmethod
    def parse(cls, fields: dict[str, object]) -> Recipe:
        """Build a recipe from untrusted values.

        Raises:
            InvalidRecipe: a field is unknown or its value is invalid; names field and range.
        """
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            raise _invalid_field(error.errors()[0], cls) from error

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        """Refuse fields that contradict each other."""
        if (self.w is None) != (self.h is None):
            missing = "w" if self.w is None else "h"
            raise InvalidRecipe("Give both width and height, or neither.", field=missing)
        for name in ("controlnet_weights", "controlnet_windows"):
            if len(getattr(self, name)) > len(self.controlnets):
                title = type(self).model_fields[name].title
                raise InvalidRecipe(
                    f"{title} ({name}): there are more than controlnets names.", field=name
                )
        return self

    @property
    def only_outpaints(self) -> bool:
        """Whether the picture is the photo as it is, on a larger canvas."""
        return self.outpaint is not None and self.denoising_strength == 0

    @property
    def enlarges_all(self) -> bool:
        """Whether the photo is only enlarged, and no words say what of it to keep."""
        return self.only_upscale and not self.mask_prompt.strip()

    @property
    def refine_strength(self) -> float:
        """Denoising strength of the pass that refines."""
        given = self.only_upscale and self.denoising_strength < 1
        return self.denoising_strength if given else self.hires_denoising_strength

    @property
    def guidance_scale(self) -> float:
        """`cfg_scale`, or `CFG_SCALE` where it is None."""
        return CFG_SCALE if self.cfg_scale is None else self.cfg_scale

    @property
    def controls(self) -> tuple[Control, ...]:
        """The controls of weight above 0: `controlnets`, or else `controlnet`."""
        if not self.controlnets:
            scale, window = self.controlnet_conditioning_scale, (0.0, self.control_guidance_end)
            single = () if self.controlnet is None else (Control(self.controlnet, scale, window),)
            return tuple(one for one in single if one.weight > 0 and one.window[1] > 0)
        together = zip_longest(self.controlnets, self.controlnet_weights, self.controlnet_windows)
        every = (
            Control(name, 1.0 if weight is None else weight, window or (0.0, 1.0))
            for name, weight, window in together
        )
        return tuple(one for one in every if one.weight > 0)

    def is_retouch_of(self, painted: Recipe) -> bool:
        """Whether it differs from a painted recipe only in the fields of `RETOUCH`."""
        same = self.model_copy(update={name: getattr(painted, name) for name in RETOUCH})
        return self != painted and same == painted

    def with_seed(self) -> Recipe:
        """The recipe with a concrete seed: its own or a random one."""
        if self.seed is not None:
            return self
        return self.model_copy(update={"seed": secrets.randbelow(MAX_SEED)})


def _invalid_field(fault: ErrorDetails, model: type[BaseModel]) -> InvalidRecipe:
    """The error for one invalid field; its message gives the allowed values."""
    if not fault["loc"]:
        return InvalidRecipe("A recipe is a set of fields with names and values.")
    name = str(fault["loc"][0])
    field = model.model_fields.get(name)
    if field is None:
        shown = " ".join(name.split())[:40]
        return InvalidRecipe(f"There is no field «{shown}» in a recipe.", field=name)
    return InvalidRecipe(f"{field.title} ({name}): {_needed(field, fault)}.", field=name)


def _needed(field: FieldInfo, fault: ErrorDetails) -> str:
    """A field's allowed values in words, from its constraints."""
    names = ("ge", "le", "multiple_of", "max_length")
    limits = {name: getattr(m, name) for m in field.metadata for name in names if hasattr(m, name)}
    if "ge" in limits:
        kind = "a whole number" if int in field_types(field) else "a number"
        kind = f"a multiple of {limits['multiple_of']}" if "multiple_of" in limits else kind
        return f"takes {kind} from {limits['ge']:.10g} to {limits['le']:.10g}"
    if field.annotation is bool:
        return "takes true or false"
    if fault["type"] == "string_unicode":
        return "takes text of whole characters, and there is half of one: type it anew"
    if "max_length" in limits and fault["type"] != "value_error":
        return f"takes text of at most {limits['max_length']} characters"
    if fault["type"] == "literal_error":
        return f"takes one of {fault['ctx']['expected']}"
    return fault["msg"].removeprefix("Value error, ")
