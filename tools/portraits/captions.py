"""Captions of portraits, like prompts of users: varied phrasing, omitted parts, filler words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tools.portraits.spec import PortraitSpec

SCENE_PHRASES: dict[str, tuple[str, ...]] = {
    "space": ("space", "in space", "outer space", "among stars and planets", "in the galaxy"),
    "garden": ("garden", "in a garden", "flower garden", "in a garden full of flowers"),
    "beach": ("beach", "at the beach", "on a sunny beach", "by the sea", "tropical beach"),
    "forest": ("forest", "in a forest", "in the woods", "deep forest"),
    "city": ("city", "in a city", "city at night", "in front of skyscrapers", "city street"),
    "mountains": ("mountains", "in the mountains", "mountain landscape", "alps"),
    "snow": ("snow", "in the snow", "snowy winter landscape", "winter"),
    "library": ("library", "in a library", "in front of a bookshelf", "in a room full of books"),
}
CLOTHES_WORDS: dict[str, tuple[str, ...]] = {
    "t-shirt": ("t-shirt", "tshirt", "shirt"),
    "suit": ("suit", "business suit", "suit and tie", "jacket"),
    "dress": ("dress", "summer dress", "evening dress"),
    "hoodie": ("hoodie", "hooded sweatshirt"),
    "spacesuit": ("spacesuit", "space suit", "astronaut suit"),
    "sweater": ("sweater", "pullover", "knitted sweater", "turtleneck"),
}
COLOUR_WORDS = {"teal": ("teal", "turquoise", "cyan"), "purple": ("purple", "violet")}
FILLER = (
    "realistic digital painting", "highly detailed", "on a spring day", "flat illustration",
    "masterpiece", "best quality", "4k", "sharp focus", "cartoon", "photo", "professional",
    "beautiful", "smiling", "looking at the camera", "soft light", "studio light", "art",
    "vector art", "trending", "cinematic", "sunny", "elegant", "happy", "portrait photography",
)  # fmt: skip
_JUNK_LETTERS = "aaabcdeeefghiijklmnoooprrssttuuvwyz"


@dataclass(frozen=True, kw_only=True)
class Caption:
    """A caption and the attributes that it states; "" for those that it omits."""

    text: str
    scene: str = ""
    clothes: str = ""
    clothes_colour: str = ""
    hair: str = ""
    hat: str = ""
    glasses: str = ""
    person: str = ""


def _junk(rng: np.random.Generator) -> str:
    return "".join(rng.choice(list(_JUNK_LETTERS), size=rng.integers(3, 9)))


def _colour(rng: np.random.Generator, name: str) -> str:
    return str(rng.choice(COLOUR_WORDS.get(name, (name,))))


def _subject(spec: PortraitSpec, rng: np.random.Generator, said: dict[str, str]) -> str:
    if rng.random() < 0.8:
        said["person"] = spec.person
        noun = str(
            rng.choice([spec.person, "girl" if spec.person == "woman" else "boy"], p=[0.85, 0.15])
        )
    else:
        noun = str(rng.choice(["person", "character", "someone"]))
    if spec.clothes == "spacesuit" and rng.random() < 0.4:
        said["clothes"] = "spacesuit"
        noun = "astronaut" if rng.random() < 0.7 else f"{noun} astronaut"
    lead = str(rng.choice(["a portrait of a", "portrait of a", "a", "", "picture of a"]))
    return f"{lead} {noun}".strip()


def _looks(spec: PortraitSpec, rng: np.random.Generator, said: dict[str, str]) -> str:
    looks = []
    if rng.random() < 0.5:
        said["hair"] = "bald" if spec.hair == "bald" else spec.hair_colour
        looks.append("bald head" if spec.hair == "bald" else f"{spec.hair_colour} hair")
    if rng.random() < 0.6 and spec.glasses != "none":
        said["glasses"] = spec.glasses
        looks.append("sunglasses" if spec.glasses == "sunglasses" else "glasses")
    if rng.random() < 0.6 and spec.hat != "none":
        said["hat"] = spec.hat
        looks.append(f"a {_colour(rng, spec.hat_colour)} {rng.choice([spec.hat, 'hat'])}")
    return f" with {' and '.join(looks)}" if looks else ""


def _clothes(spec: PortraitSpec, rng: np.random.Generator, said: dict[str, str]) -> str:
    named = "clothes" in said
    if rng.random() < (0.3 if named else 0.08):
        return ""
    words = []
    if rng.random() < 0.92:
        said["clothes_colour"] = spec.clothes_colour
        words.append(_colour(rng, spec.clothes_colour))
    if named or rng.random() < 0.93:
        said["clothes"] = spec.clothes
        words.append(str(rng.choice(CLOTHES_WORDS[spec.clothes])))
    elif words:
        words.append(str(rng.choice(["clothes", "outfit"])))
    if not words:
        return ""
    joined = " ".join(words)
    return str(
        rng.choice([f"wearing a {joined}", f"in a {joined}", f"{joined}", f"dressed in {joined}"])
    )


def caption_of(spec: PortraitSpec, seed: int | None = None) -> Caption:
    """A random caption of `spec`; `seed` defaults to the spec's own."""
    rng = np.random.default_rng(spec.caption_seed if seed is None else seed)
    said: dict[str, str] = {}
    head = _subject(spec, rng, said) + _looks(spec, rng, said)
    clothes = _clothes(spec, rng, said)
    if clothes and clothes.startswith(("wearing", "in a", "dressed")) and rng.random() < 0.8:
        head, clothes = f"{head} {clothes}", ""
    parts = [head] + ([clothes] if clothes else [])
    implied = spec.scene == "space" and "astronaut" in head and rng.random() < 0.4
    if implied or rng.random() < 0.93:
        said["scene"] = spec.scene
    if "scene" in said and not implied:
        parts.append(str(rng.choice(SCENE_PHRASES[spec.scene])))
    if rng.random() < 0.5:
        parts += list(rng.choice(FILLER, size=rng.integers(1, 4), replace=False))
    if rng.random() < 0.25:
        parts += [" ".join(_junk(rng) for _ in range(rng.integers(1, 4)))]
    if rng.random() < 0.35:
        parts = [parts[k] for k in rng.permutation(len(parts))]
    return Caption(text=", ".join(parts), **said)
