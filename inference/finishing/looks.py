"""The last stages, which change the look of whole pictures: light, film grain and grading."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TypeAlias

from inference.finishing import color_grading, film_grain
from inference.finishing.area import Area
from inference.finishing.color_match import shift_towards
from inference.finishing.light_wrap import wrap
from inference.picture.photo import Pixels
from inference.picture.progress import Progress, Stage
from inference.recipe.length import pixels_of
from inference.recipe.recipe import Recipe

# Least amount of grain if the recipe takes the amount from the photo.
LEAST_GRAIN = 3.0

Pictures: TypeAlias = tuple[Pixels, ...]
Look: TypeAlias = Generator[Progress, None, Pictures]


def run_looks(images: Pictures, area: Area, recipe: Recipe) -> Look:
    """Run the stages that a recipe selects, in their order.

    Args:
        images: (H, W, 3) uint8 each.
        area: what of them may change.
        recipe: with a concrete seed.

    Returns:
        The changed pictures.
    """
    for is_wanted, look in LOOKS:
        if is_wanted(recipe):
            images = yield from look(images, area, recipe)
    return images


def _match_colors(images: Pictures, area: Area, recipe: Recipe) -> Look:
    """`color_match`: the painted part's light nearer to the photo's."""
    yield Progress(stage=Stage.MATCHING)

    def matched(image: Pixels) -> Pixels:
        shift = shift_towards(area.original, image, area.alpha, recipe.color_match)
        return image if shift is None else area.paste(image, shift.apply(image))

    return tuple(map(matched, images))


def _wrap_light(images: Pictures, area: Area, recipe: Recipe) -> Look:
    """`light_wrap`: light of the new scene over a matted edge."""
    yield from ()
    if not area.is_matted:
        return images
    return tuple(wrap(one, area.alpha, recipe.light_wrap) for one in images)


def _add_grain(images: Pictures, area: Area, recipe: Recipe) -> Look:
    """`film_grain`: the recipe's grain; amount or size of None are those of the photo."""
    yield Progress(stage=Stage.GRAIN)
    assert recipe.seed is not None, "the studio makes the seed concrete"
    own = film_grain.measure(area.photo)
    amount, size = recipe.film_grain_amount, recipe.film_grain_size
    grain = film_grain.Grain(
        amount=max(own.amount, LEAST_GRAIN) if amount is None else amount,
        size=own.size if size is None else pixels_of(size, min(area.photo.shape[:2])),
    )
    grainy = (film_grain.add(one, grain, recipe.seed + k) for k, one in enumerate(images))
    return tuple(map(area.paste, images, grainy))


def _grade(images: Pictures, area: Area, recipe: Recipe) -> Look:
    """`color_grading`: one of the looks."""
    look = str(recipe.color_grading)
    yield Progress(stage=Stage.GRADING, detail=look)
    graded = (color_grading.grade(one, look) for one in images)
    return tuple(map(area.paste, images, graded))


# Whether a recipe selects a stage, and the stage.
LOOKS: tuple[tuple[Callable[[Recipe], bool], Callable[[Pictures, Area, Recipe], Look]], ...] = (
    (lambda recipe: recipe.color_match > 0, _match_colors),
    (lambda recipe: recipe.light_wrap > 0, _wrap_light),
    (lambda recipe: recipe.film_grain, _add_grain),
    (lambda recipe: recipe.color_grading is not None, _grade),
)
