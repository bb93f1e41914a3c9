"""The parts of a person that the human parser tells apart."""

from __future__ import annotations

from enum import IntEnum


class Part(IntEnum):
    """The classes of the parser; SKIN is neck, arms and hands."""

    BACKGROUND = 0
    FACE = 1
    EAR = 2
    SKIN = 3
    HAIR = 4
    HAT = 5
    GLASSES = 6
    CLOTHES = 7
