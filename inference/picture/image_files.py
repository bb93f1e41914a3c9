"""Writes pictures as PNG and JPEG files, atomically."""

from __future__ import annotations

import os
from pathlib import Path

import cv2

from inference.errors import MasqueradeError
from inference.picture.photo import Pixels


def save_png(picture: Pixels, path: Path) -> Path:
    """Write an RGB or gray picture as a PNG.

    Raises:
        MasqueradeError: the file cannot be written; also raised by the next two functions.
    """
    return write_whole(encode_png(picture), path)


def save_jpeg(picture: Pixels, path: Path) -> Path:
    """Write an RGB picture as a JPEG, small enough for a page."""
    return write_whole(encode_jpeg(picture), path)


def write_whole(data: bytes, path: Path) -> Path:
    """Write a file atomically: under a temporary name, which is then renamed."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(data)
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise MasqueradeError(f"{path.name} cannot be written: free some disk space.") from error
    return path


def encode_png(picture: Pixels) -> bytes:
    """The PNG file of an RGB or gray picture, (H, W, 3) or (H, W) uint8."""
    return _encode(picture, ".png")


def encode_jpeg(picture: Pixels) -> bytes:
    """The JPEG file of an RGB picture, small enough for a page."""
    return _encode(picture, ".jpg")


def _encode(picture: Pixels, suffix: str) -> bytes:
    """Encode by OpenCV, whose encoders are several times faster than Pillow's."""
    bgr = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    return cv2.imencode(suffix, bgr)[1].tobytes()
