"""Schema of the catalog: model families, styles, controls, LoRAs and their sources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, TypeAlias

from pydantic import (
    Field,
    field_validator,
)

from inference.catalog.sources import Entry, SingleFile, Source
from inference.errors import InvalidRecipe
from inference.recipe.lora_tags import LORA_WEIGHTS
from inference.recipe.prompt_weights import Weighting
from inference.recipe.recipe import CFG_SCALE, ControlMode, Recipe

#: Stable Diffusion 1.5 takes a 4:5 photo at 512×640, its usual size for portraits.
SD15_NATIVE_SIZE = 576

_LoraWeight: TypeAlias = Annotated[
    float, Field(ge=LORA_WEIGHTS[0], le=LORA_WEIGHTS[1], allow_inf_nan=False)
]
_Within: TypeAlias = Annotated[str, Field(pattern=r"^([\w-][\w.-]*/)*[\w-][\w.-]*\.safetensors$")]


class ImageAdapter(Entry):
    """The IP-Adapter of a control (Ye et al. 2023, arXiv:2308.06721).

    `file` is the adapter's file in the control's source; `encoder` has the CLIP image encoder that
    it was trained with, in `encoder_folder`.
    """

    file: _Within
    encoder: Source
    encoder_folder: str = ""


class ControlModel(Entry):
    """A ControlNet or, with `adapter`, an IP-Adapter; `key` is its name in a recipe."""

    key: str
    family: str
    title: str
    description: str = ""
    source: Source
    adapter: ImageAdapter | None = None


class Lora(Entry):
    """A LoRA for a family's checkpoints (Hu et al. 2021, arXiv:2106.09685).

    `file` is its file in the source; `trigger_words` go to the front of the prompt of each style
    that uses it.
    """

    key: str
    family: str
    title: str
    description: str = ""
    source: Source
    file: SingleFile = "pytorch_lora_weights.safetensors"
    trigger_words: str = ""


class PhotoModels(Entry):
    """Models that read people in photographs.

    Attributes:
        detectors: MediaPipe's small models of faces, bodies and people.
        parser: the human parser.
        words: the words that they answer, all that they know if None; the segmenter answers all
            others.
    """

    detectors: Source
    parser: Source
    words: tuple[str, ...] | None = None


class FastMode(Entry):
    """The settings, and LoRAs with weights, that a recipe's `fast` selects."""

    scheduler: str
    steps: int
    cfg_scale: float
    guidance_stop: float = 1.0
    loras: Mapping[str, float] = Field(default_factory=dict)

    @property
    def settings(self) -> dict[str, str | float]:
        """The recipe fields that it replaces."""
        return {
            "scheduler": self.scheduler,
            "steps": self.steps,
            "cfg_scale": self.cfg_scale,
            "guidance_stop": self.guidance_stop,
        }


class Family(Entry):
    """Models that work together, because their latents and UNets have one shape.

    Attributes:
        segmenter: CLIPSeg.
        point_segmenter: SAM, for clicks; regions are found by their colours without it.
        pose: ViTPose.
        configs: diffusers configs for styles whose checkpoint is a single file.
        enlarger: Swin2SR, for finished pictures.
        depth: depth estimator, for the control depth.
        rooms: semantic segmenter of ADE20K's classes, for the control segroom.
        checker: Stable Diffusion's safety checker.
        restorer: face restoration network as an ONNX graph, for `face_correct` where onnxruntime
            is installed.
        photo: models that read people in photographs.
        face: IP-Adapter for the likeness of faces, which recipes cannot name.
        fast: settings and LoRAs that a recipe's `fast` selects.
        controls, loras: models that recipes can name.
        weighting: how weights in a prompt act.
    """

    key: str
    title: str
    weighting: Weighting = "scaled"
    segmenter: Source
    point_segmenter: Source | None = None
    pose: Source
    configs: Source | None = None
    enlarger: Source | None = None
    depth: Source | None = None
    rooms: Source | None = None
    checker: Source | None = None
    restorer: Source | None = None
    photo: PhotoModels | None = None
    face: ControlModel | None = None
    fast: FastMode | None = None
    controls: Mapping[str, ControlModel] = Field(default_factory=dict)
    loras: Mapping[str, Lora] = Field(default_factory=dict)


class InpaintingCheckpoint(Entry):
    """The 9-channel twin of a style's checkpoint: it also sees the mask and what is kept.

    Attributes as of `Style`; `configs` describe a single file, in the place of the family's.
    """

    base: Source
    checkpoint: SingleFile | None = None
    configs: Source | None = None


class Style(Entry):
    """A checkpoint with the words and settings that suit it.

    Attributes:
        base: a folder in the diffusers layout or, with `checkpoint`, a folder with a single file.
        checkpoint: name of the single .safetensors file.
        inpainting: takes the checkpoint's place where something of the photo is kept.
        configs: of the single file; the family's by default.
        vae: replaces the checkpoint's own VAE.
        loras: weights by the keys of the family's LoRAs; styles that differ only in these share
            one checkpoint in memory.
        prompt_prefix, prompt_suffix: words around the user's prompt.
        negative_prompt: words before the user's own.
        cfg_scale, control_mode: defaults for recipes without them.
        native_size: side, in pixels, of a square with the pixel count to paint at.
        number: under which clients of the hosted service know it.
    """

    key: str
    family: str
    title: str
    description: str = ""
    base: Source
    checkpoint: SingleFile | None = None
    inpainting: InpaintingCheckpoint | None = None
    configs: Source | None = None
    vae: Source | None = None
    loras: Mapping[str, _LoraWeight] = Field(default_factory=dict)
    prompt_prefix: str = ""
    prompt_suffix: str = ""
    negative_prompt: str = ""
    cfg_scale: float = CFG_SCALE
    control_mode: ControlMode = "balanced"
    native_size: Annotated[int, Field(ge=64, le=1024, multiple_of=8)] = SD15_NATIVE_SIZE
    number: Annotated[int, Field(ge=1)] | None = None

    def for_inpainting(self) -> Style:
        """The style with its inpainting checkpoint; the style itself without one."""
        twin = self.inpainting
        if twin is None:
            return self
        return self.model_copy(
            update={"base": twin.base, "checkpoint": twin.checkpoint, "configs": twin.configs}
        )

    @field_validator("cfg_scale")
    @classmethod
    def _check_scale(cls, scale: float) -> float:
        try:
            Recipe.parse({"cfg_scale": scale})
        except InvalidRecipe as error:
            raise ValueError(str(error)) from error
        return scale

    @field_validator("loras")
    @classmethod
    def _drop_zero_weights(cls, loras: Mapping[str, float]) -> Mapping[str, float]:
        """Drop LoRAs of weight 0, by which a user's own file removes a LoRA."""
        return {key: weight for key, weight in loras.items() if weight}
