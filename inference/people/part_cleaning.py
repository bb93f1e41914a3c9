"""Cleans part maps: of small pieces, hats of the hair's colour and skin of another hue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.people.face_mesh import FaceMesh
from inference.people.parts import Part
from inference.people.turned_square import Floats
from inference.picture.photo import Pixels

# Least area of a piece, as a share of the largest head's.
LEAST: Mapping[Part, float] = MappingProxyType(
    {
        Part.FACE: 0.1,
        Part.EAR: 0.003,
        Part.SKIN: 0.03,
        Part.HAIR: 0.02,
        Part.HAT: 0.06,
        Part.GLASSES: 0.02,
        Part.CLOTHES: 0.03,
    }
)
HEAD = (Part.FACE, Part.EAR, Part.HAIR, Part.HAT, Part.GLASSES)
# Least area of the hair, as a share of the hat's, whose colour is compared with the hat's, and the
# largest difference of both medians, in 8-bit Lab, of one colour.
HAIR_OF_HAT, SAME_COLOUR = 0.15, 14.0
# Largest difference of two medians of a and b, in 8-bit Lab, of the skin of one person.
SAME_HUE = 9.0
# From where below the eyes to where a face may end in a neck, and what is added to a mesh's outline
# there, in face widths.
JAW, MARGIN = (0.3, 1.6), 0.03
# What remains of the probability of what is cleaned away.
REMAINS = 1e-6


def without_islands(parts: Floats) -> Floats:
    """Probabilities (parts, h, w) of sum 1, where small pieces of a part become their second best.

    A piece is a connected set of pixels whose most likely part is the same.
    """
    labels = parts.argmax(axis=0)
    head = largest_piece(np.isin(labels, HEAD))
    if not head:
        return parts
    cleaned = parts.copy()
    for part, share in LEAST.items():
        _, pieces, stats, _ = cv2.connectedComponentsWithStats((labels == part).astype(np.uint8))
        small = stats[:, cv2.CC_STAT_AREA] < share * head
        small[0] = False
        cleaned[part][small[pieces]] *= REMAINS
    return np.asarray(cleaned / cleaned.sum(axis=0), np.float32)


def without_false_hats(parts: Floats, picture: Pixels) -> Floats:
    """Probabilities of parts where a hat of the colour of the hair is hair.

    Args:
        parts: (parts, h, w), of sum 1.
        picture: (h, w, 3) uint8 RGB.
    """
    labels = parts.argmax(axis=0)
    hat, hair = labels == Part.HAT, labels == Part.HAIR
    if hair.sum() < HAIR_OF_HAT * hat.sum() or not hat.any():
        return parts
    lab = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB).astype(np.float32)
    difference = np.median(lab[hat], axis=0) - np.median(lab[hair], axis=0)
    if float(np.linalg.norm(difference)) > SAME_COLOUR:
        return parts
    changed = parts.copy()
    changed[Part.HAIR] += (1 - REMAINS) * changed[Part.HAT]
    changed[Part.HAT] *= REMAINS
    return changed


def without_neck(parts: Floats, faces: Iterable[FaceMesh], scale: float) -> Floats:
    """Probabilities of parts where what the face has below a mesh's jaw is skin of the neck.

    Args:
        parts: (parts, h, w), of sum 1.
        faces: the meshes of the faces.
        scale: pixels of the maps per pixel of the meshes.
    """
    size = parts.shape[1:]
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32) / scale
    neck, inside = np.zeros(size, np.bool_), np.zeros(size, np.uint8)
    for face in faces:
        across = face.frame[0, 0] * x + face.frame[0, 1] * y + face.frame[0, 2]
        down = face.frame[1, 0] * x + face.frame[1, 1] * y + face.frame[1, 2]
        neck |= (down > JAW[0]) & (down < JAW[1]) & (np.abs(across) < JAW[1])
        oval = np.rint(cv2.convexHull(face.oval.astype(np.float32)) * scale).astype(np.int32)
        cv2.fillConvexPoly(inside, oval, 1)
        margin = max(1, round(2 * MARGIN * face.width * scale))
        cv2.polylines(inside, [oval], True, (1,), margin)
    below = neck & (inside == 0)
    changed = parts.copy()
    changed[Part.SKIN][below] += (1 - REMAINS) * changed[Part.FACE][below]
    changed[Part.FACE][below] *= REMAINS
    return changed


def without_false_skin(parts: Floats, picture: Pixels) -> Floats:
    """Probabilities of parts where pieces of skin of another hue than the faces become second best.

    Args:
        parts: (parts, h, w), of sum 1.
        picture: (h, w, 3) uint8 RGB.
    """
    labels = parts.argmax(axis=0)
    face, skin = labels == Part.FACE, labels == Part.SKIN
    if not face.any() or not skin.any():
        return parts
    hues = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB)[..., 1:].astype(np.float32)
    expected = np.median(hues[face], axis=0)
    count, pieces = cv2.connectedComponents(skin.astype(np.uint8))
    changed = parts.copy()
    for piece in (pieces == k for k in range(1, count)):
        difference = np.median(hues[piece], axis=0) - expected
        if float(np.linalg.norm(difference)) > SAME_HUE:
            changed[Part.SKIN][piece] *= REMAINS
    return np.asarray(changed / changed.sum(axis=0), np.float32)


def largest_piece(mask: NDArray[np.bool_]) -> int:
    """Pixels of the largest connected piece of a mask; 0 for an empty one."""
    stats = cv2.connectedComponentsWithStats(mask.astype(np.uint8))[2]
    return int(stats[1:, cv2.CC_STAT_AREA].max()) if len(stats) > 1 else 0
