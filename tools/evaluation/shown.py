"""9. Image prompt: agreement of scene, clothes and face with the IP-Adapter's picture."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.picture.geometry import mask_box
from inference.picture.photo import Pixels
from tools.evaluation.bench import Bench, share, sitter
from tools.evaluation.judge import load
from tools.evaluation.maps import SILENT
from tools.evaluation.prompt import Wish, recipe, verdict
from tools.evaluation.table import Row

MORE = 0.2  # what the adapter must add to each share
LIKER = 0.1  # what `face_swap` must add to the likeness

Colour = NDArray[np.float32]
"""(3,), CIELAB."""


def measure(bench: Bench, count: int) -> dict[str, Any]:
    """Agreement of paintings with the image prompt, and of swapped faces with the photo's face."""
    return {**by_picture(bench, count), "face": likeness(bench, count)}


def by_picture(bench: Bench, count: int) -> dict[str, Any]:
    """Shares of paintings with the photo's colour of clothes and the photo's scene."""
    judge = load("scene")
    values: dict[str, Any] = {}
    for name, control in (("with", "ipadapter"), ("without", None)):
        verdicts = []
        for k in range(count):
            portrait = sitter(k)
            spec = portrait.spec
            there = Wish(colour=spec.clothes_colour, clothes=spec.clothes, scene=spec.scene)
            painting = bench.paint(portrait.image, recipe(k, prompt=SILENT, controlnet=control))
            verdicts.append(verdict(bench, judge, painting, there))
        values[name] = {
            "colour": share([colour for colour, _ in verdicts]),
            "scene": share([scene for _, scene in verdicts]),
        }
    return values


def likeness(bench: Bench, count: int) -> dict[str, float]:
    """Share of pairs in which a painted face is nearer in colour to its own photo than to another.

    0.5 is chance. The mask keeps the clothes, so that the face is painted anew; `face_swap` then
    changes it.
    """
    photos = [sitter(k).image for k in range(count)]
    faces = [_face_colour(bench, photo) for photo in photos]
    values = {}
    for name, swap in (("with", True), ("without", False)):
        farther: list[bool] = []
        for k, photo in enumerate(photos):
            fields = {"prompt": SILENT, "mask_prompt": "clothes", "face_swap": swap}
            painting = bench.paint(photo, recipe(k, **fields))
            found = None if painting is None else _face_colour(bench, painting.image)
            gaps = [_gap(found, face) for face in faces]
            farther += [gap > gaps[k] for j, gap in enumerate(gaps) if j != k]
        values[name] = share(farther)
    return values


def _gap(one: Colour | None, other: Colour | None) -> float:
    """Distance in CIELAB; infinite where there is no face."""
    return np.inf if one is None or other is None else float(np.linalg.norm(one - other))


def _face_colour(bench: Bench, picture: Pixels) -> Colour | None:
    """Mean colour of the middle of a face; None where the detector sees none."""
    face = bench.find(picture, "face")[0]
    if not face.any():
        return None
    box = picture[mask_box(face, min_side=1).slices]
    high, wide = (side // 5 for side in box.shape[:2])
    middle = box[high : box.shape[0] - high, wide : box.shape[1] - wide]
    lab = cv2.cvtColor(middle.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    return np.asarray(lab.mean(axis=(0, 1)), dtype=np.float32)


def rows(values: dict[str, Any]) -> list[Row]:
    """The rows of the table."""
    names = {"colour": "clothes have the photo's colour", "scene": "scene is the photo's"}
    face = values["face"]
    shares = [
        Row(
            part="9 Image prompt",
            what=f"{text}, shown the photo and not",
            goal=f"at least {100 * MORE:.0f} points more",
            value=f"{100 * values['with'][key]:.1f} %, {100 * values['without'][key]:.1f} %",
            passed=values["with"][key] >= values["without"][key] + MORE,
        )
        for key, text in names.items()
    ]
    return [
        *shares,
        Row(
            part="9 Image prompt",
            what="faces nearer to the photo's than to others', with “face_swap” and without",
            goal=f"at least {100 * LIKER:.0f} points more",
            value=f"{100 * face['with']:.1f} %, {100 * face['without']:.1f} %",
            passed=face["with"] >= face["without"] + LIKER,
        ),
    ]
