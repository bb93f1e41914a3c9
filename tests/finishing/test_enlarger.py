"""Tests of the enlarger, with the real class at tiny size: tiles, seams, sizes, loading."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from transformers import Swin2SRForImageSuperResolution, Swin2SRImageProcessorPil

from inference.catalog.catalog import Catalog
from inference.catalog.hub import fetch
from inference.errors import MissingModel
from inference.finishing.enlarger import TILES, Enlarger
from inference.picture.photo import Pixels
from inference.runtime.device import Device
from inference.studio.loaded_models import LoadedModels
from tests.support.hub_repositories import save_enlarger
from tests.support.hub_server import HubServer

CPU = torch.device("cpu")
TILE = TILES.tile
WIDE, HIGH = 2 * TILE + 44, TILE + 30


@pytest.fixture(scope="module", params=[2, 4])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("enlarger")
    save_enlarger(path, scale=request.param)
    return path


def picture(width: int, height: int) -> Pixels:
    """A picture of smooth coloured blobs."""
    random = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return np.asarray(cv2.GaussianBlur(random, (0, 0), 2))


def stock(folder: Path, source: Pixels) -> Pixels:
    """The whole picture at once through transformers' own processor and model."""
    model = Swin2SRForImageSuperResolution.from_pretrained(folder, dtype=torch.float32).eval()
    processor = Swin2SRImageProcessorPil.from_pretrained(folder)
    with torch.no_grad():
        pixels = processor(source, input_data_format="channels_last", return_tensors="pt")
        output = model(**pixels).reconstruction
    height, width = (model.config.upscale * side for side in source.shape[:2])
    array = output[0, :, :height, :width].permute(1, 2, 0).clamp(0, 1).numpy()
    return np.asarray((array * 255).round(), dtype=np.uint8)


def difference(one: Pixels, other: Pixels) -> int:
    return int(np.abs(one.astype(int) - other.astype(int)).max())


@pytest.mark.parametrize("size", [(61, 45), (5, 90), (TILE - 8, TILE - 8), (1, 1)], ids=str)
def test_a_small_picture_is_what_the_stock_model_makes_of_it(
    folder: Path, size: tuple[int, int]
) -> None:
    enlarger = Enlarger.load(folder, CPU)
    ours = enlarger.enlarge(picture(*size))
    assert ours.shape == (size[1] * enlarger.scale, size[0] * enlarger.scale, 3)
    assert difference(ours, stock(folder, picture(*size))) <= 1


def test_tiles_leave_no_seam(folder: Path) -> None:
    ours = Enlarger.load(folder, CPU).enlarge(picture(WIDE, HIGH))
    whole = stock(folder, picture(WIDE, HIGH))
    assert np.ptp(whole.astype(int)) > 30, "the comparison is void on an even picture"
    assert difference(ours, whole) <= 2


def test_progress_counts_the_tiles_and_closing_stops(folder: Path) -> None:
    enlarger = Enlarger.load(folder, CPU)
    assert list(enlarger.tiles(picture(WIDE, HIGH))) == [(k, 6) for k in range(1, 7)]
    calls: list[int] = []
    hook = enlarger._model.register_forward_hook(lambda *_: calls.append(1))
    work = enlarger.tiles(picture(WIDE, HIGH))
    next(work)
    work.close()
    hook.remove()
    assert len(calls) == 1


def test_the_full_size_models_enlarger_comes_from_the_hub(whole_hub: HubServer) -> None:
    models = LoadedModels(Catalog.load(), Device.probe())
    enlarger = models.enlarger("sd15", fetch)
    assert enlarger.scale == 4
    assert models.enlarger("sd15", fetch) is enlarger
    fetched = [path for path in whole_hub.downloads() if "swin2SR" in path]
    assert {path.rsplit("/", 1)[1] for path in fetched} == {
        "config.json", "preprocessor_config.json", "model.safetensors",
    }  # fmt: skip


def test_a_family_without_an_enlarger_says_so() -> None:
    catalog = Catalog.load()
    bare = catalog.family("pack").model_copy(update={"enlarger": None})
    families = {**catalog.family_by_key, "pack": bare}
    models = LoadedModels(catalog.model_copy(update={"family_by_key": families}), Device.probe())
    with pytest.raises(MissingModel, match="'pack' have no enlarger: choose another style"):
        models.enlarger("pack", fetch)
