"""From a spec to a finished portrait."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tools.portraits.bodies import draw_body
from tools.portraits.canvas import Canvas
from tools.portraits.captions import Caption, caption_of
from tools.portraits.figure import WORDS, figure_of, keypoints_of
from tools.portraits.heads import draw_back_hair, draw_head
from tools.portraits.scenes import draw_scene
from tools.portraits.spec import PortraitSpec, sample_spec


@dataclass(frozen=True, kw_only=True)
class Portrait:
    """A drawing with everything known about it.

    `image` is (height, width, 3) uint8 RGB; `masks` maps each word of `WORDS` to a bool
    (height, width); `keypoints` is COCO-17, (17, 3): x, y in pixels, visibility 0 or 1.
    """

    spec: PortraitSpec
    image: NDArray[np.uint8]
    masks: dict[str, NDArray[np.bool_]]
    keypoints: NDArray[np.float32]
    caption: Caption


def draw(spec: PortraitSpec, size: tuple[int, int], with_masks: bool = True) -> Portrait:
    """Draw `spec` at `size` = (width, height); without masks it takes half the time."""
    canvas = Canvas(size)
    figure = figure_of(spec, size)
    draw_scene(canvas, spec.scene, spec.scene_seed)
    draw_back_hair(canvas, spec, figure.head)
    draw_body(canvas, spec, figure)
    draw_head(canvas, spec, figure.head)
    masks = {word: canvas.mask(parts) for word, parts in WORDS.items()} if with_masks else {}
    return Portrait(
        spec=spec,
        image=canvas.image(),
        masks=masks,
        keypoints=keypoints_of(spec, size),
        caption=caption_of(spec),
    )


def draw_seed(seed: int, size: tuple[int, int], with_masks: bool = True) -> Portrait:
    """Draw the portrait of a seed."""
    return draw(sample_spec(seed), size, with_masks)
