"""What a drawn portrait shows: its vocabulary, its frozen spec, and how a seed becomes one."""

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
HAIR_STYLES = ("short", "quiff", "long", "bob", "curly", "bun", "ponytail", "bald")
HATS = ("none", "beanie", "cap", "sun hat", "top hat")
GLASSES = ("none", "round", "square", "sunglasses")
PEOPLE = ("woman", "man")
HELD_OUT_SEED = 1_000_000
"""Seeds from here on are never trained on."""


@dataclass(frozen=True, kw_only=True)
class PortraitSpec:
    """Everything that decides a drawing, apart from its size in pixels.

    Places are fractions of the picture's width and height, lengths of its short side; angles
    are degrees, positive towards the right of the picture. `arms` holds (upper, fore) angles
    from hanging straight down, outwards positive, for the picture's left and right arm.
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


def sample_spec(seed: int) -> PortraitSpec:
    """The portrait of a seed; the same seed gives the same portrait at every size."""
    rng = np.random.default_rng(seed)
    person = _pick(rng, PEOPLE)
    woman = person == "woman"
    weights = np.array(
        [1, 0.6, 3, 2, 1.5, 2, 2, 0.2] if woman else [3, 3, 0.7, 0.4, 2, 0.6, 0.3, 1]
    )
    return PortraitSpec(
        scene=_pick(rng, SCENES),
        scene_seed=int(rng.integers(2**31)),
        person=person,
        skin=int(rng.integers(len(SKIN_TONES))),
        hair=str(rng.choice(HAIR_STYLES, p=weights / weights.sum())),
        hair_colour=_pick(rng, tuple(HAIR_COLOURS)),
        hat=_pick(rng, HATS[1:]) if rng.random() < 0.3 else "none",
        hat_colour=_pick(rng, tuple(COLOURS)),
        glasses=_pick(rng, GLASSES[1:]) if rng.random() < 0.35 else "none",
        clothes=_pick(rng, CLOTHES),
        clothes_colour=_pick(rng, tuple(COLOURS)),
        head_x=rng.uniform(0.4, 0.6),
        head_y=rng.uniform(0.32, 0.42),
        head_size=rng.uniform(0.3, 0.42),
        tilt=float(np.clip(rng.normal(0, 6), -14, 14)),
        turn=float(np.clip(rng.normal(0, 0.35), -0.8, 0.8)),
        shoulder_slope=rng.uniform(-5, 5),
        build=rng.uniform(0.92, 1.12) * (0.94 if woman else 1.06),
        arms=(_arm(rng), _arm(rng)),
        smile=rng.uniform(0.1, 1.0),
        beard=not woman and rng.random() < 0.3,
        caption_seed=int(rng.integers(2**31)),
    )


def redress(
    spec: PortraitSpec, seed: int, scene: bool = True, clothes: bool = True
) -> PortraitSpec:
    """The same person in the same pose, elsewhere and/or in other clothes."""
    other = sample_spec(seed)
    if scene:
        spec = replace(spec, scene=other.scene, scene_seed=other.scene_seed)
    if clothes:
        spec = replace(spec, clothes=other.clothes, clothes_colour=other.clothes_colour)
    return spec
