"""8. Maps: agreement of the control maps of painting and photo, for each kind of control."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.catalog.hub import fetch
from inference.control.control_maps import CONTROLS, Scene
from inference.picture.compositing import resize
from inference.picture.geometry import generation_size
from inference.picture.photo import Pixels
from tools.evaluation.bench import FAMILY, Bench, Painting, overlap, sitter
from tools.evaluation.prompt import recipe
from tools.evaluation.table import Row

# Least increase of the agreement by each control. Depth can add little, because the kept head
# determines where the body is.
MORE = {
    "canny": 0.1, "lineart": 0.1, "hed": 0.1, "mlsd": 0.1, "depth": 0.01, "tile": 0.1,
    "segroom": 0.1, "composition": 0.05, "qr": 0.1,
}  # fmt: skip
KINDS = tuple(MORE)
# Maps with colours, light or the scene itself, which the words of another prompt would contradict.
SILENTLY = ("tile", "segroom", "qr")
SILENT = "portrait of a person"
BODY = "clothes"
BLUR = 1 / 96  # sigma as a share of the native size: lines may be slightly displaced


def map_of(bench: Bench, kind: str, picture: Pixels) -> NDArray[np.float32]:
    """A control's map of a picture at generation size, blurred, (h, w, 3)."""

    def absent() -> NDArray[np.float32]:
        raise LookupError(f"{kind} is measured otherwise")

    native = bench.studio.catalog.style(recipe(0).style).native_size
    small = resize(picture, generation_size(picture.shape[1::-1], native))
    scene = Scene(
        picture=small,
        keypoints=absent,
        nearness=lambda: bench.studio.models().depth(FAMILY, fetch).find(small),
        classes=lambda: bench.studio.models().rooms(FAMILY, fetch).find(small),
    )
    drawn = CONTROLS[kind](scene).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(drawn, (0, 0), BLUR * native), dtype=np.float32)


def agreement(bench: Bench, kind: str, photo: Pixels, painting: Painting) -> float:
    """Correlation (−1…1) of both maps in the repainted part; 0 if one of them is empty.

    For the composition, which leaves colours and scene free: the overlap (0…1) of the bodies.
    """
    if kind == "composition":
        return overlap(*(bench.find(one, BODY)[0] for one in (photo, painting.image)))
    wanted, painted = (map_of(bench, kind, one) for one in (photo, painting.image))
    size = wanted.shape[1::-1]
    shown = painting.repainted.astype(np.uint8)
    where = cv2.resize(shown, size, interpolation=cv2.INTER_NEAREST) > 0
    pair = np.stack([wanted[where].ravel(), painted[where].ravel()])
    return float(np.corrcoef(pair)[0, 1]) if (pair.std(axis=1) > 0).all() else 0.0


def measure(bench: Bench, count: int, kinds: tuple[str, ...] = KINDS) -> dict[str, Any]:
    """Mean agreement for each kind of map, with its control and without any."""
    values: dict[str, Any] = {kind: {"with": [], "without": []} for kind in kinds}
    for k in range(count):
        photo = sitter(k).image
        for kind, found in values.items():
            words = {"prompt": SILENT} if kind in SILENTLY else {}
            free, guided = (
                bench.paint(photo, recipe(k, controlnet=control, **words))
                for control in (None, kind)
            )
            for name, painting in (("with", guided), ("without", free)):
                found[name].append(
                    0 if painting is None else agreement(bench, kind, photo, painting)
                )
    return {
        kind: {name: float(np.mean(each)) for name, each in found.items()}
        for kind, found in values.items()
    }


def rows(values: dict[str, Any]) -> list[Row]:
    """The rows of the table."""
    return [
        Row(
            part="8 Maps",
            what=f"agreement of the painting with the map, with “{kind}” and off",
            goal=f"at least {MORE[kind]:g} more",
            value=f"{values[kind]['with']:.2f}, {values[kind]['without']:.2f}",
            passed=values[kind]["with"] >= values[kind]["without"] + MORE[kind],
        )
        for kind in KINDS
    ]
