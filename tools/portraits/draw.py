"""Draws a portrait from its spec, with masks, classes and key points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tools.portraits.bodies import draw_body
from tools.portraits.canvas import Canvas
from tools.portraits.captions import Caption, caption_of
from tools.portraits.figure import COMPANION, HAT, WORDS, figure_of, keypoints_of
from tools.portraits.heads import draw_back_hair, draw_head
from tools.portraits.scenes import draw_scene
from tools.portraits.spec import PortraitSpec, people_of, sample_spec
from tools.portraits.styles import brush_of


@dataclass(frozen=True, kw_only=True)
class Portrait:
    """A drawing with its ground truth.

    `image` is (height, width, 3) uint8 RGB; `masks` maps each word of `WORDS` to a bool
    (height, width) and `hats` holds one such mask per person, the main one first; `things` is
    (height, width) uint8, the class of what a pixel shows; `keypoints` is COCO-17 of the main
    person, (17, 3): x, y in pixels, visibility 0 or 1.
    """

    spec: PortraitSpec
    image: NDArray[np.uint8]
    masks: dict[str, NDArray[np.bool_]]
    hats: tuple[NDArray[np.bool_], ...]
    things: NDArray[np.uint8]
    keypoints: NDArray[np.float32]
    caption: Caption


def draw(spec: PortraitSpec, size: tuple[int, int], with_masks: bool = True) -> Portrait:
    """Draw `spec` at `size` = (width, height); takes half the time without masks."""
    canvas = Canvas(size, brush_of(spec.style))
    draw_scene(canvas, spec.scene, spec.scene_seed)
    people = people_of(spec)
    offsets = [COMPANION * k for k in range(len(people))]
    draw_people(canvas, people)
    masks = {}
    if with_masks:
        for word, parts in WORDS.items():
            masks[word] = canvas.mask([part + k for part in parts for k in (0, COMPANION)])
    return Portrait(
        spec=spec,
        image=_lit(canvas.image(), spec.light),
        masks=masks,
        hats=tuple(canvas.mask([HAT + offset]) for offset in offsets) if with_masks else (),
        things=canvas.things(),
        keypoints=keypoints_of(spec, size),
        caption=caption_of(spec),
    )


def draw_people(canvas: Canvas, people: Sequence[PortraitSpec]) -> None:
    """Draw people on a canvas, the first one in front; the k-th has parts from k·`COMPANION` on."""
    size = canvas.width, canvas.height
    for k, person in reversed(list(enumerate(people))):
        canvas.person = COMPANION * k
        figure = figure_of(person, size)
        draw_back_hair(canvas, person, figure.head)
        draw_body(canvas, person, figure)
        draw_head(canvas, person, figure.head)


def draw_seed(seed: int, size: tuple[int, int], with_masks: bool = True) -> Portrait:
    """Draw the portrait of a seed."""
    return draw(sample_spec(seed), size, with_masks)


def _lit(image: NDArray[np.uint8], light: tuple[float, float]) -> NDArray[np.uint8]:
    """A faint tint and a fall of light from one side; the named colours stay what they are."""
    tint, side = light
    if light == (0, 0):
        return image
    gains = 1 + 0.05 * tint * np.array([1, 0, -1], np.float32)
    fall = 1 + 0.09 * side * np.linspace(-1, 1, image.shape[1], dtype=np.float32)
    lit = image * gains * fall[None, :, None]
    return np.asarray(lit.clip(0, 255).round(), dtype=np.uint8)
