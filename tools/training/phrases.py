"""The words the segmenter learns: what each means on a drawing, and words for nothing there."""

from __future__ import annotations

import numpy as np

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
    """A way to say `word`: mostly itself, sometimes a synonym or an article before it."""
    choice = word if rng.random() < 0.7 else str(rng.choice(SYNONYMS[word]))
    return f"{rng.choice(['the', 'a'])} {choice}" if rng.random() < 0.15 else choice


def absent_phrase(rng: np.random.Generator) -> str:
    """A word for something that no drawing shows, or no word at all."""
    if rng.random() < 0.7:
        return str(rng.choice(ABSENT_WORDS))
    return "".join(rng.choice(_LETTERS, size=rng.integers(3, 9)))
