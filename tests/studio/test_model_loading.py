"""Tests of downloads: all models that a recipe needs are on disk before a GPU is allocated."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference import Photo, Progress, Recipe, Result, Studio
from inference.catalog.catalog import Catalog
from inference.catalog.hub import fetch
from inference.catalog.sources import Source
from inference.errors import EmptyMask, HubUnreachable, InvalidRecipe, NoDevice
from inference.mask.click_regions import ClickRegions
from inference.picture.geometry import View
from inference.picture.photo import Pixels
from inference.picture.progress import Stage
from inference.recipe.lora_tags import split_lora_tags
from inference.runtime.device import Device
from inference.studio.loaded_models import LoadedModels
from inference.studio.model_loading import ModelLoader
from tests.support.hub_repositories import INPAINTING_FILE, save_lora
from tests.support.hub_server import Fault, HubServer

RECIPES: list[dict[str, Any]] = [
    {},
    {"controlnet": None},
    {"controlnets": "canny depth"},
    {"controlnet": "segroom"},
    {"super_resolution": True},
    {"face_swap": True},
    {"prompt": "a garden <lora:lcm:1>"},
]


@pytest.mark.parametrize(
    ("style", "fields"),
    # The one has a VAE of its own; the other comes as one repository.
    [*[("photo", fields) for fields in RECIPES], ("flat", RECIPES[0]), ("flat", RECIPES[-1])],
    ids=str,
)
def test_after_a_download_loading_downloads_nothing(
    whole_hub: HubServer, tmp_path: Path, style: str, fields: dict[str, Any]
) -> None:
    save_lora(tmp_path / "lora")
    whole_hub.add(Catalog.load().lora("sd15", "lcm").source.repo, tmp_path / "lora")
    catalog, recipe = Catalog.load(), Recipe(**fields)
    models = LoadedModels(catalog, Device.cpu(), checks=True)
    worn = catalog.with_loras(catalog.style(style), split_lora_tags(recipe.prompt).loras)
    said = list(ModelLoader(models, worn, recipe).download())
    assert any("MB" in one.detail for one in said)
    before = len(whole_hub.downloads())
    loader = ModelLoader(models, worn, recipe)
    for part in loader.load_segmenter(), loader.load_painter():
        list(part)
    assert len(whole_hub.downloads()) == before > 0


def test_what_the_style_has_not_is_refused_before_any_download(whole_hub: HubServer) -> None:
    models = LoadedModels(Catalog.load(), Device.cpu())
    with pytest.raises(InvalidRecipe, match="controlnet"):
        ModelLoader(models, models.catalog.style("photo"), Recipe(controlnet="unheard"))
    assert not whole_hub.downloads()


def test_nothing_is_downloaded_while_the_gpu_is_lent(whole_hub: HubServer) -> None:
    lent: list[int] = []

    def lend(task: Callable[..., Generator[Any]], seconds: Callable[..., int]) -> Any:
        def there(*given: Any) -> Generator[Any]:
            whole_hub.fault = Fault.SERVER_ERROR
            lent.append(seconds(*given))
            yield from task(*given)

        return there

    catalog = Catalog.load()
    small = catalog.style("photo").model_copy(update={"native_size": 64})
    styles = {**catalog.style_by_key, "photo": small}
    studio = Studio(catalog=catalog.model_copy(update={"style_by_key": styles}), lend=lend)
    pixels = np.random.default_rng(0).integers(0, 256, (120, 96, 3), dtype=np.uint8)
    recipe = Recipe(
        prompt="a garden", steps=2, seed=5, mask_threshold=0.05, mask_strokes="-2000:5000,5000"
    )
    events = list(studio.paint(Photo.of(pixels), recipe))
    assert isinstance(events[-1], Result)
    assert events[-1].recipe.style == "photo", "where there is a GPU, styles are of full size"
    assert len(lent) == 1
    stages = [one.stage for one in events if isinstance(one, Progress)]
    assert stages.index(Stage.WAITING) > stages.index(Stage.LOADING)


def test_without_a_loan_nothing_is_compiled_ahead_and_the_page_starts(
    whole_hub: HubServer,
) -> None:
    def lend(_task: object, _seconds: object) -> Any:
        def refused(*_: object) -> Generator[Any]:
            raise NoDevice("No GPU was lent.")
            yield

        return refused

    studio = Studio(lend=lend)
    studio.compile_ahead()
    list(studio.warm_up())
    assert studio.fallback_reason == ""
    assert studio.models().device.title == "a GPU for each painting"


def test_drawings_do_not_wait_while_the_models_for_photographs_are_downloaded(
    tiny_catalog: Path, tmp_path: Path
) -> None:
    tiny = tiny_catalog.read_text().replace("words = []", 'words = ["face"]')
    tiny = tiny.replace('folder = "', f'folder = "{tiny_catalog.parent}/')
    (tmp_path / "mine.toml").write_text(tiny)
    models = LoadedModels(Catalog.load(tmp_path / "mine.toml"), Device.cpu())
    begun, over = threading.Event(), threading.Event()

    def slow(_source: Source) -> Path:
        begun.set()
        assert over.wait(60)
        raise HubUnreachable("No network: connect it.")

    reader = threading.Thread(target=models.photo_reader, args=("pack", slow))
    reader.start()
    asked = threading.Thread(target=models.segmenter, args=("pack", fetch))
    try:
        assert begun.wait(60)
        asked.start()
        asked.join(60)
        assert not asked.is_alive()
    finally:
        over.set()
        reader.join(60)
    assert models.photo_note == "Photographs are read less well: No network: connect it."


@pytest.mark.parametrize(
    ("fields", "channels"),
    [({}, 9), ({"inpainting_model": False}, 4), ({"controlnet_txt2img": True}, 4)],
    ids=["something is kept", "switched off", "nothing is kept"],
)
def test_the_inpainting_checkpoint_is_used_where_something_is_kept(
    whole_hub: HubServer, fields: dict[str, Any], channels: int
) -> None:
    models = LoadedModels(Catalog.load(), Device.cpu())
    style, recipe = models.catalog.style("photo"), Recipe(**fields)
    list(ModelLoader(models, style, recipe).load_painter())
    assert loaded(models).unet.config.in_channels == channels


def without_inpainting_file(hub: HubServer, tmp_path: Path) -> None:
    repo = Catalog.load().style("photo").base.repo
    folder = tmp_path / "without"
    shutil.copytree(hub.repos[repo].folder, folder)
    (folder / INPAINTING_FILE).unlink()
    hub.add(repo, folder, commit=hub.repos[repo].commit)


def test_without_the_inpainting_file_the_other_checkpoint_is_used(
    whole_hub: HubServer, tmp_path: Path
) -> None:
    without_inpainting_file(whole_hub, tmp_path)
    models = LoadedModels(Catalog.load(), Device.cpu())
    list(ModelLoader(models, models.catalog.style("photo"), Recipe()).load_painter())
    assert loaded(models).unet.config.in_channels == 4


def test_the_inpainting_file_keeps_its_configs_beside_the_other_checkpoint(
    whole_hub: HubServer,
) -> None:
    # Both are files of one repository, so they lie in one folder of the cache.
    for recipe, channels in ((Recipe(inpainting_model=False), 4), (Recipe(), 9)):
        models = LoadedModels(Catalog.load(), Device.cpu())
        list(ModelLoader(models, models.catalog.style("photo"), recipe).load_painter())
        assert loaded(models).unet.config.in_channels == channels


@pytest.mark.parametrize(
    ("style", "fields", "controls"),
    [
        ("painting", {}, ("pose", "inpaint")),
        ("painting", {"controlnet": None}, ("inpaint",)),
        ("painting", {"controlnets": "inpaint pose"}, ("inpaint", "pose")),
        ("painting", {"inpainting_model": False}, ("pose",)),
        ("painting", {"controlnet_txt2img": True}, ("pose",)),
        ("photo", {}, ("pose",)),
        ("photo", {"controlnet": "inpaint"}, ("inpaint",)),
        ("photo", {"inpainting_model": False}, ("pose",)),
        ("drawn", {}, ("pose",)),
    ],
    ids=str,
)
def test_inpaint_is_joined_to_styles_whose_checkpoint_does_not_see_what_is_kept(
    style: str, fields: dict[str, Any], controls: tuple[str, ...]
) -> None:
    models = LoadedModels(Catalog.load(), Device.cpu())
    loader = ModelLoader(models, models.catalog.style(style), Recipe(**fields))
    assert tuple(one.name for one in loader.controls) == controls


def inpaint_source(catalog: Catalog) -> Any:
    return catalog.control("sd15", "inpaint").source


@pytest.mark.parametrize(
    ("is_missing", "controls"), [(False, ("pose", "inpaint")), (True, ("pose",))]
)
def test_a_style_without_its_inpainting_file_gets_the_control_instead(
    whole_hub: HubServer, tmp_path: Path, *, is_missing: bool, controls: tuple[str, ...]
) -> None:
    catalog = Catalog.load()
    without_inpainting_file(whole_hub, tmp_path)
    if is_missing:
        del whole_hub.repos[inpaint_source(catalog).repo]
    models = LoadedModels(catalog, Device.cpu())
    loader = ModelLoader(models, catalog.style("photo"), Recipe())
    list(loader.load_painter())
    assert tuple(one.name for one in loader.controls) == controls
    painter = models.checkpoints.loaded
    assert painter is not None
    assert painter.has_control("inpaint") != is_missing


def test_offline_a_style_that_is_there_paints_without_the_control(whole_hub: HubServer) -> None:
    models = LoadedModels(Catalog.load(), Device.cpu())
    style = models.catalog.style("painting")
    list(ModelLoader(models, style, Recipe(inpainting_model=False)).load_painter())
    whole_hub.fault = Fault.SERVER_ERROR
    loader = ModelLoader(models, style, Recipe())
    list(loader.load_painter())
    assert [one.name for one in loader.controls] == ["pose"]
    models = LoadedModels(Catalog.load(), Device.cpu())
    with pytest.raises(HubUnreachable):
        list(ModelLoader(models, models.catalog.style("cartoon"), Recipe()).load_painter())


def loaded(models: LoadedModels) -> Any:
    """The pipeline in memory."""
    painter = models.checkpoints.loaded
    assert painter is not None
    return painter._pipe


def test_an_empty_mask_is_refused_before_the_checkpoint_is_downloaded(
    whole_hub: HubServer,
) -> None:
    studio = Studio(style="photo")
    pixels = np.random.default_rng(0).integers(0, 256, (120, 96, 3), dtype=np.uint8)
    with pytest.raises(EmptyMask):
        list(studio.paint(Photo.of(pixels), Recipe(mask_prompt="", mask_invert=False)))
    weights = [path for path in whole_hub.downloads() if path.endswith(".safetensors")]
    assert len(weights) == 1, "the word detector's"


def test_only_what_is_read_is_said_to_be_read(whole_hub: HubServer) -> None:
    models = LoadedModels(Catalog.load(), Device.cpu())
    style = models.catalog.style("photo")

    def read() -> list[str]:
        loader = ModelLoader(models, style, Recipe())
        events = [*loader.load_segmenter(), *loader.load_painter()]
        return [one.detail for one in events if "reading" in one.detail]

    assert read()
    assert read() == [], "all are in memory"


CLICK = Recipe(prompt="a garden", mask_prompt="", mask_strokes="+0:2500,5000", steps=1, seed=1)


def test_the_model_for_clicks_is_downloaded_before_the_mask_where_there_are_clicks(
    whole_hub: HubServer,
) -> None:
    models = LoadedModels(Catalog.load(), Device.cpu())
    loader = ModelLoader(models, models.catalog.style("photo"), CLICK)
    assert models.lacks_point_segmenter("sd15")
    said = [one.detail for one in loader.load_point_segmenter()]
    assert any("slimsam" in one for one in said)
    assert not models.lacks_point_segmenter("sd15")
    assert not list(loader.load_point_segmenter())
    assert any("slimsam" in path for path in whole_hub.downloads())


def test_without_it_clicks_go_by_colours_and_the_result_says_so(whole_hub: HubServer) -> None:
    del whole_hub.repos["nielsr/slimsam-77-uniform"]
    studio, photo = Studio(style="photo"), Photo.of(halves())
    *_, result = studio.paint(photo, CLICK)
    assert isinstance(result, Result)
    note = studio.models().click_note
    assert note.startswith("Clicks go by colours: ")
    assert note in result.hint
    selection = studio.select(photo, CLICK)
    view = View(whole=photo.size, box=selection.canvas.box, size=selection.detection.view.size)
    expected = ClickRegions().region(photo, (2500, 5000), view)
    np.testing.assert_array_equal(selection.region_at((2500, 5000)), expected)
    assert 0.4 < expected.mean() < 0.6


def halves() -> Pixels:
    """A blue half beside a red one."""
    pixels = np.full((120, 96, 3), (40, 60, 160), np.uint8)
    pixels[:, 48:] = (170, 60, 50)
    return pixels


def test_a_family_without_such_a_model_asks_for_nothing(whole_hub: HubServer) -> None:
    models = LoadedModels(Catalog.load(), Device.cpu())
    assert models.point_segmenter("pack", fetch) is None
    assert models.click_note == ""
    assert not whole_hub.downloads()
