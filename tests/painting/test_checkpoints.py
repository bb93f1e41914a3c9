"""Tests of loading: a style paints alike from every form in which a repository has its weights."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from inference.catalog.catalog import Catalog
from inference.catalog.hub import fetch
from inference.catalog.hub_cache import kept
from inference.catalog.schema import Style
from inference.catalog.sources import HubSource
from inference.catalog.weight_forms import WeightForm
from inference.errors import InvalidCatalog
from inference.painting.checkpoints import Checkpoints
from inference.painting.painter import Painter
from inference.runtime.device import Device
from tests.support import tiny_models
from tests.support.hub_repositories import UNWANTED, save_controlnet, save_pipeline, save_vae
from tests.support.hub_server import HubServer
from tests.support.weight_files import pickle_weights, save_single_file

REPO, WHOLE = "someone/old", "whole.safetensors"
MINE = f"""
[styles.old]
title = "Old"
family = "sd15"
native_size = 64
[styles.old.base]
repo = "{REPO}"
files = "pipeline"
conversion = "refs/pr/3"
single_file = "{WHOLE}"
[families.sd15.configs]
repo = "someone/configs"
files = "pipeline-configs"
[families.sd15.controls.pose.source]
repo = "someone/control"
files = "diffusers-model"
"""


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    (tmp_path / "mine.toml").write_text(MINE)
    return Catalog.load(tmp_path / "mine.toml")


@pytest.fixture
def folder(server: HubServer, tmp_path: Path) -> Path:
    """The repository of the style, which each test brings into another form."""
    folder, control, configs = (tmp_path / name for name in ("old", "control", "configs"))
    torch.manual_seed(0)
    save_pipeline(folder, half_too=False)
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        if path.read_bytes() == UNWANTED:
            path.unlink()
    shutil.copytree(folder, configs)
    save_controlnet(control)
    server.add(REPO, folder)
    server.add("someone/configs", configs)
    server.add("someone/control", control)
    return folder


def paint_with(catalog: Catalog, *controls: str, style: Style | None = None) -> Painter:
    checkpoints = Checkpoints(catalog, Device.cpu(), compiled=False)
    return checkpoints.painter(style or catalog.style("old"), controls, fetch)


def models(painter: Painter) -> dict[str, torch.nn.Module]:
    pipe = painter._pipe
    return {"unet": pipe.unet, "vae": pipe.vae, "text_encoder": pipe.text_encoder}


def weights() -> dict[str, dict[str, torch.Tensor]]:
    """The weights of the three models, made as `save_pipeline` makes them."""
    torch.manual_seed(0)
    made = tiny_models.unet(), tiny_models.vae(), tiny_models.text_encoder()
    return {
        name: model.state_dict()
        for name, model in zip(("unet", "vae", "text_encoder"), made, strict=True)
    }


def unchanged(folder: Path, hub: HubServer) -> None:
    """Safetensors, as they should be."""


def halves(folder: Path, hub: HubServer) -> None:
    """Both precisions of one part."""
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    half = {name: value.half() for name, value in load_file(file).items()}
    save_file(half, file.with_suffix(".fp16.safetensors"), metadata={"format": "pt"})


def pickles(folder: Path, hub: HubServer) -> None:
    """Pickles only."""
    pickle_weights(folder)


def branch(folder: Path, hub: HubServer) -> None:
    """Pickles, and safetensors in a conversion branch."""
    shutil.copytree(folder, folder.with_name("converted"))
    hub.add_branch(REPO, "refs/pr/3", folder.with_name("converted"))
    pickle_weights(folder)


def whole(folder: Path, hub: HubServer) -> None:
    """Configs, and one file with the whole checkpoint."""
    for file in folder.rglob("*.safetensors"):
        file.unlink()
    torch.manual_seed(0)
    save_single_file(folder / WHOLE)


def nothing_else(folder: Path, hub: HubServer) -> None:
    """One file with the whole checkpoint, without any config."""
    shutil.rmtree(folder)
    torch.manual_seed(0)
    save_single_file(folder / WHOLE)


@pytest.mark.parametrize(
    ("change", "form"),
    [
        (unchanged, WeightForm.SAFETENSORS),
        (halves, WeightForm.HALF),
        (branch, WeightForm.CONVERSION),
        (whole, WeightForm.SINGLE_FILE),
        (nothing_else, WeightForm.SINGLE_FILE),
        (pickles, WeightForm.PICKLED),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_style_has_the_same_weights_from_every_form(
    server: HubServer,
    folder: Path,
    catalog: Catalog,
    change: Callable[[Path, HubServer], None],
    form: WeightForm,
) -> None:
    change(folder, server)
    style, expected = catalog.style("old"), weights()
    for model, loaded in models(paint_with(catalog)).items():
        held = loaded.state_dict()
        assert held.keys() == expected[model].keys()
        for name, value in expected[model].items():
            near = 1e-3 if form is WeightForm.HALF else 0.0
            assert torch.allclose(held[name], value, rtol=near, atol=near), f"{model} {name}"
    assert isinstance(style.base, HubSource)
    there = kept(style.base)
    assert there is not None
    assert (there.form, there.revision) == (form, "refs/pr/3" if change is branch else "main")

    server.close()
    paint_with(catalog)


def test_a_style_of_one_file_takes_the_configs_of_its_family(
    server: HubServer, tmp_path: Path, folder: Path, catalog: Catalog
) -> None:
    save_single_file(tmp_path / "alone" / "mine.safetensors")
    (tmp_path / "mine.toml").write_text(
        f"{MINE}[styles.mine]\ntitle = 'Mine'\nfamily = 'sd15'\ncheckpoint = 'mine.safetensors'\n"
        "base = { folder = 'alone' }\n"
    )
    with_mine = Catalog.load(tmp_path / "mine.toml")
    painter = paint_with(with_mine, style=with_mine.style("mine"))
    assert painter._pipe.tokenizer is not None
    assert "single_file" not in str(server.downloads())


def test_a_whole_checkpoint_may_have_another_autoencoder(
    server: HubServer, tmp_path: Path, folder: Path, catalog: Catalog
) -> None:
    whole(folder, server)
    shutil.rmtree(folder / "vae")
    save_vae(tmp_path / "vae")
    server.add("someone/vae", tmp_path / "vae")
    style = catalog.style("old")
    layout = tuple(name for name in style.base.files if not name.startswith("vae/"))
    style = style.model_copy(
        update={
            "base": style.base.model_copy(update={"files": layout}),
            "vae": HubSource(
                repo="someone/vae", files=("config.json", "diffusion_pytorch_model.safetensors")
            ),
        }
    )
    own = load_file(tmp_path / "vae" / "diffusion_pytorch_model.safetensors")
    held = models(paint_with(catalog, style=style))["vae"].state_dict()
    assert all(torch.equal(held[name], value) for name, value in own.items())
    assert "someone/configs" not in str(server.downloads())


def test_a_pickled_controlnet_is_loaded(
    server: HubServer, tmp_path: Path, folder: Path, catalog: Catalog
) -> None:
    for file in {*(tmp_path / "control").glob("*.fp16.*"), *(tmp_path / "control").glob("*.bin")}:
        file.unlink()
    pickle_weights(tmp_path / "control")
    painter = paint_with(catalog, "pose")
    loaded = painter._conditioner.controlnets["pose"].state_dict()
    original = tiny_models.controlnet().state_dict()
    both = loaded.keys() & original.keys()  # the painter takes the embedding of the map out of it
    assert len(both) > len(original) - 20
    assert all(torch.equal(loaded[name], original[name]) for name in both)


def cut(file: Path, *, keep: int) -> None:
    """Leave only so many of a file's weights."""
    held = load_file(file)
    save_file({name: held[name] for name in sorted(held)[:keep]}, file, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("part", "keep"),
    [
        ("old/unet/diffusion_pytorch_model.safetensors", 100),
        ("old/vae/diffusion_pytorch_model.safetensors", 100),
        ("control/diffusion_pytorch_model.fp16.safetensors", 100),
        ("old/whole.safetensors", 100),
        ("old/whole.safetensors", 300),
    ],
)
@pytest.mark.parametrize("pickled", [False, True])
def test_missing_weights_are_a_sentence_and_not_random_numbers(
    server: HubServer,
    tmp_path: Path,
    folder: Path,
    catalog: Catalog,
    part: str,
    keep: int,
    pickled: bool,
) -> None:
    if part.endswith(WHOLE):
        whole(folder, server)
    cut(tmp_path / part, keep=keep)
    if pickled and not part.endswith(WHOLE):
        pickle_weights((tmp_path / part).parent)
    with pytest.raises(InvalidCatalog, match="do not fit its config: correct its entry"):
        paint_with(catalog, "pose")
