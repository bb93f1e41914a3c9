"""A painter of a folder's photos: an actor of Ray Data that holds a studio; and their reader."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from inference.catalog.catalog import Catalog
from inference.cluster.places import Places
from inference.errors import InvalidRecipe, MasqueradeError, ModelFailed, ModelUnavailable
from inference.picture.photo import Photo
from inference.picture.result import Result
from inference.recipe.recipe import Recipe
from inference.studio.studio import Studio

#: A row of a dataset: `number` and `address` of a photo, the names of its `targets` as JSON; after
#: the reading `file` and `error`; after the painting `number` and `outcome`, a report as JSON.
Row = dict[str, Any]


class PhotoReader:
    """Reads the photos of rows; a photo that cannot be read gets a sentence instead.

    Args:
        places: finds the photos.
    """

    def __init__(self, places: Places) -> None:
        self._places = places

    def read(self, row: Row) -> Row:
        """Add `file`, and `error`, which is "" for a photo that was read."""
        try:
            return {**row, "file": self._places.at(row["address"]).read(), "error": ""}
        except MasqueradeError as error:
            return {**row, "file": b"", "error": str(error)}


class PhotoPainter:
    """Paints the photos of rows, one at a time, and writes the results.

    Args:
        recipe: with a style.
        catalog: file of styles laid over the built-in ones.
        places: finds the folder.
        out: address of the folder for the results.
    """

    def __init__(self, recipe: Recipe, catalog: Path | None, places: Places, out: str) -> None:
        self._studio = Studio(catalog=Catalog.load(catalog))
        self._recipe, self._out = recipe, places.at(out)

    def __call__(self, rows: Mapping[str, Any]) -> Row:
        """Paint the photo of a batch of one row; gives `number` and `outcome` as such a batch."""
        row = {name: values[0] for name, values in rows.items()}
        started = time.monotonic()
        try:
            outcome = {"error": row["error"]} if row["error"] else self._painted(row)
        except (InvalidRecipe, ModelUnavailable) as error:  # holds for all photos
            outcome = {"error": str(error), "stop": type(error).__name__}
        except MasqueradeError as error:
            outcome = {"error": str(error)}
        except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError):
            outcome = {"error": str(ModelFailed())}
        outcome["seconds"] = time.monotonic() - started
        return {"number": [int(row["number"])], "outcome": [json.dumps(outcome)]}

    def _painted(self, row: Row) -> dict[str, Any]:
        photo = Photo.open(bytes(row["file"]))
        result = self._result(photo)
        files = dict(json.loads(row["targets"]))
        for name, image in files.items():
            self._out.file(name).write(result.png(image))
        return {
            "files": list(files),
            "seed": result.recipe.seed,
            "kept_pixels_changed": result.kept_pixels_changed,
            "notes": list(result.notes),
        }

    def _result(self, photo: Photo) -> Result:
        with closing(self._studio.paint(photo, self._recipe)) as events:
            for event in events:
                if isinstance(event, Result):
                    return event
        raise AssertionError("the studio always ends with a result")
