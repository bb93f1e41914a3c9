"""Tests of the painting cache: finishing settings do not cause a new painting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference import Photo, Progress, Result, Studio
from inference.catalog.catalog import Catalog
from inference.picture.progress import Stage
from inference.studio.grid import Axis, Grid, GridResult
from tests.studio.test_studio import halved, photo, result_of

KEPT = 3


@pytest.fixture(scope="module")
def new(tiny_catalog: Path) -> Callable[[int], Studio]:
    """Makes studios with shared models and empty caches of a given number of paintings."""
    catalog = Catalog.load(tiny_catalog)
    models = Studio(catalog=catalog, style="drawn").models()

    def make(kept: int) -> Studio:
        studio = Studio(catalog=catalog, style="drawn", kept_paintings=kept)
        studio._models = models
        if models.checkpoints.loaded is not None:
            models.checkpoints.loaded.clear_cache()
        return studio

    return make


@pytest.fixture
def studio(new: Callable[[int], Studio]) -> Studio:
    return new(KEPT)


def painted(studio: Studio, picture: Photo, **fields: Any) -> Result:
    return result_of(studio.paint(picture, halved(studio, picture, **fields)))


@contextmanager
def steps(studio: Studio) -> Iterator[list[int]]:
    """Context manager that counts the runs of the UNet."""
    runs: list[int] = []
    painter = studio.models().checkpoints.loaded
    assert painter is not None
    hook = painter._pipe.unet.register_forward_hook(lambda *_: runs.append(1))
    yield runs
    hook.remove()


@pytest.mark.parametrize(
    ("changes", "again"),
    [
        ({}, False),
        ({"film_grain": True}, False),
        ({"film_grain": True, "film_grain_amount": 9.0}, False),
        ({"color_grading": "Ektar"}, False),
        ({"super_resolution": True}, False),
        ({"protect": False}, False),
        ({"face_correct": True}, False),
        ({"seed": 8}, True),
        ({"prompt": "another scene"}, True),
        ({"negative_prompt": "rain"}, True),
        ({"steps": 2}, True),
        ({"cfg_scale": 2.0}, True),
        ({"guidance_stop": 0.5}, True),
        ({"scheduler": "euler"}, True),
        ({"denoising_strength": 0.7}, True),
        ({"num_images": 2}, True),
        ({"use_lpw": False}, True),
        ({"controlnet": ""}, True),
        ({"controlnet_conditioning_scale": 0.5}, True),
        ({"mask_dilate": 6}, True),
        ({"style": "ink"}, True),
    ],
    ids=str,
)
def test_only_what_the_painter_sees_has_it_paint_again(
    studio: Studio, new: Callable[[int], Studio], changes: dict[str, Any], again: bool
) -> None:
    picture = photo()
    painted(studio, picture)
    with steps(studio) as runs:
        result = painted(studio, picture, **changes)
    assert bool(runs) == again
    fresh = painted(new(0), picture, **changes)
    np.testing.assert_array_equal(result.images[0], fresh.images[0])
    assert result.kept_pixels_changed == 0 or changes.get("protect") is False


def test_another_photo_is_painted(studio: Studio) -> None:
    painted(studio, photo())
    with steps(studio) as runs:
        painted(studio, photo(seed=2))
    assert runs


def test_refining_is_not_done_again_for_another_look(studio: Studio) -> None:
    picture = photo()
    painted(studio, picture, hires_fix=True)
    with steps(studio) as runs:
        painted(studio, picture, hires_fix=True, color_grading="Ektar")
    assert not runs


def test_a_painting_that_was_broken_off_is_painted(studio: Studio) -> None:
    picture = photo()
    with closing(studio.paint(picture, halved(studio, picture))) as events:
        next(one for one in events if isinstance(one, Progress) and one.stage is Stage.PAINTING)
    with steps(studio) as runs:
        painted(studio, picture)
    assert runs


def test_only_the_last_paintings_stay(studio: Studio) -> None:
    picture = photo()
    for seed in range(KEPT + 1):
        painted(studio, picture, seed=seed)
    with steps(studio) as runs:
        painted(studio, picture, seed=1)
        assert not runs
        painted(studio, picture, seed=0)
        assert runs


def test_looks_side_by_side_are_painted_once(studio: Studio) -> None:
    picture = photo()
    painted(studio, picture, seed=99)  # so that everything is loaded
    looks = Axis(name="color_grading", values=("Film Velvia", "Film Portra", "Ektar"))
    with steps(studio) as runs:
        *_, done = studio.paint_grid(picture, Grid.of(halved(studio, picture), None, looks))
    assert isinstance(done, GridResult)
    assert len(done.painted) == 3
    assert len(runs) == halved(studio, picture).steps


def test_nothing_is_kept_unless_asked_for(new: Callable[[int], Studio]) -> None:
    studio, picture = new(0), photo()
    painted(studio, picture)
    with steps(studio) as runs:
        painted(studio, picture)
    assert runs
