"""Vocabulary of the segmenter's training: phrases with their masks, and absent phrases."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tools.portraits.draw import Portrait
from tools.portraits.spec import COLOURS, HATS, HELD_OUT_SEED, PortraitSpec, people_of, sample_spec

SYNONYMS: dict[str, tuple[str, ...]] = {
    "foreground": ("foreground", "subject"),
    "person": ("person", "human", "man", "woman", "people", "body"),
    "head": ("head",),
    "face": ("face",),
    "hair": ("hair", "hairstyle"),
    "clothes": ("clothes", "clothing", "outfit", "shirt"),
    "hat": ("hat", "cap", "headwear"),
    "glasses": ("glasses", "sunglasses", "spectacles"),
    "skin": ("skin", "bare skin"),
    "background": ("background", "backdrop", "scenery"),
}
ABSENT_WORDS = (
    "dog", "cat", "car", "shoes", "horse", "bicycle", "umbrella", "cup", "phone", "guitar",
    "sword", "bird", "fish", "bag", "chair", "boat", "ball", "watch", "necklace", "scarf",
    "gloves", "pizza", "elephant", "train", "laptop", "toy", "knife", "bottle", "flag", "robot",
)  # fmt: skip
_LETTERS = list("aaabcdeeefghiijklmnoooprrssttuuvwyz")


def phrase_for(word: str, rng: np.random.Generator) -> str:
    """A random phrase for `word`: mostly itself, sometimes a synonym or with an article."""
    choice = word if rng.random() < 0.7 else str(rng.choice(SYNONYMS[word]))
    return f"{rng.choice(['the', 'a'])} {choice}" if rng.random() < 0.15 else choice


def absent_phrase(rng: np.random.Generator) -> str:
    """A random phrase for something that no drawing shows, or an empty phrase."""
    if rng.random() < 0.7:
        return str(rng.choice(ABSENT_WORDS))
    return "".join(rng.choice(_LETTERS, size=rng.integers(3, 9)))


def with_two_hats(spec: PortraitSpec, rng: np.random.Generator) -> PortraitSpec:
    """Two people in hats of two colours."""
    colours = rng.choice(list(COLOURS), size=2, replace=False)
    other = spec.companion or sample_spec(int(rng.integers(HELD_OUT_SEED)))
    other = replace(other, companion=None, hat=str(rng.choice(HATS[1:])), hat_colour=colours[1])
    hat = str(rng.choice(HATS[1:]))
    return replace(spec, hat=hat, hat_colour=str(colours[0]), companion=other)


def coloured_hat(portrait: Portrait, rng: np.random.Generator) -> tuple[str, NDArray[np.bool_]]:
    """A phrase like "red hat" with the mask of the hats it means, sometimes of none."""
    worn = [p.hat_colour if p.hat != "none" else "" for p in people_of(portrait.spec)]
    there = [colour for colour in worn if colour]
    colour = str(rng.choice(there if rng.random() < 0.75 else list(COLOURS)))
    meant = [mask for mask, has in zip(portrait.hats, worn, strict=True) if has == colour]
    empty = np.zeros(portrait.image.shape[:2], dtype=bool)
    return f"{colour} hat", np.logical_or.reduce([empty, *meant])
