"""Tests of the models for photographs in the studio: downloaded in time, or done without.

All other models are tiny; the detectors are the real ones, in a wheel of an index on this machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from inference import Photo, Progress, Recipe, Result, Studio
from inference.catalog.catalog import Catalog
from inference.catalog.hub import fetch
from inference.mask.selection import DRAWING, PHOTOGRAPH, Selection
from inference.page.html import result_html
from inference.page.model_status import ModelStatus
from inference.picture.progress import Stage
from inference.runtime.device import Device
from inference.studio import loaded_models
from inference.studio.grid import Axis, Grid
from inference.studio.job import DRAWS
from inference.studio.loaded_models import RETRY_SECONDS, LoadedModels
from tests.support.wheel_index import Fault, WheelIndex, sha256, tiny_wheel, use_alone
from tools.portraits.draw import draw
from tools.portraits.spec import sample_spec, solo

PATIENCE_SECONDS = 60
RECIPE = Recipe(
    prompt="a garden", steps=2, seed=5, mask_prompt="person", mask_negative="", mask_invert=False,
    controlnet=None,
)  # fmt: skip
NOTE = (
    "Photographs are read less well: The Python package index does not answer, so tiny==1.0 cannot "
    "be downloaded: check the connection and try again."
)


@pytest.fixture(scope="module")
def files(photo_models: Path) -> dict[str, bytes]:
    """The detectors as files of a wheel."""
    return {f"tiny/{path.name}": path.read_bytes() for path in photo_models.glob("*.tflite")}


@pytest.fixture(scope="module")
def wheel(files: dict[str, bytes]) -> tuple[str, bytes]:
    return tiny_wheel(files)


@pytest.fixture(scope="module")
def catalog(tiny_catalog: Path, files: dict[str, bytes]) -> Catalog:
    """The tiny pack, with detectors out of that wheel and the pack's own parser."""
    named = "\n".join(f'"{path}" = "{sha256(data)}"' for path, data in files.items())
    text = tiny_catalog.read_text(encoding="utf-8").replace("words = []\n", "")
    detectors = '[families.pack.photo.detectors]\npackage = "tiny==1.0"\n'
    path = tiny_catalog.with_name("photographs.toml")
    path.write_text(f"{text}{detectors}[families.pack.photo.detectors.files]\n{named}\n")
    return Catalog.load(path)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WheelIndex]:
    """An empty index."""
    with WheelIndex() as index:
        use_alone(index, monkeypatch, tmp_path)
        yield index


@pytest.fixture
def studio(catalog: Catalog, index: WheelIndex) -> Studio:
    return Studio(catalog=catalog, style="drawn", compiled=False)


@pytest.fixture(scope="module")
def photo() -> Photo:
    """A drawing that the detectors take for a photograph of a person."""
    return Photo.of(draw(solo(sample_spec(9), "soft"), (192, 256), with_masks=False).image)


def one_sentence(text: str) -> bool:
    return text.endswith(".") and ". " not in text


# --- where they are unavailable -----------------------------------------------------------------


def test_without_an_index_the_page_is_ready_and_says_so(studio: Studio, index: WheelIndex) -> None:
    index.close()
    status = ModelStatus(studio)
    status.start()
    end = time.monotonic() + PATIENCE_SECONDS
    while not status.ready:
        assert time.monotonic() < end, status.text
        time.sleep(0.05)
    status.stop()
    assert status.text.startswith("Ready · ")
    assert status.text.endswith(f" · {NOTE}")
    assert one_sentence(NOTE)


def test_they_are_asked_for_once_and_again_after_a_while(
    catalog: Catalog, index: WheelIndex, wheel: tuple[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(loaded_models, "time", SimpleNamespace(monotonic=lambda: now))
    models = LoadedModels(catalog, Device.cpu())
    asked = []
    for wait in (0.0, 0.0, RETRY_SECONDS - 1):
        now += wait
        assert models.photo_reader("pack", fetch) is None
        assert models.photo_note.startswith("Photographs are read less well: ")
        assert "tiny==1.0" in models.photo_note
        assert one_sentence(models.photo_note)
        asked.append(len(index.requests))
    assert asked[0] > 0
    assert asked == asked[:1] * 3
    index.add(*wheel)
    now += 1
    reader = models.photo_reader("pack", fetch)
    assert reader is not None
    assert models.photo_note == ""
    done = len(index.requests)
    assert models.photo_reader("pack", fetch) is reader
    assert len(index.requests) == done


def test_meanwhile_the_segmenter_answers_and_a_job_is_painted(
    studio: Studio, index: WheelIndex, photo: Photo
) -> None:
    recipe = Recipe(
        prompt="a garden", steps=2, seed=5, mask_prompt="person", mask_negative="",
        mask_threshold=0.05, mask_strokes="-2000:5000,5000", controlnet=None,
    )  # fmt: skip
    selection = studio.select(photo, recipe)
    asked = len(index.requests)
    assert asked > 0
    segmenter = studio.models().segmenter("pack", fetch)
    expected = segmenter.segment(segmenter.encode_image(photo.pixels), ("person",))[0]
    assert selection.words[0].score == pytest.approx(expected.peak, abs=1e-5)
    assert selection.detection.reader == ""
    *_, result = studio.paint(photo, recipe)
    assert isinstance(result, Result)
    assert result.hint == studio.models().photo_note
    assert result.hint.startswith("Photographs are read less well: ")
    assert len(index.requests) == asked


def test_a_family_without_words_for_them_asks_for_nothing(
    tiny_catalog: Path, index: WheelIndex
) -> None:
    models = LoadedModels(Catalog.load(tiny_catalog), Device.cpu())
    assert models.photo_reader("pack", fetch) is None
    assert models.photo_note == ""
    assert not index.requests


def test_closing_the_warm_up_ends_the_download(
    studio: Studio, index: WheelIndex, wheel: tuple[str, bytes]
) -> None:
    index.add(*wheel)
    index.fault = Fault.STALLS_IN_A_WHEEL
    events = studio.warm_up()
    assert any("tiny" in event.detail and "MB" in event.detail for event in events)
    assert index.stalled.wait(PATIENCE_SECONDS)
    started = time.monotonic()
    events.close()
    assert index.hung_up.wait(PATIENCE_SECONDS)
    assert time.monotonic() - started < 10
    index.fault = None
    assert studio.models().photo_reader("pack", fetch) is not None


# --- where they are there -----------------------------------------------------------------------


def test_a_job_on_a_photograph_downloads_them_with_progress_and_paints(
    studio: Studio, index: WheelIndex, wheel: tuple[str, bytes], photo: Photo
) -> None:
    index.add(*wheel)
    events = list(studio.paint(photo, RECIPE))
    result = events[-1]
    assert isinstance(result, Result)
    told = [one for one in events if isinstance(one, Progress) and "tiny" in one.detail]
    assert told
    assert all(one.stage is Stage.LOADING for one in told)
    assert any("MB" in one.detail for one in told)
    selection = studio.select(photo, RECIPE)
    assert selection.detection.reader == PHOTOGRAPH
    assert 0.2 < (selection.field.distance > 0).mean() < 0.7
    assert result.kept_pixels_changed == 0
    assert result.notes == (DRAWS,)
    assert result_html(result).count(DRAWS) == 1
    done = len(index.requests)
    *_, grid = studio.paint_grid(photo, Grid.of(RECIPE, columns=Axis.parse("seed=5, 6")))
    assert result_html(grid).count(DRAWS) == 1
    assert len(index.requests) == done


def test_they_are_downloaded_before_a_gpu_is_lent(
    catalog: Catalog, index: WheelIndex, wheel: tuple[str, bytes], photo: Photo
) -> None:
    index.add(*wheel)
    asked: list[int] = []

    def lend(task: Callable[..., Generator[Any]], _seconds: object) -> Any:
        def there(*given: Any) -> Generator[Any]:
            asked.append(len(index.requests))
            yield from task(*given)

        return there

    studio = Studio(catalog=catalog, style="drawn", compiled=False, lend=lend)
    *_, result = studio.paint(photo, RECIPE)
    assert isinstance(result, Result)
    assert result.hint == DRAWS
    assert asked == [len(index.requests)]
    assert asked[0] > 0


@pytest.mark.parametrize(
    ("family", "reader", "hint"),
    [
        ("pack", PHOTOGRAPH, DRAWS),
        ("pack", DRAWING, ""),
        ("pack", "", ""),
        ("sd15", PHOTOGRAPH, ""),
        ("sd15", "", ""),
    ],
)
def test_only_a_photograph_in_the_built_in_style_is_told_that_it_is_drawn(
    tiny_catalog: Path, photo: Photo, family: str, reader: str, hint: str
) -> None:
    studio = Studio(catalog=Catalog.load(tiny_catalog), style="drawn")
    selection = studio.select(photo, RECIPE)
    seen: Selection = replace(selection, detection=replace(selection.detection, reader=reader))
    job = studio._job(photo, RECIPE, None)
    job = replace(job, style=job.style.model_copy(update={"family": family}))
    assert job._hint(seen) == hint
