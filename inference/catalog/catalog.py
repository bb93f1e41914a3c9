"""The catalog of models and styles, read from `catalog.toml` and a user's own file.

Nothing is downloaded here: `hub.fetch` turns a `Source` into a folder.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from pydantic import ValidationError, model_validator

from inference.catalog.schema import ControlModel as ControlModel
from inference.catalog.schema import Family, FastMode
from inference.catalog.schema import Lora as Lora
from inference.catalog.schema import Style as Style
from inference.catalog.sources import SAFE_SUFFIXES as SAFE_SUFFIXES
from inference.catalog.sources import SOURCE_KINDS, Entry
from inference.catalog.sources import HubSource as HubSource
from inference.catalog.sources import LocalSource as LocalSource
from inference.catalog.sources import Source as Source
from inference.catalog.sources import WheelSource as WheelSource
from inference.errors import InvalidCatalog, InvalidRecipe, MissingModel
from inference.recipe.recipe import Recipe

_BUILT_IN = Path(__file__).with_name("catalog.toml")

# Key of the embedded models' family, which is always available.
PACK = "pack"
# Key of the control for faces, which recipes cannot name; see `Family`.
FACE = "face"
# Key of the control that shows a painter what is kept, if its UNet does not see that itself.
INPAINT = "inpaint"
# Key of the control that holds a refined painting together.
TILE = "tile"
# Key of the control by the key points of the person.
POSE = "pose"

_Raw: TypeAlias = dict[str, Any]

_Keyed = TypeVar("_Keyed", Family, Style, ControlModel, Lora)


class Catalog(Entry):
    """All families and styles by key, in the order of the file."""

    family_by_key: Mapping[str, Family]
    style_by_key: Mapping[str, Style]

    @classmethod
    def load(cls, path: Path | None = None) -> Catalog:
        """Read the built-in catalog and merge the user's file at `path` over it.

        Raises:
            InvalidCatalog: a file is missing, is not TOML, or has an invalid or unknown entry.
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
            if isinstance(family.get("face"), dict):
                family["face"] = {"key": FACE, "family": key, **family["face"]}
        styles = _with_keys(raw["styles"])
        try:
            return cls.model_validate({"family_by_key": families, "style_by_key": styles})
        except ValidationError as error:
            raise InvalidCatalog(_first_mistake(error, path or _BUILT_IN)) from error

    @model_validator(mode="after")
    def _check_references(self) -> Catalog:
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

    def default_style(self, *, full_size: bool) -> Style:
        """The first style for a machine with a GPU (`full_size`), or for one without."""
        suited = (s for s in self.styles() if (s.family != PACK) == full_size)
        return next(suited, self.styles()[0])

    def controls(self, family: str) -> tuple[ControlModel, ...]:
        """The controls of one family; MissingModel if there is no such family."""
        return tuple(self.family(family).controls.values())

    def family(self, key: str) -> Family:
        """The family with this key; MissingModel, listing the known ones, if there is none."""
        return _find("model family", key, self.family_by_key)

    def style(self, key: str) -> Style:
        """The style with this key; MissingModel, listing the known ones, if there is none."""
        return _find("style", key, self.style_by_key)

    def control(self, family: str, key: str) -> ControlModel:
        """The control `key` of a family; MissingModel, listing its others, if it has none."""
        face = self.family(family).face
        if key == FACE and face is not None:
            return face
        return _find(f"control in {family!r}", key, self.family(family).controls)

    def lora(self, family: str, key: str) -> Lora:
        """The LoRA `key` of a family; MissingModel, listing its others, if it has none."""
        return _find(f"LoRA in {family!r}", key, self.family(family).loras)

    def with_loras(self, style: Style, loras: Mapping[str, float]) -> Style:
        """The style with further LoRAs; a weight of 0 removes one.

        Args:
            style: the style.
            loras: weights by key, as a prompt names them.

        Raises:
            InvalidRecipe: the style's family has no such LoRA; lists those that it has.
        """
        known = self.family(style.family).loras
        unknown = next((key for key in loras if key not in known), None)
        if unknown is not None:
            choice = f"choose one of {', '.join(known)}" if known else "leave it out"
            raise InvalidRecipe(
                f"There is no LoRA {unknown[:40]!r} for the style {style.title}: {choice}.",
                field="prompt",
            )
        merged = {key: weight for key, weight in {**style.loras, **loras}.items() if weight}
        return style.model_copy(update={"loras": merged})

    def fast(self, style: Style) -> FastMode:
        """The fast mode of the style's family.

        Raises:
            InvalidRecipe: the family has none.
        """
        mode = self.family(style.family).fast
        if mode is None:
            raise InvalidRecipe(
                f"Fast (fast): the style {style.title} has no settings for it, so turn it off.",
                field="fast",
            )
        return mode

    def trigger_words(self, style: Style) -> str:
        """The trigger words of the style's LoRAs, to be prepended to the prompt; "" for none."""
        words = (self.lora(style.family, key).trigger_words for key in style.loras)
        return "".join(f"{one}, " for one in words if one)


def _find(what: str, key: str, entries: Mapping[str, _Keyed]) -> _Keyed:
    if key not in entries:
        known = ", ".join(entries) or "none"
        raise MissingModel(f"There is no {what} named {key!r}: choose one of {known}.")
    return entries[key]


def _read(path: Path) -> _Raw:
    """Read one catalog file and make its folders absolute."""
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
    """Merge `over` over `base`; a source is replaced as a whole."""
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
    return any(kind in raw for kind in SOURCE_KINDS)


def _with_keys(section: _Raw) -> _Raw:
    return {key: {"key": key, **entry} for key, entry in section.items()}


def _first_mistake(error: ValidationError, path: Path) -> str:
    mistake = error.errors()[0]
    where = ".".join(str(part) for part in mistake["loc"] if not str(part).endswith("_by_key"))
    entry = f"[{where}]" if where else "an entry"
    return f"The catalog {path} has a mistake in {entry}, so correct it: {mistake['msg']}."


@dataclass(frozen=True, kw_only=True)
class Part:
    """A model of a style.

    Attributes:
        title: what it is for.
        source: where it comes from.
        is_needed: whether a job with the default settings needs it.
    """

    title: str
    source: Source
    is_needed: bool


def parts_of(catalog: Catalog, style: Style) -> list[Part]:
    """All models that a style uses, the needed ones first."""
    parts = _parts(catalog, style)
    return sorted(parts, key=lambda part: not part.is_needed)


def _parts(catalog: Catalog, style: Style) -> Iterator[Part]:
    family = catalog.family(style.family)
    photo = None if family.photo is None or family.photo.words == () else family.photo
    twin = style.inpainting
    known: tuple[tuple[str, Source | None, bool], ...] = (
        ("inpainting checkpoint", None if twin is None else twin.base, True),
        ("its configs", None if twin is None else twin.configs, True),
        ("checkpoint", style.base, twin is None),
        ("autoencoder", style.vae, True),
        ("configs of the checkpoint", family.configs, style.checkpoint is not None),
        ("segmenter, for the mask", family.segmenter, True),
        ("pose estimator", family.pose, True),
        ("segmenter of clicked things", family.point_segmenter, False),
        ("people in photographs", None if photo is None else photo.detectors, False),
        ("human parser", None if photo is None else photo.parser, False),
        ("enlarger", family.enlarger, False),
        ("face restorer", family.restorer, False),
        ("depth estimator", family.depth, False),
        ("segmenter of things", family.rooms, False),
        ("safety checker", family.checker, False),
    )
    for title, source, is_needed in known:
        if source is not None:
            yield Part(title=title, source=source, is_needed=is_needed)
    for key, lora in family.loras.items():
        yield Part(title=f"LoRA {lora.title}", source=lora.source, is_needed=key in style.loras)
    standard = {control.name for control in Recipe().controls}
    if twin is None:
        standard.add(INPAINT)
    for key, control in family.controls.items():
        yield from _of_control(control, is_needed=key in standard)
    if family.face is not None:
        yield from _of_control(family.face, is_needed=False)


def _of_control(control: ControlModel, *, is_needed: bool) -> Iterator[Part]:
    title = f"control {control.title}"
    yield Part(title=title, source=control.source, is_needed=is_needed)
    if control.adapter is not None:
        encoder = control.adapter.encoder
        yield Part(title=f"image encoder of {title}", source=encoder, is_needed=is_needed)
