"""The rows of the full-size table: every style, control, adapter, LoRA and finishing stage once."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from inference.catalog.catalog import Catalog
from inference.control.control_maps import CONTROLS

# Of the photo, a circle with the face is repainted and a corner is kept.
_BASE: Mapping[str, Any] = {
    "prompt": "a garden",
    "mask_prompt": "face",
    "mask_negative": "",
    "mask_invert": False,
    "mask_strokes": "+1600:4300,2300; -1500:0,10000",
    "steps": 1,
    "controlnet": None,
}
# All but a corner is repainted.
_WIDE: Mapping[str, Any] = {"mask_strokes": "+5000:5000,4000; -1500:0,10000"}
# For the stages on faces the picture stays the photo, in which there is a face.
_UNPAINTED: Mapping[str, Any] = {"denoising_strength": 0.0, "steps": 5}

#: Finishing stages: title, and the settings that select it.
_STAGES: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("Enlarge (Swin2SR)", {"super_resolution": True}),
    ("Refine", {"hires_fix": True, "steps": 3}),
    ("Refine by tiles", {"tiled_upscale": True, "steps": 3}),
    ("Only enlarge the photo", {"only_upscale": True, "steps": 3}),
    ("Repaint faces", {**_UNPAINTED, "inpaint_faces": True}),
    ("Correct faces (ONNX)", {**_UNPAINTED, "face_correct": True}),
    ("Face likeness (IP-Adapter)", {**_UNPAINTED, "face_swap": True}),
    ("Film grain and colour grading", {"film_grain": True, "color_grading": "Ektar"}),
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of the table.

    Attributes:
        key: names it in the command.
        title: what it tries.
        style: key of the style.
        recipe: its settings.
        is_small: painted at the small size, not at the style's own.
        checks: with the safety checker.
        needs: Python package without which it cannot be tried; "" for none.
    """

    key: str
    title: str
    style: str
    recipe: Mapping[str, Any] = field(repr=False)
    is_small: bool = True
    checks: bool = False
    needs: str = ""

    @property
    def lacks(self) -> str:
        """The package that it needs and that is not installed; "" if there is none."""
        missing = self.needs and importlib.util.find_spec(self.needs) is None
        return self.needs if missing else ""


def rows_of(catalog: Catalog, family: str) -> list[Row]:
    """All rows for a family; what is not a style of its own is tried with its first style."""
    styles = [style.key for style in catalog.styles(family)]
    first = styles[0]
    two_steps = {"steps": 2, "controlnet": "pose"}
    rows = [
        _row(f"style-{key}", f"style {catalog.style(key).title}", key, two_steps) for key in styles
    ]
    for key in styles:
        if catalog.style(key).inpainting is not None:
            title = f"style {catalog.style(key).title}, not its inpainting checkpoint"
            plain = {**two_steps, "inpainting_model": False}
            rows.append(_row(f"style-{key}-plain", title, key, plain))
    own_size = {"w": 512, "h": 640, "ar": "4:5", "controlnet": "pose", **_WIDE}
    large = _row("own-size", f"style {catalog.style(first).title} at 512×640", first, own_size)
    rows.append(replace(large, is_small=False))
    rows += _of_controls(catalog, family, first)
    rows += _of_loras(catalog, family, first)
    rows += _of_stages(catalog, family, first)
    return rows


def _of_controls(catalog: Catalog, family: str, style: str) -> Iterator[Row]:
    known = [control for control in catalog.controls(family) if control.key in CONTROLS]
    for control in known:
        kind = "ControlNet" if control.adapter is None else "IP-Adapter"
        title = f"control {control.key} ({kind})"
        yield _row(f"control-{control.key}", title, style, {"controlnet": control.key})
    several = {"controlnets": "pose canny reference"}
    if {"pose", "canny", "reference"} <= {control.key for control in known}:
        yield _row("controls", "controls pose, canny and reference together", style, several)
    yield _row("two-pictures", "two pictures at once", style, {"num_images": 2})


def _of_loras(catalog: Catalog, family: str, style: str) -> Iterator[Row]:
    found = catalog.family(family)
    if found.fast is not None:
        yield _row("fast", f"fast ({found.fast.scheduler}, {found.fast.steps} steps)", style,
                   {"fast": True})  # fmt: skip
    for key, lora in found.loras.items():
        yield _row(f"lora-{key}", f"LoRA {lora.title}", style,
                   {"prompt": f"a garden <lora:{key}:0.8>"})  # fmt: skip


def _of_stages(catalog: Catalog, family: str, style: str) -> Iterator[Row]:
    for title, settings in _STAGES:
        key = next(name for name, value in settings.items() if value is True)
        row = _row(key.replace("_", "-"), title, style, settings)
        yield replace(row, needs="onnxruntime") if key == "face_correct" else row
    if catalog.family(family).point_segmenter is not None:
        yield _row("click", "what lies at a click is kept", style, {"mask_strokes": "+0:5000,5000"})
    if catalog.family(family).checker is not None:
        yield replace(_row("checker", "the safety checker", style, {}), checks=True)


def _row(key: str, title: str, style: str, recipe: Mapping[str, Any]) -> Row:
    return Row(key=key, title=title, style=style, recipe={**_BASE, **recipe})
