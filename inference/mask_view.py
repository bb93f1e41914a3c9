"""What a browser needs to draw the mask by itself, as plain values for JSON.

`assets/mask_canvas.js` reads it. The scores are the very ones that the server makes the mask of,
so both come to the same pixels.
"""

from __future__ import annotations

import base64
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from inference import masking
from inference.geometry import CONTEXT, LATENT_FACTOR, MAX_CROP_ASPECT
from inference.photo import Pixels
from inference.recipe import MaskSettings, Recipe
from inference.selection import USUAL_SHARES, Evidence, Selection
from inference.strokes import Stroke

JPEG_QUALITY = 90
# The numbers that the browser's arithmetic shares with ours.
RULES = {
    "speck": masking.SPECK, "hole": masking.HOLE, "far": masking.FAR, "unit": Stroke.UNIT,
    "shares": USUAL_SHARES, "context": CONTEXT, "maxAspect": MAX_CROP_ASPECT,
    "factor": LATENT_FACTOR,
}  # fmt: skip


def mask_view(evidence: Evidence, settings: MaskSettings) -> dict[str, Any]:
    """Photo, scores and words, with all that turns them into a mask.

    Args:
        evidence: what the words found; pictures of it become data URIs.
        settings: the sliders, for those that the page does not show at the moment.
    """
    box = evidence.canvas.box
    return {
        "photoId": evidence.photo.digest,
        "photo": _uri(cv2.cvtColor(evidence.preview, cv2.COLOR_RGB2BGR), "jpeg"),
        "scores": _uri(evidence.scores, "png"),
        "words": [
            {
                "phrase": word.phrase,
                "negative": word.negative,
                "threshold": word.threshold,
                "score": word.score,
                "heat": _uri(word.heat, "png"),
            }
            for word in evidence.words
        ],
        "drawn": evidence.drawn,
        "photoSize": evidence.photo.size,
        "box": (box.left, box.top, box.right, box.bottom),
        "canvas": evidence.canvas.size,
        "native": evidence.native,
        "shortSide": evidence.short_side,
        "settings": {
            "threshold": settings.mask_threshold,
            "invert": settings.mask_invert,
            "dilate": settings.mask_dilate.value,
            "unit": str(settings.mask_dilate.unit),
            "feather": settings.mask_feather,
        },
        "rules": RULES,
    }


def mask_report(selection: Selection, recipe: Recipe) -> tuple[Pixels, dict[str, Any]]:
    """The mask as a picture, (H, W, 3) uint8 with 255 = repaint, and what the words found."""
    alpha = np.rint(selection.alpha(recipe) * 255).astype(np.uint8)
    words = {word.phrase: round(word.score, 4) for word in selection.evidence.words}
    share = float((alpha > 127).mean())
    return alpha[..., None].repeat(3, axis=2), {"words": words, "repainted": round(share, 4)}


def _uri(picture: npt.NDArray[Any], kind: str) -> str:
    """A picture, gray or BGR, as a data URI."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if kind == "jpeg" else []
    _, data = cv2.imencode(f".{kind}", picture, quality)
    return f"data:image/{kind};base64,{base64.b64encode(data.tobytes()).decode()}"
