"""Words and key points on photographs with masks, and photographs told apart from drawings.

A folder holds `NAME.jpg` or `.png` with `NAME-labels.png`, a class per pixel as face parsers number
them (CelebAMask-HQ, Lee et al. 2020), or `NAME-person.png`, white where a person is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from inference import Photo
from inference.people.part_words import PARTS
from tools.evaluation.bench import FAMILY, Bench, held_out, overlap, share
from tools.evaluation.table import Row, at_least, note
from tools.training.phrases import ABSENT_WORDS

Mask = NDArray[np.bool_]

_FACE = tuple(range(1, 14))
_BODY = tuple(range(1, 19))
#: The labels that each word covers.
LABELS: dict[str, tuple[int, ...]] = {
    "person": _BODY,
    "foreground": _BODY,
    "background": (0,),
    "head": (*_FACE, 17, 18),
    "face": _FACE,
    "hair": (17,),
    "skin": (1, 2, 3, 4, 5, 7, 8, 10, 11, 12, 13, 14),
    "clothes": (16,),
    "hat": (18,),
    "glasses": (6,),
}
GOALS = {
    "person": 0.95, "foreground": 0.95, "background": 0.92, "head": 0.92, "face": 0.88,
    "hair": 0.82, "skin": 0.88, "clothes": 0.85, "hat": 0.88, "glasses": 0.45,
}  # fmt: skip
LOWEST_PERSON = 0.85
LEAST = 0.004  # share of the picture below which a word is left out
EYES, NOSE = (4, 5), 10
NEAR = 0.15  # face widths
QUIET, QUIET_SHARE = 0.2, 0.95
ABSENT_PER_PHOTO = 6
TOLD_APART = 0.99


@dataclass(frozen=True, kw_only=True)
class LabelledPhoto:
    """A photograph, and the mask (h, w) of each word that is known for it; empty: not in it."""

    name: str
    photo: Photo
    masks: dict[str, Mask] = field(repr=False)
    labels: NDArray[np.uint8] | None = field(repr=False)


def labelled_photos(folder: Path) -> Iterator[LabelledPhoto]:
    """The photographs of a folder, those without a mask too."""
    for path in sorted(folder.iterdir()):
        is_mask = path.stem.endswith(("-labels", "-person", "-mask"))
        if path.suffix.lower() not in (".jpg", ".jpeg", ".png") or is_mask:
            continue
        labels = _gray(folder / f"{path.stem}-labels.png")
        person = _gray(folder / f"{path.stem}-person.png")
        masks = {}
        if labels is not None:
            masks = {word: np.isin(labels, kinds) for word, kinds in LABELS.items()}
        elif person is not None:
            inside = person > 127
            masks = {"person": inside, "foreground": inside, "background": ~inside}
        yield LabelledPhoto(name=path.stem, photo=Photo.open(path), masks=masks, labels=labels)


def _gray(path: Path) -> NDArray[np.uint8] | None:
    if not path.is_file():
        return None
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.uint8)


@dataclass(kw_only=True)
class Measured:
    """IoU by word and photograph, peaks of absent words, and which key points lie near."""

    overlaps: dict[str, dict[str, float]] = field(default_factory=dict)
    absent: list[bool] = field(default_factory=list)
    strange: list[bool] = field(default_factory=list)
    near: list[bool] = field(default_factory=list)
    photographs: list[bool] = field(default_factory=list)
    drawings: list[bool] = field(default_factory=list)


def measure(bench: Bench, photos: Sequence[LabelledPhoto], drawings: int) -> Measured:
    """Measure the photographs of a folder; `drawings` held-out ones are told apart."""
    found = Measured()
    finder = bench.studio._selector.finder
    for k, one in enumerate(photos):
        found.photographs.append(finder.is_photograph(one.photo, FAMILY))
        for word, truth in one.masks.items():
            mask, peak = bench.find(one.photo.pixels, word)
            if truth.mean() >= LEAST:
                found.overlaps.setdefault(word, {})[one.name] = overlap(mask, truth)
            elif not truth.any():
                found.absent.append(peak < QUIET)
        start = k * ABSENT_PER_PHOTO
        for word in np.roll(ABSENT_WORDS, -start)[:ABSENT_PER_PHOTO]:
            found.strange.append(bench.find(one.photo.pixels, str(word))[1] < QUIET)
        if one.labels is not None:
            found.near += list(_near(bench, one))
    for k in range(drawings):
        drawn = Photo.of(held_out(k).image)
        found.drawings.append(not finder.is_photograph(drawn, FAMILY))
    return found


def _near(bench: Bench, one: LabelledPhoto) -> Iterator[bool]:
    """Whether each eye and the nose lie near the middle of their label."""
    assert one.labels is not None
    points = bench.keypoints(one.photo.pixels)
    columns = np.nonzero(np.isin(one.labels, _FACE).any(axis=0))[0]
    width = float(np.ptp(columns))
    eyes = [_middle(one.labels == kind) for kind in EYES]
    if all(eye is not None for eye in eyes):
        for eye in eyes:
            yield bool(min(np.linalg.norm(points[[1, 2], :2] - eye, axis=1)) < NEAR * width)
    nose = _middle(one.labels == NOSE)
    if nose is not None:
        yield bool(np.linalg.norm(points[0, :2] - nose) < NEAR * width)


def _middle(mask: Mask) -> NDArray[np.float64] | None:
    ys, xs = np.nonzero(mask)
    return np.array([xs.mean() + 0.5, ys.mean() + 0.5]) if len(xs) else None


def rows(found: Measured) -> list[Row]:
    """The rows of the table."""
    part = "Photographs"
    lines = []
    for word in PARTS:
        values = found.overlaps.get(word, {})
        if values:
            mean = float(np.mean(list(values.values())))
            what = f"mean IoU of “{word}” ({len(values)})"
            lines.append(at_least(part, what, mean, GOALS[word], unit=""))
    if person := found.overlaps.get("person"):
        lowest = min(person.values())
        lines.append(at_least(part, "lowest IoU of “person”", lowest, LOWEST_PERSON, unit=""))
    known = "absent hats, glasses and other parts that peak under 0.2"
    lines.append(at_least(part, known, share(found.absent), QUIET_SHARE))
    lines.append(
        note(part, "absent things that peak under 0.2", f"{100 * share(found.strange):.1f} %")
    )
    lines.append(
        at_least(part, "eyes and noses within 0.15 face widths", share(found.near), QUIET_SHARE)
    )
    read = f"read as photographs ({len(found.photographs)})"
    lines.append(at_least(part, read, share(found.photographs), TOLD_APART))
    if found.drawings:
        drawn = f"drawings read as drawings ({len(found.drawings)})"
        lines.append(at_least(part, drawn, share(found.drawings), TOLD_APART))
    return lines
