"""What a drawing shows, as the classes of ADE20K, numbered from 0 as its segmenters number them.

Zhou et al., "Scene Parsing through ADE20K Dataset" (CVPR 2017).
"""

from __future__ import annotations

from enum import IntEnum


class Thing(IntEnum):
    """The classes that drawings have."""

    SKY = 2
    TREE = 4
    GRASS = 9
    PERSON = 12
    MOUNTAIN = 16
    PLANT = 17
    SEA = 26
    SAND = 46
    SKYSCRAPER = 48
    BOOKCASE = 62
    FLOWER = 66
    HILL = 68
    PALM = 72
