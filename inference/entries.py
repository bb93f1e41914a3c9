"""What stands in a catalog: model families and styles, and where each model comes from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator

from inference.errors import InvalidRecipe
from inference.prompt_words import LORA_WEIGHTS
from inference.recipe import CFG_SCALE, ControlMode, Recipe

#: Only what cannot run code when it is opened; pickles (.bin, .ckpt, .pt) are never fetched. An
#: .onnx graph holds weights and the names of known operators.
SAFE_SUFFIXES = (".safetensors", ".json", ".txt", ".onnx")

#: Stable Diffusion 1.5 takes a 4:5 photo at 512×640, its usual size for portraits.
SD15_NATIVE_SIZE = 576

_LoraWeight: TypeAlias = Annotated[
    float, Field(ge=LORA_WEIGHTS[0], le=LORA_WEIGHTS[1], allow_inf_nan=False)
]
_Within: TypeAlias = Annotated[str, Field(pattern=r"^([\w-][\w.-]*/)*[\w-][\w.-]*\.safetensors$")]
_SingleFile: TypeAlias = Annotated[str, Field(pattern=r"^[^/\\]+\.safetensors$")]


class Entry(BaseModel):
    """What all entries are: frozen, and without fields that nobody knows."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class _Origin(Entry):
    licence: str = "unknown"
    attribution: str = ""


class LocalSource(_Origin):
    """A model folder on this machine; those of the built-in pack lie in assets/pack."""

    folder: Path


class HubSource(_Origin):
    """Files of one repository on the model hub.

    `revision` is a branch, a tag or a commit. `files` are patterns of paths within the repository,
    in which `*` does not cross a `/`; each must match something.
    """

    repo: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    revision: str = "main"
    files: tuple[str, ...] = Field(min_length=1)

    @field_validator("files")
    @classmethod
    def _only_safe_files(cls, files: tuple[str, ...]) -> tuple[str, ...]:
        unsafe = [pattern for pattern in files if not pattern.endswith(SAFE_SUFFIXES)]
        if unsafe:
            raise ValueError(f"{unsafe[0]!r} does not end in one of {', '.join(SAFE_SUFFIXES)}")
        return files


def _kind(source: Any) -> str:
    fields = source if isinstance(source, dict) else vars(source)
    return "repo" if "repo" in fields else "folder"


Source: TypeAlias = Annotated[
    Annotated[LocalSource, Tag("folder")] | Annotated[HubSource, Tag("repo")],
    Discriminator(_kind),
]


class ImageAdapter(Entry):
    """What makes a control an IP-Adapter (Ye et al. 2023, arXiv:2308.06721).

    `file` is the one that is read of the control's source; `encoder` holds the CLIP image encoder
    that goes with it, in `encoder_folder`.
    """

    file: _Within
    encoder: Source
    encoder_folder: str = ""


class ControlModel(Entry):
    """A ControlNet or, where it says `adapter`, an IP-Adapter.

    `key` is the word for it in a recipe's `controlnet=`.
    """

    key: str
    family: str
    title: str
    description: str = ""
    source: Source
    adapter: ImageAdapter | None = None


class Lora(Entry):
    """Low-rank changes to a base checkpoint (Hu et al. 2021, arXiv:2106.09685).

    `file` is the one that is read of the source; `trigger_words`, where given, go to the front of
    the prompt of each style that uses it.
    """

    key: str
    family: str
    title: str
    description: str = ""
    source: Source
    file: _SingleFile = "pytorch_lora_weights.safetensors"
    trigger_words: str = ""


class FastMode(Entry):
    """What a recipe's `fast` means: its settings of the same names, and LoRAs with weights."""

    scheduler: str
    steps: int
    cfg_scale: float
    guidance_stop: float = 1.0
    loras: Mapping[str, float] = Field(default_factory=dict)

    @property
    def settings(self) -> dict[str, str | float]:
        """The recipe's fields that it takes the place of."""
        return {
            "scheduler": self.scheduler,
            "steps": self.steps,
            "cfg_scale": self.cfg_scale,
            "guidance_stop": self.guidance_stop,
        }


class Family(Entry):
    """Models that work together, because their latents and UNets have one shape.

    `configs` holds the diffusers configs that a style's single-file `checkpoint` is read with;
    `enlarger` a Swin2SR model for finished pictures; `depth` and `rooms` what the controls
    depth and segroom draw their maps with: a depth estimator, a segmenter of ADE20K's classes;
    `checker` flags pictures that are not for everybody, where that is asked for.
    `restorer` is a face restoration network as an ONNX graph, for `face_correct`, which runs
    where onnxruntime is installed.
    `fast` is what a recipe's `fast` means with these models.
    `face` is a control that no recipe names: it makes faces resemble a picture of one.
    """

    key: str
    title: str
    segmenter: Source
    pose: Source
    configs: Source | None = None
    enlarger: Source | None = None
    depth: Source | None = None
    rooms: Source | None = None
    checker: Source | None = None
    restorer: Source | None = None
    face: ControlModel | None = None
    fast: FastMode | None = None
    controls: Mapping[str, ControlModel] = Field(default_factory=dict)
    loras: Mapping[str, Lora] = Field(default_factory=dict)


class Style(Entry):
    """A base checkpoint with the words and settings that suit it.

    `base` is a folder in the diffusers layout or, where `checkpoint` names it, a folder that holds
    this single .safetensors file. `vae`, where given, replaces the checkpoint's own. `loras` are
    weights by the keys of the family's LoRAs; styles that differ in nothing else share one base in
    memory. The prompt is `prompt_prefix + user's words + prompt_suffix`; `negative_prompt` goes
    before the user's own. `cfg_scale` and `control_mode` are what a recipe without them means;
    `native_size` is the side, in pixels, of a square with the pixel count
    to paint at.
    """

    key: str
    family: str
    title: str
    description: str = ""
    base: Source
    checkpoint: _SingleFile | None = None
    vae: Source | None = None
    loras: Mapping[str, _LoraWeight] = Field(default_factory=dict)
    prompt_prefix: str = ""
    prompt_suffix: str = ""
    negative_prompt: str = ""
    cfg_scale: float = CFG_SCALE
    control_mode: ControlMode = "balanced"
    native_size: Annotated[int, Field(ge=64, le=1024, multiple_of=8)] = SD15_NATIVE_SIZE

    @field_validator("cfg_scale")
    @classmethod
    def _as_in_a_recipe(cls, scale: float) -> float:
        try:
            Recipe.parse({"cfg_scale": scale})
        except InvalidRecipe as error:
            raise ValueError(str(error)) from error
        return scale

    @field_validator("loras")
    @classmethod
    def _worn(cls, loras: Mapping[str, float]) -> Mapping[str, float]:
        """A weight of 0 takes a LoRA off, so that a user's own file can."""
        return {key: weight for key, weight in loras.items() if weight}
