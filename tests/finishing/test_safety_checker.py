"""Tests of the safety checker: the real class at tiny size, from a file in the hub's layout."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from inference import Photo, Progress, Recipe, Result, Studio
from inference.catalog.catalog import Catalog, HubSource
from inference.errors import DamagedDownload, PaintingFailed, Withheld
from inference.finishing.safety_checker import SafetyChecker
from inference.page.html import result_html
from inference.picture.photo import Pixels
from tests.support.hub_repositories import save_safety_checker
from tests.support.hub_server import HubServer
from tests.support.page_server import FIELDS

CPU = torch.device("cpu")
GRAY = 128
ALL, NONE = -2.0, 2.0  # thresholds of a cosine


def picture(level: int) -> Pixels:
    pixels = np.full((48, 40, 3), level, dtype=np.uint8)
    pixels[:24] = 255 - pixels[:24]
    return pixels


def set_threshold(folder: Path, level: float) -> None:
    """Set the similarity to any concept from which the checker flags a picture."""
    file = folder / "model.safetensors"
    weights = load_file(file)
    weights["concept_embeds_weights"].fill_(level)
    weights["special_care_embeds_weights"].fill_(NONE)
    save_file(weights, file)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_safety_checker(tmp_path / "checker")
    return tmp_path / "checker"


@pytest.mark.parametrize(("level", "flagged"), [(ALL, True), (NONE, False)])
def test_it_flags_by_its_own_thresholds(folder: Path, level: float, flagged: bool) -> None:
    set_threshold(folder, level)
    checker = SafetyChecker.load(folder, CPU)
    assert checker.flags([picture(0), picture(200)]) == (flagged, flagged)


def test_each_picture_is_judged_by_itself(folder: Path) -> None:
    pictures = [picture(0), picture(90), np.rot90(picture(0)).copy()]
    tower = SafetyChecker.load(folder, CPU)._model
    checker = SafetyChecker.load(folder, CPU)
    pixels = checker._processor(list(pictures), return_tensors="pt").pixel_values
    seen = torch.nn.functional.normalize(tower.visual_projection(tower.vision_model(pixels)[1]))
    cosines = (seen @ torch.nn.functional.normalize(tower.concept_embeds).T).max(dim=1).values
    between = (cosines.sort().values[-2:]).mean().item()
    set_threshold(folder, between)
    flags = SafetyChecker.load(folder, CPU).flags(pictures)
    assert list(flags) == (cosines > between).tolist()
    assert sum(flags) == 1


def test_every_weight_comes_from_the_file(folder: Path) -> None:
    """The hub's file names the tower one level deeper; a weight that is missed would be random."""
    inside = load_file(folder / "model.safetensors")
    assert any(name.startswith("vision_model.vision_model.") for name in inside)
    for name, value in SafetyChecker.load(folder, CPU)._model.state_dict().items():
        old = name.replace("vision_model.", "vision_model.vision_model.", 1)
        torch.testing.assert_close(value, inside.get(name, inside.get(old)))


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda weights: weights.pop("concept_embeds"), DamagedDownload),
        (lambda weights: weights["concept_embeds"].fill_(torch.nan), PaintingFailed),
    ],
    ids=["a weight is missing", "NaN"],
)
def test_a_checker_that_could_not_flag_does_not_load(
    folder: Path, spoil: Callable[[dict[str, torch.Tensor]], object], error: type[Exception]
) -> None:
    file = folder / "model.safetensors"
    weights = load_file(file)
    spoil(weights)
    save_file(weights, file)
    with pytest.raises(error):
        SafetyChecker.load(folder, CPU)


# --- in the studio ------------------------------------------------------------------------------


def photo() -> Photo:
    pixels = np.random.default_rng(0).integers(0, 256, (120, 96, 3), dtype=np.uint8)
    return Photo.of(pixels)


def studio_of(tiny_catalog: Path, checker: Path | None, *, on: bool = True) -> Studio:
    text = tiny_catalog.read_text()
    if checker is not None:
        text += f'[families.pack.checker]\nfolder = "{checker}"\n'
    catalog = tiny_catalog.parent / "checked.toml"
    catalog.write_text(text)
    return Studio(catalog=Catalog.load(catalog), style="drawn", safety_checker=on)


def watched(events: Iterable[Progress | Result]) -> tuple[list[Progress], Result]:
    *before, last = events
    assert isinstance(last, Result)
    return [one for one in before if isinstance(one, Progress)], last


def test_what_is_flagged_is_never_shown(tiny_catalog: Path, folder: Path) -> None:
    set_threshold(folder, ALL)
    seen: list[Progress | Result] = []
    with pytest.raises(Withheld, match="try another seed or prompt") as caught:
        seen.extend(studio_of(tiny_catalog, folder).paint(photo(), Recipe(**FIELDS)))
    assert any(isinstance(one, Progress) and one.step for one in seen)
    assert all(isinstance(one, Progress) and one.preview is None for one in seen)
    assert re.fullmatch(r"[^\n]+\.", str(caught.value))


def test_one_of_several_is_gray_and_told(tiny_catalog: Path, folder: Path) -> None:
    recipe = Recipe(**{**FIELDS, "num_images": 3})
    _, plain = watched(studio_of(tiny_catalog, folder, on=False).paint(photo(), recipe))
    for number in range(200):  # some threshold lies between two of three pictures
        set_threshold(folder, 1 - number / 100)
        flags = SafetyChecker.load(folder, CPU).flags(plain.images)
        if any(flags) and not all(flags):
            break
    _, result = watched(studio_of(tiny_catalog, folder).paint(photo(), recipe))
    assert result.withheld == tuple(k for k, flagged in enumerate(flags) if flagged)
    for k, flagged in enumerate(flags):
        same = np.full_like(plain.images[k], GRAY) if flagged else plain.images[k]
        np.testing.assert_array_equal(result.images[k], same)
    assert f"held back {len(result.withheld)} of 3" in result_html(result)
    assert any("held back" in note for note in result.report()["notes"])


@pytest.mark.parametrize("on", [True, False])
def test_what_is_harmless_or_not_checked_is_shown_on_the_way_or_at_the_end(
    tiny_catalog: Path, folder: Path, on: bool
) -> None:
    set_threshold(folder, NONE if on else ALL)
    recipe = Recipe(**{**FIELDS, "steps": 8})
    before, result = watched(studio_of(tiny_catalog, folder, on=on).paint(photo(), recipe))
    assert result.withheld == ()
    assert any(one.preview is not None for one in before) is not on


def test_the_pack_has_no_checker_and_paints_all_the_same(tiny_catalog: Path) -> None:
    _, result = watched(studio_of(tiny_catalog, None).paint(photo(), Recipe(**FIELDS)))
    assert result.withheld == ()


def test_the_full_size_styles_fetch_theirs(whole_hub: HubServer) -> None:
    catalog = Catalog.load()
    source = catalog.family("sd15").checker
    assert isinstance(source, HubSource)
    small = catalog.style("photo").model_copy(update={"native_size": 64})
    styles = {**catalog.style_by_key, "photo": small}
    small_catalog = catalog.model_copy(update={"style_by_key": styles})
    for on in (False, True):
        studio = Studio(catalog=small_catalog, style="photo", safety_checker=on)
        watched(studio.paint(photo(), Recipe(**FIELDS)))
        fetched = {path for path in whole_hub.downloads() if source.repo in path}
        assert {Path(path).name for path in fetched} == ({*source.files} if on else set())
