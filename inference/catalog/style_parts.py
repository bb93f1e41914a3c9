"""The models that a style uses, each with its title: those that it needs, and those for extras."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from inference.catalog.catalog import Catalog
from inference.catalog.schema import ControlModel, Source, Style
from inference.recipe.recipe import Recipe


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
    known: tuple[tuple[str, Source | None, bool], ...] = (
        ("checkpoint", style.base, True),
        ("autoencoder", style.vae, True),
        ("configs of the checkpoint", family.configs, style.checkpoint is not None),
        ("segmenter, for the mask", family.segmenter, True),
        ("pose estimator", family.pose, True),
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
