"""Which models there are and where each comes from, read from `catalog.toml`.

Nothing is downloaded or opened here: `hub.fetch` turns a `Source` into a folder.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)

from inference.errors import InvalidCatalog, MissingModel

#: Only what cannot run code when it is opened; pickles (.bin, .ckpt, .pt) are never fetched.
SAFE_SUFFIXES = (".safetensors", ".json", ".txt")

#: Stable Diffusion 1.5 takes a 4:5 photo at 512×640, its usual size for portraits.
SD15_NATIVE_SIZE = 576

_BUILT_IN = Path(__file__).with_name("catalog.toml")

_Raw: TypeAlias = dict[str, Any]

# How strongly a LoRA is applied; beyond these the base falls apart.
_LoraWeight: TypeAlias = Annotated[float, Field(ge=-2, le=2, allow_inf_nan=False)]
_SingleFile: TypeAlias = Annotated[str, Field(pattern=r"^[^/\\]+\.safetensors$")]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Origin(_Entry):
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


class ControlModel(_Entry):
    """A ControlNet; `key` is the word for it in a recipe's `controlnet=`."""

    key: str
    family: str
    title: str
    description: str = ""
    source: Source


class Lora(_Entry):
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


class Family(_Entry):
    """Models that work together, because their latents and UNets have one shape.

    `configs` holds the diffusers configs that a style's single-file `checkpoint` is read with;
    `enlarger` a Swin2SR model for finished pictures.
    """

    key: str
    title: str
    segmenter: Source
    pose: Source
    configs: Source | None = None
    enlarger: Source | None = None
    controls: Mapping[str, ControlModel] = Field(default_factory=dict)
    loras: Mapping[str, Lora] = Field(default_factory=dict)


class Style(_Entry):
    """A base checkpoint with the words and settings that suit it.

    `base` is a folder in the diffusers layout or, where `checkpoint` names it, a folder that holds
    this single .safetensors file. `vae`, where given, replaces the checkpoint's own. `loras` are
    weights by the keys of the family's LoRAs; styles that differ in nothing else share one base in
    memory. The prompt is `prompt_prefix + user's words + prompt_suffix`; `negative_prompt` goes
    before the user's own. `native_size` is the side, in pixels, of a square with the pixel count
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
    native_size: Annotated[int, Field(ge=64, le=1024, multiple_of=8)] = SD15_NATIVE_SIZE


_Keyed = TypeVar("_Keyed", Family, Style, ControlModel, Lora)


class Catalog(_Entry):
    """Every family and style by key, in the order of the file."""

    family_by_key: Mapping[str, Family]
    style_by_key: Mapping[str, Style]

    @classmethod
    def load(cls, path: Path | None = None) -> Catalog:
        """Read the built-in catalog and, over it, the user's own file at `path`.

        Raises:
            InvalidCatalog: a file is absent, is not TOML, or has a wrong or unknown entry.
        """
        raw = _read(_BUILT_IN)
        if path is not None:
            raw = _merge(raw, _read(path))
        _spell_out_layouts(raw)
        families = _with_keys(raw["families"])
        for key, family in families.items():
            for part in ("controls", "loras"):
                entries = _with_keys(family.get(part, {}))
                family[part] = {k: {"family": key, **entry} for k, entry in entries.items()}
        styles = _with_keys(raw["styles"])
        try:
            return cls.model_validate({"family_by_key": families, "style_by_key": styles})
        except ValidationError as error:
            raise InvalidCatalog(_first_mistake(error, path or _BUILT_IN)) from error

    @model_validator(mode="after")
    def _what_styles_name_exists(self) -> Catalog:
        for style in self.style_by_key.values():
            if style.family not in self.family_by_key:
                raise ValueError(f"style {style.key!r} names the unknown family {style.family!r}")
            for lora in style.loras:
                if lora not in self.family_by_key[style.family].loras:
                    raise ValueError(f"style {style.key!r} names the unknown LoRA {lora!r}")
        return self

    def families(self) -> tuple[Family, ...]:
        """All families."""
        return tuple(self.family_by_key.values())

    def styles(self, family: str | None = None) -> tuple[Style, ...]:
        """All styles, or those of one family."""
        return tuple(s for s in self.style_by_key.values() if family in (None, s.family))

    def controls(self, family: str) -> tuple[ControlModel, ...]:
        """The ControlNets of one family; MissingModel if there is no such family."""
        return tuple(self.family(family).controls.values())

    def family(self, key: str) -> Family:
        """The family with this key; MissingModel, listing the known ones, if there is none."""
        return _find("model family", key, self.family_by_key)

    def style(self, key: str) -> Style:
        """The style with this key; MissingModel, listing the known ones, if there is none."""
        return _find("style", key, self.style_by_key)

    def control(self, family: str, key: str) -> ControlModel:
        """The ControlNet `key` of a family; MissingModel, listing its others, if it has none."""
        return _find(f"control in {family!r}", key, self.family(family).controls)

    def lora(self, family: str, key: str) -> Lora:
        """The LoRA `key` of a family; MissingModel, listing its others, if it has none."""
        return _find(f"LoRA in {family!r}", key, self.family(family).loras)

    def trigger_words(self, style: Style) -> str:
        """What the style's LoRAs want to read at the front of the prompt, "" for nothing."""
        words = (self.lora(style.family, key).trigger_words for key in style.loras)
        return "".join(f"{one}, " for one in words if one)


def _find(what: str, key: str, entries: Mapping[str, _Keyed]) -> _Keyed:
    if key not in entries:
        known = ", ".join(entries) or "none"
        raise MissingModel(f"There is no {what} named {key!r}: choose one of {known}.")
    return entries[key]


def _read(path: Path) -> _Raw:
    """One catalog file, with its folders made absolute."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidCatalog(
            f"The catalog {path} cannot be read, so correct it: {error}."
        ) from error
    sections = {"layouts", "families", "styles"}
    for name, section in raw.items():
        if name not in sections or not isinstance(section, dict):
            raise InvalidCatalog(f"The catalog {path} has a wrong part {name!r}: remove it.")
    for source in _sources(raw):
        if isinstance(source.get("folder"), str):
            source["folder"] = (path.parent / source["folder"]).resolve()
    return raw


def _merge(base: _Raw, over: _Raw) -> _Raw:
    """`over` laid on `base`; a source is replaced as a whole, never mixed with another."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(value, dict) and isinstance(below, dict) and not _is_source(value):
            merged[key] = _merge(below, value)
        else:
            merged[key] = value
    return merged


def _spell_out_layouts(raw: _Raw) -> None:
    for source in _sources(raw):
        layout = source.get("files")
        if isinstance(layout, str):
            if layout not in raw["layouts"]:
                known = ", ".join(raw["layouts"])
                raise InvalidCatalog(f"There is no file layout {layout!r}: use one of {known}.")
            source["files"] = raw["layouts"][layout]


def _sources(raw: _Raw) -> Iterator[_Raw]:
    if _is_source(raw):
        yield raw
    for value in raw.values():
        if isinstance(value, dict):
            yield from _sources(value)


def _is_source(raw: _Raw) -> bool:
    return "folder" in raw or "repo" in raw


def _with_keys(section: _Raw) -> _Raw:
    return {key: {"key": key, **entry} for key, entry in section.items()}


def _first_mistake(error: ValidationError, path: Path) -> str:
    mistake = error.errors()[0]
    where = ".".join(str(part) for part in mistake["loc"] if not str(part).endswith("_by_key"))
    entry = f"[{where}]" if where else "an entry"
    return f"The catalog {path} has a mistake in {entry}, so correct it: {mistake['msg']}."
