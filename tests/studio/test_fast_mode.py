"""Tests of fast mode, lazy imports, and the memory of successive checkpoints."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from inference import Photo, Recipe, Result, Studio
from inference.catalog.catalog import Catalog
from inference.catalog.hub import fetch
from inference.errors import InvalidRecipe
from inference.recipe.recipe import SCHEDULERS
from tests.studio.test_studio import halved, photo

ROOT = Path(__file__).parents[2]
FAST = """
[families.pack.fast]
scheduler = "lcm"
steps = 3
cfg_scale = 1.5
loras = { ink = 0.5 }
"""


@pytest.fixture
def catalog(tiny_catalog: Path) -> Path:
    path = tiny_catalog.with_name("fast.toml")  # beside the models that it names
    path.write_text(tiny_catalog.read_text(encoding="utf-8") + FAST, encoding="utf-8")
    return path


def painted(studio: Studio, picture: Photo, recipe: Recipe) -> Result:
    *_, result = studio.paint(picture, recipe)
    assert isinstance(result, Result)
    return result


def test_fast_paints_what_its_settings_paint(catalog: Path) -> None:
    studio, picture = Studio(catalog=Catalog.load(catalog), style="drawn"), photo()
    recipe = halved(studio, picture, steps=9, cfg_scale=4.0, seed=5, prompt="a garden")
    fast = painted(studio, picture, recipe.model_copy(update={"fast": True}))
    settings: dict[str, Any] = {"steps": 3, "cfg_scale": 1.5, "scheduler": "lcm"}
    prompt = {"prompt": "a garden <lora:ink:0.5>"}
    same = painted(studio, picture, recipe.model_copy(update=settings | prompt))
    np.testing.assert_array_equal(fast.images[0], same.images[0])
    assert fast.recipe.fast
    assert fast.recipe.steps == 9, "what was set is still there when fast is turned off"


@pytest.mark.parametrize("family", ["pack", "sd15"])
def test_each_family_has_a_fast_mode_within_the_recipes_limits(family: str) -> None:
    catalog = Catalog.load()
    mode = catalog.family(family).fast
    assert mode is not None
    assert Recipe.parse(mode.settings).steps <= 8
    assert mode.scheduler in SCHEDULERS
    assert set(mode.loras) <= set(catalog.family(family).loras)


def test_where_there_is_no_fast_mode_it_is_said() -> None:
    catalog = Catalog.load()
    pack = catalog.family("pack").model_copy(update={"fast": None})
    families = {**catalog.family_by_key, "pack": pack}
    studio = Studio(catalog=catalog.model_copy(update={"family_by_key": families}), style="drawn")
    with pytest.raises(InvalidRecipe, match="Drawn has no settings for it, so turn it off"):
        list(studio.paint(photo(), Recipe(fast=True)))


# Modules that must not be imported before the first painting, because each costs seconds.
COSTLY = ("torch", "diffusers", "transformers", "scipy", "huggingface_hub.hf_api", "peft")


@pytest.mark.parametrize(
    ("module", "also"),
    # A page is Gradio, which brings the hub's client itself.
    [("inference", ("gradio", "cv2.dnn_superres", "pandas")), ("app", ())],
)
def test_what_is_not_needed_to_start_is_imported_later(module: str, also: tuple[str, ...]) -> None:
    costly = (*COSTLY, *also) if module == "inference" else COSTLY[:4]
    code = f"import sys, {module}; print([m for m in {costly!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_of_three_checkpoints_in_turn_one_stays(tmp_path: Path, tiny_catalog: Path) -> None:
    """The bytes of tensors after each, and that the ones before are gone."""
    catalog = Catalog.load(tiny_catalog)
    base = catalog.style("drawn").base
    studio = Studio(catalog=catalog, style="drawn")
    models = studio.models()
    gone, sizes = [], []
    for k in range(3):
        folder = tmp_path / str(k)
        folder.symlink_to(base.folder)  # the same files, as another checkpoint
        source = base.model_copy(update={"folder": folder})
        style = catalog.style("drawn").model_copy(update={"base": source, "key": f"drawn {k}"})
        painter = models.checkpoints.painter(style, ("pose",), fetch)
        gone.append(weakref.ref(painter._pipe.unet))
        del painter
        gc.collect()
        sizes.append(alive())
        assert [one() is None for one in gone] == [True] * k + [False]
    assert max(sizes) <= 1.15 * sizes[0]


def alive() -> int:
    """Bytes of all referenced tensors with a storage, without a compiler's fake tensors."""
    plain = (torch.Tensor, torch.nn.Parameter)
    storages = {
        one.untyped_storage().data_ptr(): one.untyped_storage().nbytes()
        for one in gc.get_objects()
        if type(one) in plain and one.device.type == "cpu" and one.layout == torch.strided
    }
    return sum(storages.values())
