"""Schema of the catalog: model families, styles, controls, LoRAs and their sources."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    field_validator,
    model_validator,
)

from inference.errors import InvalidRecipe
from inference.recipe.lora_tags import LORA_WEIGHTS
from inference.recipe.prompt_weights import Weighting
from inference.recipe.recipe import CFG_SCALE, ControlMode, Recipe

#: Suffixes of formats that cannot run code when loaded; pickles (.bin, .ckpt, .pt) are refused. An
#: .onnx graph holds weights and the names of known operators.
SAFE_SUFFIXES = (".safetensors", ".json", ".txt", ".onnx")

#: As above, for files out of wheels: a .tflite file, too, holds weights and the names of operators.
WHEEL_SUFFIXES = (*SAFE_SUFFIXES, ".tflite")

#: Stable Diffusion 1.5 takes a 4:5 photo at 512×640, its usual size for portraits.
SD15_NATIVE_SIZE = 576

_LoraWeight: TypeAlias = Annotated[
    float, Field(ge=LORA_WEIGHTS[0], le=LORA_WEIGHTS[1], allow_inf_nan=False)
]
_Within: TypeAlias = Annotated[str, Field(pattern=r"^([\w-][\w.-]*/)*[\w-][\w.-]*\.safetensors$")]
_WheelPath: TypeAlias = Annotated[str, Field(pattern=r"^([\w-][\w.+-]*/)*[\w-][\w.+-]*$")]
_Sha256: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$", to_lower=True)]
_SingleFile: TypeAlias = Annotated[str, Field(pattern=r"^[^/\\]+\.safetensors$")]


class Entry(BaseModel):
    """Base of all entries: frozen, without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class _Origin(Entry):
    licence: str = "unknown"
    attribution: str = ""


class LocalSource(_Origin):
    """A model folder on this machine; those of the built-in pack are in assets/pack."""

    folder: Path


class HubSource(_Origin):
    """Files of one repository on the model hub.

    `revision` is a branch, a tag or a commit. `files` are patterns of paths within the repository,
    in which `*` does not cross a `/`; each must match something. Where weights are not there as
    safetensors, these are taken instead, or pickles: `conversion`, a branch that has them, such as
    `refs/pr/41`; `single_file`, a file at the root with the whole checkpoint.
    """

    repo: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    revision: str = "main"
    conversion: str = Field(default="", pattern=r"^(refs/pr/\d+)?$")
    single_file: _SingleFile | None = None
    files: tuple[str, ...] = Field(min_length=1)

    @field_validator("files")
    @classmethod
    def _only_safe_files(cls, files: tuple[str, ...]) -> tuple[str, ...]:
        unsafe = [pattern for pattern in files if not pattern.endswith(SAFE_SUFFIXES)]
        if unsafe:
            raise ValueError(f"{unsafe[0]!r} does not end in one of {', '.join(SAFE_SUFFIXES)}")
        return files


class WheelSource(_Origin):
    """Files out of one Python wheel, which is neither installed nor imported.

    Attributes:
        package: name and version, as in `name==1.0`.
        files: SHA-256 by path within the wheel; they are kept under their base names.
        licence_file: path within the wheel of a text to be kept beside them.
        bytes: size of the wheel, for the progress of its download.
    """

    package: str = Field(
        pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?==[A-Za-z0-9][A-Za-z0-9.!+_-]*$"
    )
    files: Mapping[_WheelPath, _Sha256] = Field(min_length=1)
    licence_file: _WheelPath | None = None
    bytes: Annotated[int, Field(gt=0)] | None = None

    @field_validator("files")
    @classmethod
    def _only_safe_files(cls, files: Mapping[str, str]) -> Mapping[str, str]:
        unsafe = [path for path in files if not path.endswith(WHEEL_SUFFIXES)]
        if unsafe:
            raise ValueError(f"{unsafe[0]!r} does not end in one of {', '.join(WHEEL_SUFFIXES)}")
        return files

    @model_validator(mode="after")
    def _check_base_names(self) -> WheelSource:
        # Not all file systems tell upper from lower case.
        names = [name.casefold() for name in self.names.values()]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two files have the base name {twice!r}")
        return self

    @property
    def names(self) -> dict[str, str]:
        """Base name by path within the wheel, of all files and the licence."""
        paths = (*self.files, *([self.licence_file] if self.licence_file else []))
        return {path: path.rsplit("/", 1)[-1] for path in paths}


#: Each kind of source by the field that only it has.
SOURCE_KINDS = ("repo", "package", "folder")


def _kind(source: Any) -> str:
    fields = source if isinstance(source, dict) else vars(source)
    return next((kind for kind in SOURCE_KINDS if kind in fields), "folder")


Source: TypeAlias = Annotated[
    Annotated[LocalSource, Tag("folder")]
    | Annotated[HubSource, Tag("repo")]
    | Annotated[WheelSource, Tag("package")],
    Discriminator(_kind),
]


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
    file: _SingleFile = "pytorch_lora_weights.safetensors"
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


class Style(Entry):
    """A checkpoint with the words and settings that suit it.

    Attributes:
        base: a folder in the diffusers layout or, with `checkpoint`, a folder with a single file.
        checkpoint: name of the single .safetensors file.
        vae: replaces the checkpoint's own VAE.
        loras: weights by the keys of the family's LoRAs; styles that differ only in these share
            one checkpoint in memory.
        prompt_prefix, prompt_suffix: words around the user's prompt.
        negative_prompt: words before the user's own.
        cfg_scale, control_mode: defaults for recipes without them.
        native_size: side, in pixels, of a square with the pixel count to paint at.
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
