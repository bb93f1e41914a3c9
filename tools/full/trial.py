"""One trial in a process of its own: downloads, loads and paints what a row of the table says.

    echo '{"style": "photo", "recipe": {"steps": 1}}' | python -m tools.full.trial

Writes its outcome as JSON to the standard output. The model hub and cache are those of the
environment.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from inference.catalog.catalog import Catalog, Style
from inference.errors import MasqueradeError
from inference.picture.photo import Photo
from inference.picture.progress import Progress
from inference.picture.result import Result
from inference.recipe.lora_tags import split_lora_tags
from inference.recipe.recipe import Recipe
from inference.runtime.process_memory import peak
from inference.studio.model_loading import ModelLoader
from inference.studio.studio import Studio


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a trial does.

    Attributes:
        style: key of the style.
        recipe: the settings of its picture.
        photo: path of the photo.
        catalog: path of a catalog over the built-in one; "" for none.
        checks: use the safety checker.
    """

    style: str
    photo: str
    recipe: dict[str, Any] = field(default_factory=dict)
    catalog: str = ""
    checks: bool = False


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a trial took, and whether it did what it should.

    Attributes:
        download, load, paint: seconds of downloading, of reading models, and of all the rest.
        peak: bytes of main memory that the process used at most.
        size: (width, height) of the picture; (0, 0) where there is none.
        kept_pixels_changed: of the mask's kept pixels; must be 0.
        problem: a sentence if it failed, else "".
    """

    download: float = 0.0
    load: float = 0.0
    paint: float = 0.0
    peak: int = 0
    size: tuple[int, int] = (0, 0)
    kept_pixels_changed: int = 0
    problem: str = ""


def run(task: Task) -> Outcome:
    """Do a task; an error of ours is the outcome's problem."""
    try:
        catalog = Catalog.load(Path(task.catalog) if task.catalog else None)
        studio = Studio(
            catalog=catalog, style=task.style, safety_checker=task.checks, compiled=False
        )
        recipe = Recipe.parse({"seed": 1, **task.recipe, "style": task.style})
        studio.models()  # imports PyTorch, which is not counted
        began = time.perf_counter()
        _download(studio, recipe)
        downloaded = time.perf_counter()
        result = _last(studio.paint(Photo.open(task.photo), recipe))
    except MasqueradeError as error:
        return Outcome(problem=_with_cause(error), peak=peak())
    load = result.seconds.get("loading", 0.0)
    return Outcome(
        download=downloaded - began,
        load=load,
        paint=time.perf_counter() - downloaded - load,
        peak=peak(),
        size=(result.images[0].shape[1], result.images[0].shape[0]),
        kept_pixels_changed=result.kept_pixels_changed,
        problem=_mistake(result),
    )


def _download(studio: Studio, recipe: Recipe) -> None:
    """Fetch what the recipe needs into the model cache."""
    catalog, models = studio.catalog, studio.models()
    style: Style = studio.style(recipe.style)
    fast = catalog.fast(style).loras if recipe.fast else {}
    style = catalog.with_loras(style, {**fast, **split_lora_tags(recipe.prompt).loras})
    loader = ModelLoader(models, style, recipe)
    for _ in loader.load_photo_reader():
        pass
    for _ in loader.download():
        pass


def _last(events: Iterable[Progress | Result]) -> Result:
    *_, result = events
    assert isinstance(result, Result)
    return result


def _with_cause(error: MasqueradeError) -> str:
    """The sentence for the user, and the library's error where there is one."""
    cause = error.__cause__
    return f"{error} ({type(cause).__name__}: {cause})" if cause is not None else str(error)


def _mistake(result: Result) -> str:
    """What is wrong with a result; "" if nothing is."""
    if result.kept_pixels_changed:
        return f"{result.kept_pixels_changed} kept pixels changed"
    if not result.kept_pixels:
        return "nothing was kept, so the trial says little"
    if result.withheld:
        return "the picture was withheld"
    if result.images[0].shape == result.original.shape and np.array_equal(
        result.images[0], result.original
    ):
        return "the picture is the photo, so the stage did nothing"
    return ""


def main() -> None:
    """Run the task of the standard input."""
    outcome = run(Task(**json.load(sys.stdin)))
    print(json.dumps(asdict(outcome)))


if __name__ == "__main__":
    main()
