"""Tests of the requests that the page's form makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from inference import Recipe, Studio
from inference.serving.form import UNSET, values_of
from inference.serving.job_service import JobService
from inference.serving.temporary_files import TemporaryFiles
from tests.support.browser import EXAMPLE


def asked(service: JobService, **fields: Any) -> list[Recipe]:
    """The recipes of a form with these fields changed."""
    shown = values_of(Recipe()) | {"style": "drawn"} | fields
    request = service.request(EXAMPLE, None, shown)
    return (
        [request.recipe] if request.grid is None else [cell.recipe for cell in request.grid.cells]
    )


@pytest.mark.parametrize(
    ("shown", "styles", "scales"),
    [
        (2.5, [], [2.5]),
        (2.5, ["ink", "photo"], [None, None]),
        (4.0, ["ink", "photo"], [4.0, 4.0]),
        (5.0, ["drawn"], [5.0]),
    ],
)
def test_styles_side_by_side_have_the_guidance_that_suits_each_unless_it_was_moved(
    tmp_path: Path, shown: float, styles: list[str], scales: list[float | None]
) -> None:
    service = JobService(Studio(style="drawn"), TemporaryFiles(tmp_path))
    recipes = asked(service, cfg_scale=shown, styles=styles, vary="")
    assert [one.cfg_scale for one in recipes] == scales


@pytest.mark.parametrize(("shown", "scale"), [(Recipe().guidance_scale, None), (4.0, 4.0)])
def test_before_the_style_is_known_a_slider_at_rest_means_what_suits_it(
    tmp_path: Path, shown: float, scale: float | None
) -> None:
    service = JobService(Studio(style="drawn"), TemporaryFiles(tmp_path))
    assert [one.cfg_scale for one in asked(service, style=UNSET, cfg_scale=shown)] == [scale]


def test_a_swept_scale_is_the_one_that_was_asked_for(tmp_path: Path) -> None:
    service = JobService(Studio(style="drawn"), TemporaryFiles(tmp_path))
    recipes = asked(service, cfg_scale=2.5, styles=["ink"], vary="cfg_scale=2, 5")
    assert [one.cfg_scale for one in recipes] == [2.0, 5.0]
