"""The finishing settings of a recipe: the stages after the painting."""

from __future__ import annotations

from typing import Annotated, Literal

from inference.recipe.settings import EmptyIsNone, Setting, Settings

ColorGrading = Literal["Film Velvia", "Film Portra", "Ektar"]
# Fields of the last stages, which can be changed afterwards without painting again.
RETOUCH = (
    "color_match", "light_wrap", "film_grain", "film_grain_amount", "film_grain_size",
    "color_grading",
)  # fmt: skip


class FinishSettings(Settings):
    """Settings of the stages after the painting.

    Order: `super_resolution` → `hires_fix` or `tiled_upscale` → `inpaint_faces` → `face_correct`
    → `face_swap` → `color_match` → `light_wrap` → `film_grain` → `color_grading`. With `protect`,
    the pixels that the mask keeps are restored from the photo after each stage.
    """

    protect: bool = Setting(
        True,
        "Protect",
        "Puts what is kept back from the photo after every stage. Off: the finishing stages may "
        "change it too, as a cartoon style wants of a face.",
    )
    super_resolution: bool = Setting(
        False,
        "Enlarge",
        "Enlarges the painting with a model of its own, and the picture with it where the photo "
        "has not that many pixels.",
    )
    hires_fix: bool = Setting(
        False,
        "Refine",
        "Paints once more over the painting at its full size, faintly, for finer detail.",
    )
    hires_denoising_strength: float = Setting(
        0.4, "Refine strength", "How far that pass may move away.", ge=0, le=1, step=0.01
    )
    hires_cfg_scale: Annotated[float | None, EmptyIsNone] = Setting(
        None, "Refine CFG scale", "Guidance scale of that pass. Empty: as CFG scale.", ge=0, le=15
    )
    tiled_upscale: bool = Setting(
        False,
        "Refine by tiles",
        "Refines with the control tile watching, which holds the painting together where the pass "
        "moves further away. Takes the place of Refine.",
    )
    resemblance: float = Setting(
        0.65, "Resemblance", "How strongly the control tile guides that pass.",
        ge=0, le=1, step=0.05,
    )  # fmt: skip
    only_upscale: bool = Setting(
        False,
        "Only enlarge the photo",
        "Paints no new scene: enlarges the photo and refines it by tiles, at the denoising "
        "strength where that is below 1, else at Refine strength.",
    )
    inpaint_faces: bool = Setting(
        False,
        "Repaint faces",
        "Paints each face of the painting again, closer up. Protected faces stay the photo's.",
    )
    face_correct: bool = Setting(
        False,
        "Correct faces",
        "As Repaint faces, so faintly that each face stays who it is.",
    )
    face_swap: bool = Setting(
        False,
        "Face likeness",
        "Gives the painted faces the likeness of the photo's face.",
    )
    color_match: float = Setting(
        0.0,
        "Colour match",
        "Brings brightness, contrast and tint of the painting nearer to those of the photo around "
        "what is kept, so that both seem to stand in one light.",
        ge=0,
        le=1,
        step=0.05,
    )
    light_wrap: float = Setting(
        0.25,
        "Light wrap",
        "Lets light of the new scene lie over a matted edge, as a bright sky does over hair.",
        ge=0,
        le=1,
        step=0.05,
    )
    film_grain: bool = Setting(
        False, "Film grain", "Lays grain over the painting, so that it sits in the photo."
    )
    film_grain_amount: Annotated[float | None, EmptyIsNone] = Setting(
        None,
        "Grain amount",
        "In levels of 255. Empty: as much as the photo has, and at least 3.",
        ge=0,
        le=30,
    )
    film_grain_size: Annotated[float | None, EmptyIsNone] = Setting(
        None,
        "Grain size",
        "In pixels of a picture whose short side is 512. Empty: as in the photo.",
        ge=0.1,
        le=6,
    )
    color_grading: Annotated[ColorGrading | None, EmptyIsNone] = Setting(
        None, "Colour grading", "The look of a film over the finished picture."
    )

    @property
    def uses_tile(self) -> bool:
        """Whether a pass is guided by the control `tile`."""
        return self.tiled_upscale or self.only_upscale

    @property
    def refines(self) -> bool:
        """Whether a pass goes once more over the painting at its full size."""
        return self.hires_fix or self.uses_tile
