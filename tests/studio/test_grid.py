"""Tests of grids of styles and values: parsing, shared computations, results."""

from __future__ import annotations

from contextlib import closing
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from inference import Progress, Recipe, Studio
from inference.catalog.catalog import Catalog
from inference.errors import InvalidRecipe, MissingModel
from inference.picture.contact_sheet import CAPTION, CELL, GAP, contact_sheet
from inference.picture.photo import Photo
from inference.serving.result_files import ResultFiles
from inference.studio.grid import Axis, Grid, GridResult
from tests.studio.test_studio import halved, photo


@pytest.fixture(scope="module")
def studio(tiny_catalog: Path) -> Studio:
    return Studio(catalog=Catalog.load(tiny_catalog), style="drawn")


@pytest.mark.parametrize(
    ("text", "axis"),
    [
        ("", None),
        ("  ", None),
        ("cfg_scale=2, 5, 8", ("cfg_scale", ("2", "5", "8"))),
        (" cfg_scale : 2,2,5 ", ("cfg_scale", ("2", "5"))),
        ("style=ink, soft", ("style", ("ink", "soft"))),
        ("color_grading=Film Velvia, Ektar", ("color_grading", ("Film Velvia", "Ektar"))),
    ],
)
def test_an_axis_is_read(text: str, axis: tuple[str, tuple[str, ...]] | None) -> None:
    found = Axis.parse(text)
    assert (found and (found.name, found.values)) == axis


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        ("cfg_scale", "write cfg_scale=2, 5, 8"),
        ("cfg_scale=", "write cfg_scale=2, 5, 8"),
        ("cfg_scale=1,,2", "write cfg_scale=2, 5, 8"),
        ("glitter=1", "«glitter» cannot be varied"),
        ("num_images=1,2", "«num_images» cannot be varied"),
    ],
)
def test_what_is_no_axis_is_told_how_one_looks(text: str, needed: str) -> None:
    with pytest.raises(InvalidRecipe, match=needed):
        Axis.parse(text)


def test_rows_and_columns_make_every_combination_with_one_seed() -> None:
    grid = Grid.of(
        Recipe(steps=7, num_images=3), Axis.parse("style=ink, soft"), Axis.parse("cfg_scale=2, 5")
    )
    assert [(c.recipe.style, c.recipe.cfg_scale) for c in grid.cells] == [
        ("ink", 2), ("soft", 2), ("ink", 5), ("soft", 5),
    ]  # fmt: skip
    assert grid.width == 2
    assert [cell.label for cell in grid.cells] == [
        "Ink, CFG scale 2", "Soft, CFG scale 2", "Ink, CFG scale 5", "Soft, CFG scale 5",
    ]  # fmt: skip
    assert {(c.recipe.steps, c.recipe.num_images) for c in grid.cells} == {(7, 1)}
    assert len({cell.recipe.seed for cell in grid.cells}) == 1
    assert grid.cells[0].recipe.seed is not None


@pytest.mark.parametrize(
    ("columns", "rows", "needed"),
    [
        ("cfg_scale=99", "", "CFG scale .* from 0 to 15"),
        ("cfg_scale=1", "cfg_scale=2", "the same field"),
        ("steps=" + ",".join(map(str, range(1, 26))), "", "over 24 pictures"),
        ("steps=1,2,3,4,5", "cfg_scale=1,2,3,4,5", "over 24 pictures"),
        ("w=64", "", "both width and height"),
    ],
)
def test_a_grid_that_cannot_be_painted_is_refused(columns: str, rows: str, needed: str) -> None:
    with pytest.raises(InvalidRecipe, match=needed):
        Grid.of(Recipe(), Axis.parse(columns), Axis.parse(rows))


def painted(studio: Studio, picture: Photo, columns: str, rows: str = "") -> GridResult:
    grid = Grid.of(halved(studio, picture), Axis.parse(columns), Axis.parse(rows))
    *_, last = studio.paint_grid(picture, grid)
    assert isinstance(last, GridResult)
    return last


def test_each_cell_is_what_its_recipe_paints_alone(studio: Studio) -> None:
    picture = photo()
    done = painted(studio, picture, "style=drawn, ink", "steps=2, 3")
    assert not done.failures
    for cell, result in zip(done.grid.cells, done.results, strict=True):
        assert result is not None
        *_, alone = studio.paint(picture, cell.recipe)
        np.testing.assert_array_equal(result.images[0], alone.images[0])
        assert result.kept_pixels_changed == 0
    pictures = [result.images[0] for result in done.results if result is not None]
    assert all((one != other).any() for one, other in pairwise(pictures))


def test_what_does_not_depend_on_the_style_is_done_once(studio: Studio) -> None:
    picture = photo(seed=4)
    recipe = halved(studio, picture)
    models = studio.models()
    painter = models.checkpoints.painter(
        studio.style("drawn"), ("pose",), lambda source: source.folder
    )
    counts = {"look": 0, "pose": 0, "encode": 0}

    def count(name: str) -> None:
        counts[name] += 1

    segmenter = models.segmenter("pack", lambda source: source.folder)
    pose = models.pose("pack", lambda source: source.folder)
    hooks = [
        segmenter._model.clip.vision_model.register_forward_hook(lambda *_: count("look")),
        pose._model.register_forward_hook(lambda *_: count("pose")),
        painter._pipe.vae.encoder.register_forward_hook(lambda *_: count("encode")),
    ]
    grid = Grid.of(recipe, Axis.parse("style=drawn, ink, words"), Axis.parse("cfg_scale=2, 4"))
    *_, done = studio.paint_grid(picture, grid)
    for hook in hooks:
        hook.remove()
    assert len(done.painted) == 6
    # The photo was looked at when the threshold was chosen.
    assert counts == {"look": 0, "pose": 1, "encode": 1}


def test_a_cell_that_fails_is_named_and_the_others_are_painted(studio: Studio) -> None:
    done = painted(studio, photo(), "style=drawn, oil")
    assert list(done.painted) == ["Drawn"]
    assert "There is no style named 'oil'" in done.failures["Oil"]
    assert done.results[1] is None
    assert done.sheet().ndim == 3


def test_where_nothing_can_be_painted_the_reason_is_raised(studio: Studio) -> None:
    with pytest.raises(MissingModel, match="no style named 'oil'"):
        painted(studio, photo(), "style=oil, chalk")


def test_progress_says_which_cell_it_is_and_closing_stops(studio: Studio) -> None:
    picture = photo(seed=5)
    grid = Grid.of(halved(studio, picture), Axis.parse("style=drawn, ink"))
    with closing(studio.paint_grid(picture, grid)) as events:
        details = []
        for event in events:
            assert isinstance(event, Progress)
            details.append(event.detail)
            if event.detail.startswith("2 of 2: Ink") and event.step:
                break
    assert details[0].startswith("1 of 2: Drawn")
    assert painted(studio, picture, "style=ink").painted


def test_the_exhibit_of_a_grid_has_every_picture_and_the_sheet(
    studio: Studio, tmp_path: Path
) -> None:
    done = painted(studio, photo(), "style=drawn, ink", "cfg_scale=2, 5")
    shown = ResultFiles.of(done, tmp_path)
    assert shown.captions == (
        "input", "mask", "Drawn, CFG scale 2", "Ink, CFG scale 2", "Drawn, CFG scale 5",
        "Ink, CFG scale 5", "contact sheet",
    )  # fmt: skip
    assert shown.captions[shown.first] == "Drawn, CFG scale 2"
    assert all(path.stat().st_size for path in shown.files)
    assert len(set(shown.files)) == len(shown.files)


@pytest.mark.parametrize(
    ("count", "width", "size"), [(1, 1, (1, 1)), (4, 2, (2, 2)), (5, 3, (3, 2)), (2, 3, (3, 1))]
)
def test_a_sheet_holds_the_pictures_and_their_captions(
    count: int, width: int, size: tuple[int, int]
) -> None:
    pictures = [np.full((60, 80, 3), 10 * k, dtype=np.uint8) for k in range(count)]
    sheet = contact_sheet([(f"picture {k}", one) for k, one in enumerate(pictures)], width)
    assert sheet.shape == (
        GAP + size[1] * (60 + CAPTION + GAP), GAP + size[0] * (80 + GAP), 3,
    )  # fmt: skip
    for k, one in enumerate(pictures):
        left, top = GAP + k % width * (80 + GAP), GAP + k // width * (60 + CAPTION + GAP)
        np.testing.assert_array_equal(sheet[top : top + 60, left : left + 80], one)
        caption = sheet[top + 60 : top + 60 + CAPTION, left : left + 80]
        assert caption.min() < 100


def test_a_large_picture_is_scaled_down_and_a_long_caption_cut() -> None:
    large = np.zeros((3000, 1500, 3), dtype=np.uint8)
    sheet = contact_sheet([("long words " * 40, large)], 1)
    assert sheet.shape == (2 * GAP + CELL + CAPTION, 2 * GAP + CELL // 2, 3)
