"""Finds heatmaps of phrases: by CLIPSeg and, for people in photographs, by the photo reader."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np

from inference.mask.heatmap import Floats, Heatmap
from inference.mask.selection import DRAWING, PHOTOGRAPH
from inference.people.part_words import (
    WITHOUT_PEOPLE,
    means_people,
    one_person,
    probability,
    word_of,
)
from inference.people.person_regions import (
    PERSON_SCORE,
    PersonRegions,
    divide,
    head_markers,
    people_markers,
)
from inference.picture.geometry import Size, fit_within
from inference.picture.photo import Photo
from inference.runtime.cache import Cache

if TYPE_CHECKING:
    from inference.mask.segmenter import Activations, Segmenter
    from inference.people.photo_reader import People, PhotoReader

# Probabilities are clipped to this distance from 0 and 1 before they become logits.
EPSILON = 1e-4
# Photos that are looked at in one go at most.
MOST_AT_ONCE = 4
# The logit of other people's pixels in the heatmap of one person.
NOBODY = math.log(EPSILON / (1 - EPSILON))
# Longer side of the map that says whose each pixel is.
REGION_GRID = 384
# Words by which people are told apart where no photo reader finds them; the last one is for things.
APART = ("person", "head", "face", "foreground")


def _no_reader(_family: str) -> PhotoReader | None:
    return None


@dataclass(frozen=True, kw_only=True)
class FirstLook:
    """What a finder saw in a photo, ready to be sent to that of another process.

    Attributes:
        family: key of the model family whose models looked.
        digest: of the photo.
        is_photograph: whether it is unlike drawings.
        heatmaps: of the phrases that were asked for.
        people: the people in a photograph; None for drawings, and without a reader.
    """

    family: str
    digest: str
    is_photograph: bool
    heatmaps: tuple[Heatmap, ...] = field(repr=False)
    people: People | None = field(repr=False)


@dataclass(kw_only=True)
class HeatmapFinder:
    """Heatmaps of phrases in photos, with caches. Thread-safe: one segmentation at a time.

    Args:
        segmenter: returns the segmenter of a model family, loaded on the first call.
        reader: returns the photo reader of a model family, None where it has none.
    """

    segmenter: Callable[[str], Segmenter]
    reader: Callable[[str], PhotoReader | None] = _no_reader
    _seen: Cache[Activations] = field(default_factory=lambda: Cache(MOST_AT_ONCE))
    _kinds: Cache[bool] = field(default_factory=lambda: Cache(16))
    _heat: Cache[Heatmap] = field(default_factory=lambda: Cache(128))
    _people: Cache[People] = field(default_factory=lambda: Cache(4))
    _regions: Cache[PersonRegions] = field(default_factory=lambda: Cache(4))
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
        """Heatmaps by the photo reader where it knows the phrase, by the segmenter otherwise.

        A phrase for one person is its noun's heatmap within that person's region.
        """
        left = [phrase for phrase in phrases if one_person(phrase) is None]
        ones = [phrase for phrase in phrases if phrase not in left]
        people = self.people(photo, family)
        for phrase in tuple(left):
            word = word_of(phrase)
            if people is not None and word is not None and self._is_read(word, people, family):
                left.remove(phrase)
                yield Heatmap(phrase=phrase, logits=_logits(probability(people, word)))
        if left:
            yield from self.segmenter(family).segment(self._look(photo, family), left)
        for phrase in ones:  # last, because the others may be what these are parts of
            yield self._of_one_person(photo, phrase, family)

    def _of_one_person(self, photo: Photo, phrase: str, family: str) -> Heatmap:
        one = one_person(phrase)
        assert one is not None
        regions = self.regions(photo, family)
        logits = self.heatmaps(photo, (one.noun,), family)[0].logits
        size = _larger(logits.shape[::-1], regions.owner.shape[::-1])
        fine = cv2.resize(logits, size, interpolation=cv2.INTER_LINEAR)
        inside = regions.within(regions.index(one.which), size)
        alone = np.where(inside, fine, np.minimum(fine, np.float32(NOBODY)))
        return Heatmap(phrase=phrase, logits=np.asarray(alone, np.float32))

    def regions(self, photo: Photo, family: str) -> PersonRegions:
        """Which person each pixel of a photo belongs to."""
        with self._lock:
            return self._regions.get(
                f"{family} {photo.digest}", lambda: self._divide(photo, family)
            )

    def _divide(self, photo: Photo, family: str) -> PersonRegions:
        people = self.people(photo, family)
        if people is not None and people.anybody:
            size = people.person.shape[1], people.person.shape[0]
            picture = cv2.resize(photo.pixels, size, interpolation=cv2.INTER_AREA)
            return divide(people.person, people_markers(people), np.asarray(picture, np.uint8))
        size = fit_within(photo.size, REGION_GRID)
        picture = cv2.resize(photo.pixels, size, interpolation=cv2.INTER_AREA)
        found = self.heatmaps(photo, APART, family)
        person, head, face, foreground = (_scores(heat.logits, size) for heat in found)
        if person.max() < PERSON_SCORE:
            person = foreground
        return divide(person, head_markers(head, face), np.asarray(picture, np.uint8))

    def apart_by(self, photo: Photo, phrases: Sequence[str], family: str) -> tuple[str, ...]:
        """Words to look for at once with phrases that are about people; empty for other phrases."""
        nouns = (one.noun if (one := one_person(phrase)) else phrase for phrase in phrases)
        about = [noun for noun in nouns if means_people(noun)]
        if not about:
            return ()
        people = self.people(photo, family)
        is_read = people is not None and people.anybody
        return tuple(about) if is_read else (*about, *APART)

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
            return self._kinds.get(
                f"{family} {photo.digest}", lambda: self._is_photograph(photo, family)
            )

    def _is_photograph(self, photo: Photo, family: str) -> bool:
        segmenter = self.segmenter(family)
        return segmenter.is_general or not segmenter.knows(self._look(photo, family))

    def people(self, photo: Photo, family: str) -> People | None:
        """The people in a photograph; None for drawings and for families without a reader."""
        with self._lock:
            if not self.is_photograph(photo, family):
                return None
            known = self._people.find(photo.digest)
            reader = None if known is not None else self.reader(family)
            if reader is None:
                return known
            return self._people.keep(photo.digest, reader.read(photo.pixels))

    def reader_of(self, photo: Photo, family: str) -> str:
        """Which reader looked at a photo: `PHOTOGRAPH`, `DRAWING`, or "" for a general segmenter.

        `PHOTOGRAPH`: the photo reader, which found people. `DRAWING`: the segmenter that knows
        drawings.
        """
        people = self.people(photo, family)
        if people is not None and people.anybody:
            return PHOTOGRAPH
        return "" if self.is_photograph(photo, family) else DRAWING

    def look_ahead(self, photos: Sequence[Photo], family: str) -> None:
        """Have the segmenter look at up to `MOST_AT_ONCE` photos at once, before they are asked."""
        with self._lock:
            segmenter, keys = self.segmenter(family), {}
            for photo in photos:
                keys[f"{family} {photo.digest}"] = photo.pixels
            for key, seen in zip(keys, segmenter.encode_images(list(keys.values())), strict=True):
                self._seen.keep(key, seen)

    def first_look(self, photo: Photo, phrases: Sequence[str], family: str) -> FirstLook:
        """All that is found of some phrases in a photo."""
        with self._lock:
            return FirstLook(
                family=family,
                digest=photo.digest,
                is_photograph=self.is_photograph(photo, family),
                heatmaps=self.heatmaps(photo, phrases, family),
                people=self.people(photo, family),
            )

    def take(self, look: FirstLook) -> None:
        """Take over what another process's finder saw."""
        with self._lock:
            self._kinds.keep(f"{look.family} {look.digest}", look.is_photograph)
            if look.people is not None:
                self._people.keep(look.digest, look.people)
            for heat in look.heatmaps:
                self._heat.keep(repr((look.family, look.digest, heat.phrase)), heat)

    def _look(self, photo: Photo, family: str) -> Activations:
        """The segmenter's activations for a photo."""
        segmenter = self.segmenter(family)
        key = f"{family} {photo.digest}"
        return self._seen.get(key, lambda: segmenter.encode_image(photo.pixels))


def _larger(first: tuple[int, ...], second: tuple[int, ...]) -> Size:
    """The larger of two sizes."""
    width, height = max(first, second, key=math.prod)
    return width, height


def _scores(logits: Floats, size: Size) -> Floats:
    """Scores in 0–1 at a size."""
    scores = 1 / (1 + np.exp(-np.clip(logits, -30, 30)))
    return np.asarray(cv2.resize(scores, size, interpolation=cv2.INTER_LINEAR), np.float32)


def _logits(probability: Floats) -> Floats:
    sure = np.clip(probability, EPSILON, 1 - EPSILON)
    return np.asarray(np.log(sure / (1 - sure)), np.float32)
