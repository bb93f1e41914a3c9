"""Specification of a drawn portrait: vocabulary, frozen spec, and sampling from a seed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tools.portraits.canvas import Colour

SCENES = ("space", "garden", "beach", "forest", "city", "mountains", "snow", "library")
CLOTHES = ("t-shirt", "suit", "dress", "hoodie", "spacesuit", "sweater")
COLOURS: dict[str, Colour] = {
    "red": (208, 38, 44),
    "orange": (242, 132, 30),
    "yellow": (248, 208, 48),
    "green": (52, 150, 68),
    "teal": (26, 172, 176),
    "blue": (44, 88, 200),
    "purple": (126, 62, 166),
    "pink": (244, 136, 180),
    "white": (240, 240, 238),
    "black": (40, 40, 46),
}
HAIR_COLOURS: dict[str, Colour] = {
    "black": (38, 32, 34),
    "brown": (98, 60, 36),
    "blonde": (230, 190, 98),
    "red": (182, 74, 32),
    "gray": (158, 160, 166),
    "pink": (232, 110, 160),
}
SKIN_TONES: tuple[Colour, ...] = (
    (252, 222, 198),
    (242, 196, 160),
    (222, 168, 126),
    (184, 126, 86),
    (140, 90, 60),
    (98, 62, 44),
)
_HAIR_NAMES = tuple(HAIR_COLOURS)
HAIR_STYLES = ("short", "quiff", "long", "bob", "curly", "bun", "ponytail", "bald")
HATS = ("none", "beanie", "cap", "sun hat", "top hat")
GLASSES = ("none", "round", "square", "sunglasses")
PEOPLE = ("woman", "man")
AGES = ("child", "adult", "old")
PATTERNS = ("plain", "stripes", "dots", "checks")
STYLES = ("flat", "ink", "soft")
HELD_OUT_SEED = 1_000_000
"""Seeds from here on are never trained on."""


@dataclass(frozen=True, kw_only=True)
class PortraitSpec:
    """All parameters of a drawing, except its size in pixels.

    Places are fractions of the picture's width and height, lengths of its short side; angles
    are degrees, positive towards the right of the picture. `arms` holds (upper, fore) angles
    from hanging straight down, outwards positive, for the picture's left and right arm. `neck`
    is the way from the middle of the face down to the shoulders and `lean` how far they stand
    to the right of it, in half head heights. `light` is a tint, -1 cool to 1 warm, and the
    side it comes from, -1 left to 1 right.
    """

    scene: str
    scene_seed: int
    person: str
    skin: int
    hair: str
    hair_colour: str
    hat: str
    hat_colour: str
    glasses: str
    clothes: str
    clothes_colour: str
    head_x: float
    head_y: float
    head_size: float
    tilt: float
    turn: float
    shoulder_slope: float
    build: float
    arms: tuple[tuple[float, float], tuple[float, float]]
    smile: float
    beard: bool
    caption_seed: int
    age: str
    pattern: str
    neck: float
    lean: float
    light: tuple[float, float]
    style: str = "flat"
    companion: PortraitSpec | None = None


def _pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]


def _arm(rng: np.random.Generator) -> tuple[float, float]:
    pose = rng.random()
    if pose < 0.55:  # hanging
        return rng.uniform(4, 20), rng.uniform(-12, 8)
    if pose < 0.75:  # hand on the hip or before the belly
        return rng.uniform(25, 45), rng.uniform(-75, -35)
    if pose < 0.9:  # waving
        return rng.uniform(35, 65), rng.uniform(140, 178)
    return rng.uniform(50, 80), rng.uniform(40, 90)  # stretched out


def _sample_one(rng: np.random.Generator) -> PortraitSpec:
    """One person somewhere, drawn flat."""
    person = _pick(rng, PEOPLE)
    woman = person == "woman"
    age = str(rng.choice(AGES, p=[0.15, 0.65, 0.2]))
    weights = np.array(
        [1, 0.6, 3, 2, 1.5, 2, 2, 0.2] if woman else [3, 3, 0.7, 0.4, 2, 0.6, 0.3, 1]
    )
    bald = HAIR_STYLES.index("bald")
    weights[bald] *= age != "child"
    build = rng.uniform(0.84, 1.2) * (0.95 if woman else 1.05)
    return PortraitSpec(
        scene=_pick(rng, SCENES),
        scene_seed=int(rng.integers(2**31)),
        person=person,
        skin=int(rng.integers(len(SKIN_TONES))),
        hair=str(rng.choice(HAIR_STYLES, p=weights / weights.sum())),
        hair_colour="gray" if age == "old" and rng.random() < 0.7 else _pick(rng, _HAIR_NAMES),
        hat=_pick(rng, HATS[1:]) if rng.random() < 0.3 else "none",
        hat_colour=_pick(rng, tuple(COLOURS)),
        glasses=_pick(rng, GLASSES[1:]) if rng.random() < 0.35 else "none",
        clothes=_pick(rng, CLOTHES),
        clothes_colour=_pick(rng, tuple(COLOURS)),
        head_x=rng.uniform(0.38, 0.62),
        head_y=rng.uniform(0.3, 0.4),
        head_size=rng.uniform(0.3, 0.42),
        tilt=float(np.clip(rng.normal(0, 6), -14, 14)),
        turn=float(np.clip(rng.normal(0, 0.35), -0.8, 0.8)),
        shoulder_slope=rng.uniform(-13, 13),
        build=build * (0.84 if age == "child" else 1),
        arms=(_arm(rng), _arm(rng)),
        smile=rng.uniform(0.1, 1.0),
        beard=not woman and age != "child" and rng.random() < 0.3,
        caption_seed=int(rng.integers(2**31)),
        age=age,
        pattern=_pick(rng, PATTERNS[1:]) if rng.random() < 0.18 else "plain",
        neck=rng.uniform(1.2, 1.62),
        lean=rng.uniform(-0.6, 0.6),
        light=(rng.uniform(-1, 1), rng.uniform(-1, 1)) if rng.random() < 0.5 else (0.0, 0.0),
    )


def sample_spec(seed: int) -> PortraitSpec:
    """Sample the portrait of a seed, independent of size: any style, one in eight of two people."""
    rng = np.random.default_rng(seed)
    spec = replace(_sample_one(rng), style=_pick(rng, STYLES))
    if rng.random() < 0.125:
        spec = replace(spec, companion=_sample_one(rng))
    return spec


def solo(spec: PortraitSpec, style: str = "flat") -> PortraitSpec:
    """The main person of `spec` alone, drawn in `style`."""
    return replace(spec, style=style, companion=None)


def people_of(spec: PortraitSpec) -> tuple[PortraitSpec, ...]:
    """The people in the picture with their positions, the main person first."""
    if spec.companion is None:
        return (spec,)
    side = 1 if spec.head_x < 0.5 else -1  # the side with more room
    return (
        replace(spec, head_x=spec.head_x - 0.17 * side, head_size=0.8 * spec.head_size),
        replace(
            spec.companion,
            head_x=0.5 + side * (0.27 + 0.5 * abs(spec.companion.head_x - 0.5)),
            head_y=spec.companion.head_y + 0.05,
            head_size=0.72 * spec.companion.head_size,
        ),
    )


def redress(
    spec: PortraitSpec, seed: int, scene: bool = True, clothes: bool = True
) -> PortraitSpec:
    """The same person in the same pose, in another scene and/or in other clothes."""
    other = sample_spec(seed)
    if scene:
        spec = replace(spec, scene=other.scene, scene_seed=other.scene_seed)
    if clothes:
        spec = replace(spec, clothes=other.clothes, clothes_colour=other.clothes_colour)
    return spec
