"""Finds heatmaps of phrases: by CLIPSeg and, for people in photographs, by the photo reader."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from inference.mask.heatmap import Floats, Heatmap
from inference.mask.selection import DRAWING, PHOTOGRAPH
from inference.people.part_words import WITHOUT_PEOPLE, probability, word_of
from inference.picture.photo import Photo
from inference.runtime.cache import Cache

if TYPE_CHECKING:
    from inference.mask.segmenter import Activations, Segmenter
    from inference.people.photo_reader import People, PhotoReader

# Probabilities are clipped to this distance from 0 and 1 before they become logits.
EPSILON = 1e-4


def _no_reader(_family: str) -> PhotoReader | None:
    return None


@dataclass(kw_only=True)
class HeatmapFinder:
    """Heatmaps of phrases in photos, with caches. Thread-safe: one segmentation at a time.

    Args:
        segmenter: returns the segmenter of a model family, loaded on the first call.
        reader: returns the photo reader of a model family, None where it has none.
    """

    segmenter: Callable[[str], Segmenter]
    reader: Callable[[str], PhotoReader | None] = _no_reader
    _seen: Cache[Activations] = field(default_factory=lambda: Cache(4))
    _heat: Cache[Heatmap] = field(default_factory=lambda: Cache(128))
    _people: Cache[People] = field(default_factory=lambda: Cache(4))
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def heatmaps(self, photo: Photo, phrases: Sequence[str], family: str) -> tuple[Heatmap, ...]:
        """One heatmap per phrase; cached by photo and phrase."""
        keys = {phrase: repr((family, photo.digest, phrase)) for phrase in phrases}
        with self._lock:
            # All are read before any is stored, which may drop others from the cache.
            heats = {phrase: self._heat.find(key) for phrase, key in keys.items()}
            if missing := [phrase for phrase, heat in heats.items() if heat is None]:
                for heat in self._find(photo, missing, family):
                    heats[heat.phrase] = self._heat.keep(keys[heat.phrase], heat)
            return tuple(heat for heat in heats.values() if heat is not None)

    def _find(self, photo: Photo, phrases: Sequence[str], family: str) -> Iterator[Heatmap]:
        """Heatmaps by the photo reader where it knows the phrase, by the segmenter otherwise."""
        left = list(phrases)
        if (people := self.people(photo, family)) is not None:
            for phrase in phrases:
                word = word_of(phrase)
                if word is not None and self._is_read(word, people, family):
                    left.remove(phrase)
                    yield Heatmap(phrase=phrase, logits=_logits(probability(people, word)))
        if left:
            yield from self.segmenter(family).segment(self._look(photo, family), left)

    def _is_read(self, word: str, people: People, family: str) -> bool:
        """Whether the photo reader answers a word; where it sees nobody, others may see more."""
        reader = self.reader(family)
        if reader is None or word not in reader.words:
            return False
        return people.anybody or not (word in WITHOUT_PEOPLE or self.segmenter(family).is_general)

    def is_general(self, family: str) -> bool:
        """Whether the family's segmenter was trained on pictures of all kinds."""
        return self.segmenter(family).is_general

    def is_photograph(self, photo: Photo, family: str) -> bool:
        """Whether a picture is unlike the drawings that the family's segmenter was trained on.

        True for a segmenter that was not trained on drawings.
        """
        with self._lock:
            segmenter = self.segmenter(family)
            return segmenter.is_general or not segmenter.knows(self._look(photo, family))

    def people(self, photo: Photo, family: str) -> People | None:
        """The people in a photograph; None for drawings and for families without a reader."""
        with self._lock:
            if not self.is_photograph(photo, family):
                return None
            reader = self.reader(family)
            if reader is None:
                return None
            return self._people.get(photo.digest, lambda: reader.read(photo.pixels))

    def reader_of(self, photo: Photo, family: str) -> str:
        """Which reader looked at a photo: `PHOTOGRAPH`, `DRAWING`, or "" for a general segmenter.

        `PHOTOGRAPH`: the photo reader, which found people. `DRAWING`: the segmenter that knows
        drawings.
        """
        people = self.people(photo, family)
        if people is not None and people.anybody:
            return PHOTOGRAPH
        return "" if self.is_photograph(photo, family) else DRAWING

    def _look(self, photo: Photo, family: str) -> Activations:
        """The segmenter's activations for a photo."""
        segmenter = self.segmenter(family)
        key = f"{family} {photo.digest}"
        return self._seen.get(key, lambda: segmenter.encode_image(photo.pixels))


def _logits(probability: Floats) -> Floats:
    sure = np.clip(probability, EPSILON, 1 - EPSILON)
    return np.asarray(np.log(sure / (1 - sure)), np.float32)
