"""Synthetic portraits with exact masks, key points and captions: the pack's only training data."""

from tools.portraits.draw import Portrait, draw, draw_seed
from tools.portraits.figure import WORDS
from tools.portraits.spec import HELD_OUT_SEED, STYLES, PortraitSpec, redress, sample_spec, solo

__all__ = [
    "HELD_OUT_SEED",
    "STYLES",
    "WORDS",
    "Portrait",
    "PortraitSpec",
    "draw",
    "draw_seed",
    "redress",
    "sample_spec",
    "solo",
]
