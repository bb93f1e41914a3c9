"""The pictures of a result as the library keeps them: PNGs with the recipe, and thumbnails."""

from __future__ import annotations

from inference.library.records import KeptPicture, Outcome
from inference.picture.compositing import resize
from inference.picture.geometry import fit_within
from inference.picture.image_files import encode_jpeg
from inference.picture.photo import Pixels
from inference.picture.result import Result

THUMBNAIL_SIDE = 384


def outcome_of(result: Result) -> Outcome:
    """What the library keeps of a result."""
    pictures = (
        KeptPicture(file=result.png(k), thumbnail=thumbnail(image))
        for k, image in enumerate(result.images)
    )
    report = result.report()
    kept = ("seed", "kept_pixels", "kept_pixels_changed", "edge_pixels", "seconds")
    return Outcome(
        recipe=result.recipe,
        pictures=tuple(pictures),
        report={name: report[name] for name in kept},
        notes=result.notes,
    )


def thumbnail(picture: Pixels) -> bytes:
    """A JPEG of a picture with a longer side of at most `THUMBNAIL_SIDE`."""
    return encode_jpeg(resize(picture, fit_within(picture.shape[1::-1], THUMBNAIL_SIDE)))
