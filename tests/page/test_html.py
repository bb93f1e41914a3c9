"""Tests of the HTML fragments: content, and escaping of untrusted text."""

from __future__ import annotations

import re

import numpy as np
import pytest

from inference import Progress, Recipe, Result, Studio
from inference.catalog.catalog import Catalog
from inference.catalog.inspection import Inspection
from inference.page.html import (
    health_html,
    message_html,
    progress_html,
    result_html,
    status_html,
)
from inference.page.model_status import ModelStatus
from inference.picture.geometry import Box
from inference.picture.progress import Stage
from inference.studio.grid import Axis, Grid, GridResult
from inference.studio.health_report import Check, PartReport, Report, StyleReport

SCRIPT = "<img src=x onerror='alert(1)'> & more"
WORDS = "&lt;img src=x onerror=&#x27;alert(1)&#x27;&gt; &amp; more"


def status(text: str) -> ModelStatus:
    """A model status with this text."""
    shown = ModelStatus(Studio(catalog=Catalog.load()))
    shown.text = text
    return shown


def result(**fields: object) -> Result:
    """A picture of two by two pixels, half of which is kept."""
    picture = np.zeros((2, 2, 3), dtype=np.uint8)
    known = {
        "images": (picture,),
        "original": picture,
        "mask": np.array([[0, 0], [255, 255]], dtype=np.uint8),
        "control_map": None,
        "box": Box.whole((2, 2)),
        "recipe": Recipe(seed=7),
        "seconds": {"painting": 1.25, "mask": 0.5},
        "kept_pixels": 12_345,
        "kept_pixels_changed": 0,
    }
    return Result(**known | fields)


def grid(failures: dict[str, str], **fields: object) -> GridResult:
    cells = Grid.of(Recipe(seed=7), Axis.parse("steps=2,3"))
    return GridResult(grid=cells, results=(result(**fields), None), failures=failures)


def report(text: str) -> Report:
    """A report in which every text is this one."""
    found = Inspection(name=text, form=text, licence=text, problem=text, notes=(text,))
    part = PartReport(title=text, is_needed=True, inspection=found)
    style = StyleReport(key="drawn", title=text, parts=(part,))
    return Report(checks=(Check(title=text, found=text, problem=text),), styles=(style,))


def test_the_doctors_table_marks_what_is_wrong_and_hides_paths() -> None:
    fine = Inspection(name="someone/small", revision="0123456789ab", form="safetensors")
    gone = Inspection(name="someone/gone", problem="Make room in /home/jane/cache/hub.")
    parts = (
        PartReport(title="checkpoint", is_needed=True, inspection=gone),
        PartReport(title="enlarger", is_needed=False, inspection=gone),
        PartReport(title="segmenter", is_needed=True, inspection=fine),
    )
    html = health_html(
        Report(
            checks=(Check(title="Python", found="3.11"),),
            styles=(StyleReport(key="photo", title="Photo", parts=parts),),
        )
    )
    assert re.findall(r"<tr class='(\w+)'><th>(\w+)", html) == [
        ("good", "Python"), ("bad", "checkpoint"), ("off", "enlarger"), ("good", "segmenter"),
    ]  # fmt: skip
    assert "someone/small @ 01234567" in html
    assert "Make room in …/hub." in html
    assert "jane" not in html
    assert "Photo will not work: 1 of its models are not available." in html


@pytest.mark.parametrize(
    "html",
    [
        health_html(report(SCRIPT)),
        message_html(SCRIPT),
        message_html(SCRIPT, "alert"),
        status_html(status(SCRIPT)),
        progress_html(Progress(stage=Stage.LOADING, detail=SCRIPT)),
        result_html(result(hint=SCRIPT)),
        result_html(result(unread=SCRIPT)),
        result_html(grid({}, hint=SCRIPT)),
        result_html(grid({SCRIPT: "It failed."})),
        result_html(grid({"3": SCRIPT})),
    ],
)
def test_no_text_becomes_markup(html: str) -> None:
    assert "<img" not in html
    assert WORDS in html


@pytest.mark.parametrize(
    ("html", "said"),
    [
        (progress_html(Progress(stage=Stage.PAINTING, step=2, steps=5, seconds_left=3.6)),
         ["step 2 of 5", "4 s left", "<progress value='2' max='5'>"]),
        (progress_html(Progress(stage=Stage.LOADING)), ["<progress >"]),
        (progress_html(Progress(stage=Stage.LOADING, share=0.25)), ["<progress value='0.250'>"]),
        (result_html(result()),
         ["kept pixels changed: 0 of 12,345", "<b id='seed-used'>7</b>", "1.8 s"]),
        (result_html(result(kept_pixels_changed=3)), ["kept pixels changed: 3 of 12,345"]),
        (result_html(grid({"3": "No."})), ["kept pixels changed: 0", "1 pictures", "3: No."]),
    ],
)  # fmt: skip
def test_what_is_said(html: str, said: list[str]) -> None:
    for part in said:
        assert part in html
