"""Parameter grids (X/Y plots): one photo, with a recipe varied in rows and columns."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from inference.errors import InvalidRecipe, MasqueradeError
from inference.picture.contact_sheet import contact_sheet
from inference.picture.photo import Pixels
from inference.picture.progress import Progress
from inference.picture.result import Result
from inference.recipe.recipe import Recipe

MAX_CELLS = 24
# Fields that cannot be varied, because all cells have one photo and one picture each.
FIXED = ("input_image_url", "mask_image_url", "num_images", "mask_strokes")


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A recipe field and the values along one axis."""

    name: str
    values: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Axis | None:
        """Parse an axis such as ``cfg_scale=2, 5, 8``; an empty text is None.

        Raises:
            InvalidRecipe: the text is not a field with values, or the field cannot be varied.
        """
        if not text.strip():
            return None
        match = re.fullmatch(r"\s*([a-z_0-9]+)\s*[=:](.*)", text, re.DOTALL)
        values = [value.strip() for value in match[2].split(",")] if match else []
        if not match or not all(values):
            raise InvalidRecipe(
                "Rows and columns are a field and its values: write cfg_scale=2, 5, 8."
            )
        if match[1] not in Recipe.model_fields or match[1] in FIXED:
            raise InvalidRecipe(
                f"«{match[1][:40]}» cannot be varied: choose a field such as cfg_scale, "
                "denoising_strength or style.",
                field=match[1],
            )
        return cls(name=match[1], values=tuple(dict.fromkeys(values)))


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell: its row and column labels and its recipe."""

    row: str
    column: str
    recipe: Recipe

    @property
    def label(self) -> str:
        """Column and row label, joined."""
        return ", ".join(filter(None, (self.column, self.row)))


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Rows and columns of recipes with one seed.

    Attributes:
        cells: row by row.
        width: number of columns.
    """

    cells: tuple[Cell, ...]
    width: int

    @classmethod
    def of(cls, recipe: Recipe, columns: Axis | None, rows: Axis | None = None) -> Grid:
        """Vary a recipe along one or two axes.

        Raises:
            InvalidRecipe: a value is invalid, both axes vary one field, or too many cells.
        """
        if columns and rows and columns.name == rows.name:
            raise InvalidRecipe("Rows and columns vary the same field: choose two different ones.")
        base = recipe.with_seed().model_copy(update={"num_images": 1})
        across, down = _choices(columns), _choices(rows)
        if len(across) * len(down) > MAX_CELLS:
            raise InvalidRecipe(f"That is over {MAX_CELLS} pictures: choose fewer values.")
        fields = base.model_dump(mode="json")
        cells = [
            Cell(row=_label(low), column=_label(high), recipe=Recipe.parse(fields | low | high))
            for low, high in product(down, across)
        ]
        return cls(cells=tuple(cells), width=len(across))


@dataclass(frozen=True, kw_only=True)
class GridResult:
    """The results of a grid.

    Attributes:
        grid: the grid.
        results: one per cell; None where it failed.
        failures: error messages by the failed cells' labels.
        remarks: sentences about what became of the results after they were painted.
    """

    grid: Grid
    results: tuple[Result | None, ...]
    failures: dict[str, str]
    remarks: tuple[str, ...] = ()

    @property
    def painted(self) -> dict[str, Result]:
        """The successful results by their cells' labels."""
        pairs = zip(self.grid.cells, self.results, strict=True)
        return {cell.label: result for cell, result in pairs if result is not None}

    @property
    def first(self) -> Result:
        """The first successful result; input and mask are the same in all of one size."""
        return next(iter(self.painted.values()))

    def sheet(self) -> Pixels:
        """The contact sheet, (H, W, 3); failed cells are blank."""
        blank = np.full_like(self.first.images[0], 235)
        pairs = zip(self.grid.cells, self.results, strict=True)
        return contact_sheet(
            [(cell.label, blank if one is None else one.images[0]) for cell, one in pairs],
            self.grid.width,
        )


def paint_cells(
    grid: Grid, paint: Callable[[Recipe], Generator[Progress | Result]]
) -> Generator[Progress | GridResult]:
    """Paint every cell of a grid; a failed cell does not stop the others.

    Args:
        grid: the grid.
        paint: paints a recipe; closing its generator cancels.

    Raises:
        MasqueradeError: no cell could be painted; the error of the first one.
    """
    results: dict[int, Result] = {}
    failures: dict[int, MasqueradeError] = {}
    # Cells of one style follow each other, so that each checkpoint is loaded once.
    for k in sorted(range(len(grid.cells)), key=lambda k: grid.cells[k].recipe.style or ""):
        cell = grid.cells[k]
        where = f"{len(results) + len(failures) + 1} of {len(grid.cells)}: {cell.label}"
        try:
            with closing(paint(cell.recipe)) as events:
                for event in events:
                    if isinstance(event, Result):
                        results[k] = event
                    else:
                        detail = ", ".join(filter(None, (where, event.detail)))
                        yield replace(event, detail=detail)
        except MasqueradeError as error:
            failures[k] = error
    if not results:
        raise failures[min(failures)]
    yield GridResult(
        grid=grid,
        results=tuple(results.get(k) for k in range(len(grid.cells))),
        failures={grid.cells[k].label: str(failures[k]) for k in sorted(failures)},
    )


def _choices(axis: Axis | None) -> Sequence[dict[str, str]]:
    return [{}] if axis is None else [{axis.name: value} for value in axis.values]


def _label(choice: dict[str, str]) -> str:
    """The label of a row or column."""
    return ", ".join(
        value.capitalize() if name == "style" else f"{Recipe.model_fields[name].title} {value}"
        for name, value in choice.items()
    )
