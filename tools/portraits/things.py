"""ADE20K classes of drawings, numbered from 0 as in ADE20K segmentation models.

Zhou et al., "Scene Parsing through ADE20K Dataset" (CVPR 2017).
"""

from __future__ import annotations

from enum import IntEnum


class Thing(IntEnum):
    """The ADE20K classes that occur in drawings."""

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
