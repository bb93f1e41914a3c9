"""Lessons for the human parser: drawings' part maps, bent, relit and coloured at random.

As in SynthSeg (Billot et al. 2023), pictures are made from part maps, so that only shapes are drawn
and the appearance is new each time. No photograph is used.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.people.part_features import part_features
from inference.people.parts import Part
from tools.portraits import HELD_OUT_SEED, Portrait, PortraitSpec, draw, sample_spec
from tools.portraits.figure import figure_of
from tools.portraits.spec import GLASSES, HATS, people_of
from tools.training.appearance import Appearance, camera, render
from tools.training.part_changes import changed_parts
from tools.training.textures import TextureBank, noise

Floats = NDArray[np.float32]
Labels = NDArray[np.uint8]

SIDE = 192
DRAWN = (320, 384)
# The face's outline in the head's frame: the mesh that finds it ends in the middle of the forehead.
_OVAL_CENTRE, _OVAL_AXES = (0.0, 0.21), (0.84, 0.83)
# Ranges of the face's width in pixels of a lesson with their shares: as in the parser's square
# round a body, as in that round a head, and anything.
_FACE_WIDTHS = ((20.0, 34.0, 0.3), (34.0, 72.0, 0.55), (20.0, 120.0, 0.15))
NO_FACE = 0.1
BEHIND = 0.06
STRANGER = 0.18
CUT_OFF = 0.35


@dataclass(frozen=True, kw_only=True)
class Sketch:
    """A drawing with the part of each pixel and where its main face is.

    `labels` is (h, w) of `Part`; `eyes` (2, 2) and `sides` (2, 2), the picture's left one first,
    and `oval` (n, 2) are in pixels.
    """

    image: NDArray[np.uint8] = field(repr=False)
    labels: Labels = field(repr=False)
    eyes: Floats
    sides: Floats
    oval: Floats = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """One input of the parser and its goal: (channels, SIDE, SIDE) and (SIDE, SIDE) of `Part`."""

    picture: NDArray[np.uint8] = field(repr=False)
    features: Floats = field(repr=False)
    labels: Labels = field(repr=False)


def labels_of(portrait: Portrait) -> Labels:
    """The `Part` of each pixel of a drawing."""
    masks = portrait.masks
    labels = np.zeros(portrait.image.shape[:2], np.uint8)
    for word, part in (
        ("clothes", Part.CLOTHES),
        ("skin", Part.SKIN),
        ("hair", Part.HAIR),
        ("face", Part.FACE),
        ("glasses", Part.GLASSES),
        ("hat", Part.HAT),
    ):
        labels[masks[word]] = part
    labels[masks["head"] & masks["skin"] & ~masks["face"]] = Part.EAR
    return labels


def sketch(seed: int) -> Sketch:
    """Draw the portrait of a seed, larger or smaller than usual, in flat colours."""
    rng = np.random.default_rng((seed, 3))
    spec = _varied(sample_spec(seed), rng)
    portrait = draw(spec, DRAWN)
    main = people_of(spec)[0]
    head = figure_of(main, DRAWN).head
    angle = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    outline = np.stack([np.cos(angle), np.sin(angle)], 1) * _OVAL_AXES + np.array(_OVAL_CENTRE)
    shift = np.array([0.08 * main.turn, 0])
    return Sketch(
        image=portrait.image,
        labels=labels_of(portrait),
        eyes=portrait.keypoints[[2, 1], :2],
        sides=head.place(np.array([(-0.84, 0.04), (0.84, 0.04)]) + shift).astype(np.float32),
        oval=head.place(outline + shift).astype(np.float32),
    )


def _varied(spec: PortraitSpec, rng: np.random.Generator) -> PortraitSpec:
    if rng.random() < 0.75:
        spec = replace(spec, companion=None)
    return replace(
        spec,
        style="flat",
        light=(0.0, 0.0),
        head_size=rng.uniform(0.2, 0.46),
        head_y=rng.uniform(0.28, 0.42),
        hat=str(rng.choice(HATS[1:])) if rng.random() < 0.3 else "none",
        glasses=str(rng.choice(GLASSES[1:])) if rng.random() < 0.3 else "none",
    )


class Sketches:
    """Sketches of the training's or of held-out seeds, drawn once."""

    def __init__(self, count: int, held_out: bool = False) -> None:
        """Draw `count` sketches; takes about 12 ms each."""
        first = HELD_OUT_SEED if held_out else 0
        self._all = [sketch(first + k) for k in range(count)]

    def any(self, rng: np.random.Generator) -> Sketch:
        """One of them."""
        return self._all[int(rng.integers(len(self._all)))]


def sample_lesson(sketches: Sketches, bank: TextureBank, rng: np.random.Generator) -> Lesson:
    """A random lesson."""
    one = sketches.any(rng)
    matrix, scale = _camera_position(one, rng)
    bent, image = _bent(one, matrix, rng)
    labels = bent.copy()
    eyes: Floats | None = one.eyes @ matrix[:, :2].T + matrix[:, 2]
    middle = np.asarray(eyes).mean(axis=0)
    face: tuple[Floats, Floats] | None = _moved_face(one, matrix, rng)
    if rng.random() < BEHIND:  # seen from behind
        labels[np.isin(labels, (Part.FACE, Part.EAR, Part.GLASSES))] = Part.HAIR
        face = eyes = None
    labels = changed_parts(labels, scale, eyes, rng)
    appearance = Appearance.sample(rng, bank, backdrop=_bent(sketches.any(rng), matrix, rng)[1])
    drawn = np.where((labels == bent)[..., None], image.astype(np.float32), np.float32(np.nan))
    colours = render(labels, drawn, appearance, scale, eyes)
    person = (labels != Part.BACKGROUND).astype(np.float32)
    if rng.random() < STRANGER:
        colours, person = _with_stranger(colours, person, (sketches.any(rng), bank), scale, rng)
    picture = camera(colours, rng)
    if rng.random() < NO_FACE:
        face = None
    person = _believed(person, labels, rng)
    if rng.random() < CUT_OFF:
        picture, person, labels = _cut_off((picture, person, labels), middle, scale, rng)
    frame, oval = face if face is not None else (None, None)
    return Lesson(
        picture=picture,
        features=part_features(picture, person, frame, oval),
        labels=labels,
    )


def _with_stranger(
    colours: Floats,
    person: Floats,
    other: tuple[Sketch, TextureBank],
    scale: float,
    rng: np.random.Generator,
) -> tuple[Floats, Floats]:
    """Picture and person with another person behind, out of focus; they are background."""
    sketch, bank = other
    matrix, size = _camera_position(sketch, rng)
    shrink = np.float32(scale * rng.uniform(0.4, 1.3) / size)
    middle = (sketch.eyes @ matrix[:, :2].T + matrix[:, 2]).mean(axis=0)
    matrix[:, :2] *= shrink
    matrix[:, 2] = middle - matrix[:, :2] @ sketch.eyes.mean(axis=0)
    labels, image = _bent(sketch, matrix, rng)
    look = Appearance.sample(rng, bank, backdrop=image)
    theirs = render(labels, image.astype(np.float32), look, float(size * shrink), None)
    blur = 1.5 + scale * rng.uniform(0.04, 0.16)
    theirs = np.asarray(cv2.GaussianBlur(theirs, (0, 0), blur), np.float32)
    shape = (labels != Part.BACKGROUND).astype(np.float32)
    shape = np.asarray(cv2.GaussianBlur(shape, (0, 0), blur), np.float32)
    alpha = (shape * (1 - person))[..., None]
    seen = rng.uniform(0, 1.2) * shape
    return (
        np.asarray(colours + (theirs - colours) * alpha, np.float32),
        np.asarray(np.maximum(person, np.minimum(seen, 1)), np.float32),
    )


def _cut_off(
    maps: tuple[NDArray[np.uint8], Floats, Labels],
    middle: NDArray[np.floating],
    scale: float,
    rng: np.random.Generator,
) -> tuple[NDArray[np.uint8], Floats, Labels]:
    """Picture, person and labels as if the photograph ended near the face; edges are repeated."""
    reach = scale * np.exp(rng.uniform(np.log(0.4), np.log(6.0), 4))
    left, top = (int(np.clip(v, 0, SIDE - 16)) for v in middle - reach[:2])
    right, bottom = (
        int(np.clip(v, low + 16, SIDE))
        for v, low in zip(middle + reach[2:], (left, top), strict=True)
    )
    x, y = (np.clip(np.arange(SIDE), *ends) for ends in ((left, right - 1), (top, bottom - 1)))
    picture, person, labels = (one[np.ix_(y, x)] for one in maps)
    return picture, person, labels


def _camera_position(one: Sketch, rng: np.random.Generator) -> tuple[Floats, float]:
    """An affine map (2, 3) from drawing to lesson, and the face's width in the lesson."""
    kind = int(rng.choice(len(_FACE_WIDTHS), p=[share for _, _, share in _FACE_WIDTHS]))
    low, high, _ = _FACE_WIDTHS[kind]
    wanted = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    drawn = float(np.linalg.norm(one.sides[1] - one.sides[0]))
    stretch = rng.uniform(0.95, 1.6)
    angle = np.deg2rad(rng.normal(0, 12) if rng.random() < 0.9 else rng.uniform(-70, 70))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    flip = np.diag([rng.choice([-1.0, 1.0]), 1.0])
    linear = turn @ np.diag([1, stretch]) @ flip * (wanted / drawn)
    place = np.array([rng.uniform(0.15, 0.85), rng.uniform(0.12, 0.75)]) * SIDE
    if wanted > 0.3 * SIDE:
        place = np.array([rng.uniform(0.3, 0.7), rng.uniform(0.3, 0.65)]) * SIDE
    offset = place - linear @ one.eyes.mean(axis=0)
    return np.hstack([linear, offset[:, None]]).astype(np.float32), wanted


def _bent(
    one: Sketch, matrix: Floats, rng: np.random.Generator
) -> tuple[Labels, NDArray[np.uint8]]:
    """Part map and drawing through the affine map and a random smooth displacement."""
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2].astype(np.float32)
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    for cells, most in ((3, 7.0), (8, 2.5), (30, 0.9), (80, 0.9)):
        strength = rng.uniform(0, most)
        x = x + strength * noise(rng, (SIDE, SIDE), cells)
        y = y + strength * noise(rng, (SIDE, SIDE), cells)
    from_x = inverse[0, 0] * x + inverse[0, 1] * y + inverse[0, 2]
    from_y = inverse[1, 0] * x + inverse[1, 1] * y + inverse[1, 2]
    labels = cv2.remap(
        one.labels, from_x, from_y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE
    )
    image = cv2.remap(one.image, from_x, from_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    above = from_y < -2  # nothing goes on above a drawing
    labels[above] = Part.BACKGROUND
    return np.asarray(labels, np.uint8), np.asarray(image, np.uint8)


def _moved_face(one: Sketch, matrix: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Frame and outline of the face in the lesson, as inexact as a detector's."""

    def moved(points: Floats) -> Floats:
        return points @ matrix[:, :2].T + matrix[:, 2]

    eyes, sides, oval = moved(one.eyes), moved(one.sides), moved(one.oval)
    if eyes[0, 0] > eyes[1, 0]:
        eyes, sides = eyes[::-1], sides[::-1]
    width = float(np.linalg.norm(sides[1] - sides[0])) * rng.normal(1, 0.05)
    centre = eyes.mean(axis=0) + rng.normal(0, 0.03, 2) * width
    line = eyes[1] - eyes[0]
    angle = np.arctan2(line[1], line[0]) + rng.normal(0, 0.04)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) / width
    frame = np.hstack([turn, -(turn @ centre)[:, None]]).astype(np.float32)
    middle = oval.mean(axis=0)
    jittered = middle + (oval - middle) * rng.normal(1, 0.05, 2) + rng.normal(0, 0.02, 2) * width
    return frame, jittered.astype(np.float32)


def _believed(person: Floats, labels: Labels, rng: np.random.Generator) -> Floats:
    """The person as a segmenter would give it: soft, with bumps and blobs that are wrong."""
    soft = cv2.GaussianBlur(person, (0, 0), rng.uniform(0.6, 3.0))
    strength = rng.uniform(0, 0.25)
    wrong = noise(rng, (SIDE, SIDE), rng.uniform(4, 30)) * strength
    if rng.random() < 0.4:
        far = noise(rng, (SIDE, SIDE), rng.uniform(3, 8))
        wrong = wrong + 0.8 * (far > 1.6) - 0.8 * (far < -1.6)
    if rng.random() < 0.2:  # a part that the segmenter does not take for the person
        parts = (Part.HAIR, Part.HAT, Part.CLOTHES, Part.SKIN)
        missed = (labels == parts[rng.integers(len(parts))]).astype(np.float32)
        soft = soft - missed * rng.uniform(0.2, 1) * (noise(rng, (SIDE, SIDE), 4) > -0.5)
    sharp = rng.uniform(3, 14)
    believed = 1 / (1 + np.exp(-sharp * (soft + wrong - 0.5)))
    return np.asarray(believed, np.float32)
