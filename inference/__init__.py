"""Masquerade: a person, untouched, in any scene.

    from inference import Photo, Recipe, Studio

Importing this package imports neither torch nor any model.
"""

from inference.errors import MasqueradeError
from inference.photo import Photo
from inference.recipe import Length, MaskSettings, Recipe
from inference.results import Progress, Result
from inference.studio import Studio

__all__ = [
    "Length",
    "MaskSettings",
    "MasqueradeError",
    "Photo",
    "Progress",
    "Recipe",
    "Result",
    "Studio",
]
