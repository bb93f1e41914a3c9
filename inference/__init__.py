"""Masquerade: text-guided masking and inpainting of photos with Stable Diffusion.

    from inference import Photo, Recipe, Studio

Importing this package imports neither torch nor any model.
"""

from inference.errors import MasqueradeError
from inference.picture.photo import Photo
from inference.picture.progress import Progress
from inference.picture.result import Result
from inference.recipe.length import Length
from inference.recipe.mask_settings import MaskSettings
from inference.recipe.recipe import Recipe
from inference.studio.studio import Studio

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
