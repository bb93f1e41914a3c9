"""Generated picture files of every kind that users upload, with the expected decoded pixels."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pillow_heif
from PIL import Image, ImageCms

from tests.support.bombs import chunk, png, tiff

SIZE = (40, 24)
RED, GREEN, BLUE, WHITE, GRAY = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (77, 77, 77)


@dataclass(frozen=True)
class Expected:
    """Expected colour in the middle of the upright photo, its size, and the tolerance."""

    colour: tuple[int, int, int]
    size: tuple[int, int] = SIZE
    within: int = 2


File = tuple[Callable[[], bytes], Expected | str]


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def plain(mode: str, colour: Any, kind: str, **options: Any) -> bytes:
    return saved(Image.new(mode, options.pop("size", SIZE), colour), kind, **options)


def heic(mode: str, colour: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    image = Image.new(mode, (64, 48), colour)
    pillow_heif.from_pillow(image).save(file, quality=-1, chroma=444, **options)
    return file.getvalue()


def gray16(value: int, kind: str, **options: Any) -> bytes:
    return saved(Image.fromarray(np.full(SIZE[::-1], value, np.uint16)), kind, **options)


def gray32(value: float, kind: Any = np.float32) -> bytes:
    return saved(Image.fromarray(np.full(SIZE[::-1], value, kind)), "TIFF")


def colour16(value: tuple[int, ...], hidden: bytes = b"") -> bytes:
    """A PNG of 16 bits per channel, which Pillow cannot write."""
    import zlib

    row = b"\0" + struct.pack(f">{len(value)}H", *value) * SIZE[0]
    kind = {3: 2, 4: 6, 1: 0, 2: 4}[len(value)]
    header = struct.pack(">IIBBBBB", *SIZE, 16, kind, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"tRNS", hidden) if hidden else b""]
    parts += [chunk(b"IDAT", zlib.compress(row * SIZE[1])), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def swapped_profile() -> bytes:
    """An sRGB profile with the red and the green primary exchanged."""
    data = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return data.replace(b"rXYZ", b"?XYZ").replace(b"gXYZ", b"rXYZ").replace(b"?XYZ", b"gXYZ")


def paletted(kind: str, transparency: int | bytes | None = None) -> bytes:
    image = Image.new("P", SIZE, 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    options = {} if transparency is None else {"transparency": transparency}
    return saved(image, kind, **options)


def moving(kind: str) -> bytes:
    frames = [Image.new("RGB", SIZE, colour) for colour in (RED, BLUE)]
    return saved(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)


def exif(orientation: int) -> bytes:
    block = Image.Exif()
    block[0x0112] = orientation
    return block.tobytes()


def in_segments(kind: int, body: bytes) -> bytes:
    """A red JPEG with one more segment at its front."""
    data = plain("RGB", RED, "JPEG")
    return data[:2] + bytes((255, kind)) + struct.pack(">H", len(body) + 2) + body + data[2:]


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8))


FILES: dict[str, File] = {
    "jpeg": (partial(plain, "RGB", RED, "JPEG"), Expected(RED)),
    "jpeg progressive": (partial(plain, "RGB", RED, "JPEG", progressive=True), Expected(RED)),
    "jpeg gray": (partial(plain, "L", 77, "JPEG"), Expected(GRAY)),
    "jpeg cmyk": (partial(plain, "CMYK", (255, 255, 0, 0), "JPEG"), Expected(BLUE)),
    "jpeg swapped profile": (
        partial(plain, "RGB", RED, "JPEG", icc_profile=swapped_profile()), Expected(GREEN, within=6)
    ),
    "jpeg odd size": (partial(plain, "RGB", RED, "JPEG", size=(17, 31)), Expected(RED, (17, 31))),
    "jpeg turned": (partial(plain, "RGB", RED, "JPEG", exif=exif(6)), Expected(RED, (24, 40))),
    "jpeg bad exif": (partial(in_segments, 0xE1, b"Exif\0\0II*\0\xff"), Expected(RED)),
    "jpeg xmp": (partial(in_segments, 0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>"), Expected(RED)),
    "jpeg comment": (partial(in_segments, 0xFE, b"at home"), Expected(RED)),
    "jpeg cut": (lambda: cut(saved(noise(), "JPEG")), "damaged"),
    "jpeg header only": (lambda: b"\xff\xd8\xff\xe0" + bytes(500), "picture"),
    "jpeg and a film": (lambda: plain("RGB", RED, "JPEG") + b"\xff\xda" * 9_000, Expected(RED)),
    "png": (partial(plain, "RGB", RED, "PNG"), Expected(RED, within=0)),
    "png gray": (partial(plain, "L", 77, "PNG"), Expected(GRAY, within=0)),
    "png one bit": (partial(plain, "1", 1, "PNG"), Expected(WHITE, within=0)),
    "png clear": (partial(plain, "RGBA", (*RED, 0), "PNG"), Expected(WHITE, within=0)),
    "png half clear": (partial(plain, "RGBA", (*RED, 51), "PNG"), Expected((255, 204, 204))),
    "png gray clear": (partial(plain, "LA", (77, 0), "PNG"), Expected(WHITE, within=0)),
    "png palette": (partial(paletted, "PNG"), Expected(BLUE, within=0)),
    "png palette clear": (partial(paletted, "PNG", 1), Expected(WHITE, within=0)),
    "png palette alphas": (partial(paletted, "PNG", b"\xff\x33"), Expected((204, 204, 255))),
    "png key": (partial(plain, "RGB", RED, "PNG", transparency=RED), Expected(WHITE, within=0)),
    "png gray key": (partial(plain, "L", 77, "PNG", transparency=77), Expected(WHITE, within=0)),
    "png 16 gray": (partial(gray16, 19_789, "PNG"), Expected(GRAY, within=1)),
    "png 16 gray key": (partial(colour16, (19_789,), b"\x4d\x4d"), Expected(WHITE, within=0)),
    "png 16 rgb": (partial(colour16, (65_535, 0, 0)), Expected(RED, within=0)),
    "png 16 rgb key": (
        partial(colour16, (65_535, 0, 0), b"\xff\xff\0\0\0\0"), Expected(WHITE, within=0)
    ),
    "png 16 rgba clear": (partial(colour16, (65_535, 0, 0, 0)), Expected(WHITE, within=0)),
    "png 16 gray alpha": (partial(colour16, (19_789, 65_535)), Expected(GRAY, within=1)),
    "png interlaced by exif": (partial(plain, "RGB", RED, "PNG", exif=exif(8)),
                               Expected(RED, (24, 40), 0)),
    "png swapped profile": (
        partial(plain, "RGB", RED, "PNG", icc_profile=swapped_profile()), Expected(GREEN, within=6)
    ),
    "png text": (lambda: png(*SIZE, chunk(b"tEXt", b"GPS\0here")), Expected((0, 0, 0), within=0)),
    "png wide": (partial(plain, "RGB", RED, "PNG", size=(8_208, 1_026)),
                 Expected(RED, (8_192, 1_024), 0)),
    "png cut": (lambda: cut(saved(noise(), "PNG")), "damaged"),
    "png moving": (partial(moving, "PNG"), Expected(RED, within=0)),
    "webp": (partial(plain, "RGB", RED, "WEBP", lossless=True), Expected(RED)),
    "webp clear": (
        partial(plain, "RGBA", (*RED, 0), "WEBP", lossless=True, exact=True), Expected(WHITE)
    ),
    "webp moving": (partial(moving, "WEBP"), Expected(RED)),
    "webp cut": (lambda: cut(saved(noise(), "WEBP")), "picture"),
    "avif": (partial(plain, "RGB", RED, "AVIF"), Expected(RED, within=6)),
    "avif clear": (partial(plain, "RGBA", (*RED, 0), "AVIF"), Expected(WHITE, within=6)),
    "avif cut": (lambda: cut(saved(noise(), "AVIF")), "picture"),
    "heic": (partial(heic, "RGB", RED), Expected(RED, (64, 48), 6)),
    "heic clear": (partial(heic, "RGBA", (*RED, 0)), Expected(WHITE, (64, 48), 6)),
    "heic cut": (lambda: cut(heic("RGB", RED)), "damaged"),
    "gif": (partial(paletted, "GIF"), Expected(BLUE, within=0)),
    "gif clear": (partial(paletted, "GIF", 1), Expected(WHITE, within=0)),
    "gif moving": (partial(moving, "GIF"), Expected(RED)),
    "bmp": (partial(plain, "RGB", RED, "BMP"), Expected(RED, within=0)),
    "tiff": (partial(plain, "RGB", RED, "TIFF"), Expected(RED, within=0)),
    "tiff cmyk": (partial(plain, "CMYK", (0, 255, 255, 0), "TIFF"), Expected(RED)),
    "tiff lab": (partial(plain, "LAB", (80, 128, 128), "TIFF"), Expected(GRAY, within=3)),
    "tiff ycc": (
        partial(plain, "YCbCr", (77, 128, 128), "TIFF", compression="jpeg"), Expected(GRAY)
    ),
    "tiff 16": (partial(gray16, 19_789, "TIFF"), Expected(GRAY, within=1)),
    "tiff 32": (partial(gray32, 77, np.int32), Expected(GRAY, within=1)),
    "tiff float": (partial(gray32, 77 / 255), Expected(GRAY, within=1)),
    "tiff endless": (partial(gray32, np.inf), Expected(WHITE, within=0)),
    "tiff not a number": (partial(gray32, np.nan), Expected((0, 0, 0), within=0)),
    "tiff without pixels": (tiff, "picture"),
    "tiny": (partial(plain, "RGB", RED, "PNG", size=(15, 40)), "it needs 16 pixels a side"),
    "narrow": (partial(plain, "RGB", RED, "PNG", size=(20, 2_000)), "crop it to 8:1"),
    "empty": (bytes, "no picture we can read"),
    "letter": (lambda: b"Dear photo,\n" * 50, "no picture we can read"),
    "pdf": (lambda: b"%PDF-1.7\n" + bytes(500), "no picture we can read"),
    "svg": (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no picture we can read"),
}  # fmt: skip
