"""JSON data from which the browser computes the live mask (`assets/mask_canvas.js`).

Browser and server use the same scores and the same arithmetic, so their masks are identical.
"""

from __future__ import annotations

import base64
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from inference.mask import distance_field
from inference.mask.selection import USUAL_SHARES, Detection, Selection, Word
from inference.people.part_words import means_people, one_person
from inference.people.person_regions import Place
from inference.picture.geometry import CONTEXT, LATENT_FACTOR, MAX_CROP_ASPECT, Box, View
from inference.picture.photo import Pixels
from inference.recipe.length import SHORT_SIDE
from inference.recipe.mask_settings import MaskSettings
from inference.recipe.recipe import Recipe
from inference.recipe.strokes import Stroke
from inference.runtime.cache import digest

JPEG_QUALITY = 90
# Constants that the browser's arithmetic shares with the server's.
RULES = {
    "speck": distance_field.SPECK, "hole": distance_field.HOLE, "far": distance_field.FAR,
    "unit": Stroke.UNIT, "shares": USUAL_SHARES, "context": CONTEXT, "maxAspect": MAX_CROP_ASPECT,
    "factor": LATENT_FACTOR, "shortSide": SHORT_SIDE,
}  # fmt: skip


def mask_view(detection: Detection, settings: MaskSettings) -> dict[str, Any]:
    """Photo, scores, words and settings, from which the browser computes the mask.

    Args:
        detection: scores and preview; they become data URIs.
        settings: the mask settings, for controls that are not on the page at present.
    """
    box = detection.canvas.box
    return {
        "photoId": detection.photo.digest,
        "photo": _uri(cv2.cvtColor(detection.preview, cv2.COLOR_RGB2BGR), "jpeg"),
        "scores": _uri(detection.scores, "png"),
        "words": [
            {
                "phrase": word.phrase,
                "negative": word.negative,
                "threshold": word.threshold,
                "score": word.score,
                "heat": _uri(word.heat, "png"),
                **_whose(detection, word),
            }
            for word in detection.words
        ],
        "people": [_on_canvas(detection, place) for place in detection.places],
        "drawn": detection.drawn,
        "reader": detection.reader,
        "photoSize": detection.photo.size,
        "box": (box.left, box.top, box.right, box.bottom),
        "canvas": detection.canvas.size,
        "native": detection.native,
        "detection": digest(detection.scores),
        "settings": _settings(settings),
        "rules": RULES,
    }


def matte_view(selection: Selection, recipe: Recipe) -> dict[str, Any]:
    """The mask with a matted edge at the detection's resolution, and what it belongs to.

    Empty if the edge is a soft line.
    """
    if not selection.is_matted(recipe):
        return {}
    canvas, height_width = selection.canvas.size, selection.detection.scores.shape
    view = View(whole=canvas, box=Box.whole(canvas), size=height_width[::-1])
    alpha = np.rint(selection.alpha(recipe, view) * 255).astype(np.uint8)
    return {
        "detection": digest(selection.detection.scores),
        "settings": _settings(recipe),
        "alpha": _uri(alpha, "png"),
    }


def regions_view(selection: Selection, recipe: Recipe) -> dict[str, Any]:
    """The regions of a recipe's clicks on the detection's grid, by the text of their points."""
    clicks = [one for one in recipe.mask_strokes if one.is_click]
    points = dict.fromkeys(point for one in clicks for point in one.points)
    found = {f"{x},{y}": selection.region_at((x, y)) for x, y in points}
    return {
        "detection": digest(selection.detection.scores),
        "regions": {key: _uri(one * np.uint8(255), "png") for key, one in found.items()},
    }


def _settings(settings: MaskSettings) -> dict[str, Any]:
    return {
        "threshold": settings.mask_threshold,
        "invert": settings.mask_invert,
        "dilate": settings.mask_dilate.value,
        "unit": str(settings.mask_dilate.unit),
        "feather": settings.mask_feather,
        "edges": settings.mask_edges or "automatic",
        "width": settings.mask_matte_width,
    }


def _whose(detection: Detection, word: Word) -> dict[str, Any]:
    """For a word about people: its noun, the person's number, what is said if it is not found."""
    one, noun, index = one_person(word.phrase), "", None
    if one is not None:
        noun = one.noun
        index = detection.people.index(one.which) if detection.people else None
    elif means_people(word.phrase):
        noun = word.phrase
    return {
        "noun": noun,
        "person": None if index is None else index + 1,
        "absence": detection.absence(word.phrase, word.score),
    }


def _on_canvas(detection: Detection, place: Place) -> tuple[float, float]:
    """The middle of a person's upper end, in 0–1 of the canvas; outside of it for some people."""
    (width, height), box = detection.photo.size, detection.canvas.box
    return (
        (place.x * width - box.left) / box.size[0],
        (place.y * height - box.top) / box.size[1],
    )


def mask_report(selection: Selection, recipe: Recipe) -> tuple[Pixels, dict[str, Any]]:
    """The mask as a picture, (H, W, 3) uint8 with 255 = repaint, and each phrase's score."""
    alpha = np.rint(selection.alpha(recipe) * 255).astype(np.uint8)
    words = {word.phrase: round(word.score, 4) for word in selection.detection.words}
    report: dict[str, Any] = {"words": words, "repainted": round(float((alpha > 127).mean()), 4)}
    if selection.detection.people is not None:
        report["people"] = len(selection.detection.places)
    return alpha[..., None].repeat(3, axis=2), report


def _uri(picture: npt.NDArray[Any], kind: str) -> str:
    """A gray or BGR picture as a data URI."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if kind == "jpeg" else []
    _, data = cv2.imencode(f".{kind}", picture, quality)
    return f"data:image/{kind};base64,{base64.b64encode(data.tobytes()).decode()}"
