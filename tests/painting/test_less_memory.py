"""Tests of painting with a large checkpoint on a CPU: with less memory, the same picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from inference import Photo, Recipe, Result, Studio
from inference.catalog.catalog import Catalog
from inference.painting import checkpoints
from inference.runtime import precision

BASE = Recipe(
    prompt="a garden", steps=3, seed=5, mask_negative="", mask_threshold=0.05,
    mask_strokes="-2000:5000,5000",
)  # fmt: skip
RECIPES = {
    "plain": {"controlnet": None},
    "ControlNet": {"controlnet": "pose"},
    "LoRA": {"style": "words", "controlnet": None},
}


def painted(catalog: Catalog, fields: dict[str, object]) -> tuple[Studio, npt.NDArray[np.int16]]:
    random = np.random.default_rng(0)
    photo = Photo.of(random.integers(0, 256, (120, 96, 3), dtype=np.uint8))
    studio = Studio(catalog=catalog, style="drawn")
    *_, result = studio.paint(photo, BASE.model_copy(update=fields))
    assert isinstance(result, Result)
    assert result.kept_pixels_changed == 0
    return studio, result.images[0].astype(np.int16)


@pytest.mark.parametrize("fields", RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize(
    ("bfloat16", "dtype", "most"), [(False, torch.float16, 0.5), (True, torch.bfloat16, 4.0)]
)
def test_the_picture_is_the_same_and_the_weights_are_half_as_large(
    tiny_catalog: Path,
    monkeypatch: pytest.MonkeyPatch,
    fields: dict[str, object],
    bfloat16: bool,
    dtype: torch.dtype,
    most: float,
) -> None:
    catalog = Catalog.load(tiny_catalog)
    _, expected = painted(catalog, fields)
    monkeypatch.setattr(precision, "LARGE_BYTES", 1)
    monkeypatch.setattr(checkpoints, "is_bfloat16_fast", lambda: bfloat16)
    studio, picture = painted(catalog, fields)
    painter = studio.models().checkpoints.loaded
    assert painter is not None
    pipe = painter._pipe
    assert next(iter(pipe.unet.conv_in.parameters())).dtype == dtype
    assert pipe.vae.dtype == pipe.text_encoder.dtype == torch.float32
    assert np.abs(picture - expected).mean() < most
