"""Decompression bombs: small files whose decoding takes excessive memory or time."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from functools import cache

from PIL import Image

MEGABYTE = 2**20
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, data: bytes) -> bytes:
    code = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + code


def png(width: int, height: int, *before: bytes, rows: bytes = b"", colour: int = 2) -> bytes:
    """A PNG of this size with chunks before its image data, which may be truncated."""
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    body = chunk(b"IDAT", rows or zlib.compress(bytes((3 * width + 1) * height)))
    return b"".join([PNG_SIGNATURE, chunk(b"IHDR", header), *before, body, chunk(b"IEND", b"")])


@cache
def packed_zeros(count: int) -> bytes:
    """`count` zeros, compressed in parts so that they are never in memory together."""
    packer, piece = zlib.compressobj(9), bytes(MEGABYTE)
    parts = [packer.compress(piece) for _ in range(count // MEGABYTE)]
    return b"".join([*parts, packer.compress(bytes(count % MEGABYTE)), packer.flush()])


def huge_png() -> bytes:
    return png(30_000, 30_000, rows=packed_zeros(100 * MEGABYTE))


def large_png_in_a_small_file() -> bytes:
    """A complete PNG of 13,000 × 13,000 pixels of one colour in under 500 kB."""
    return png(13_000, 13_000, rows=packed_zeros((3 * 13_000 + 1) * 13_000))


def text_chunk() -> bytes:
    return png(64, 64, chunk(b"tEXt", b"Comment\0" + bytes(200 * MEGABYTE)))


def packed_text_chunk() -> bytes:
    return png(64, 64, chunk(b"zTXt", b"Comment\0\0" + packed_zeros(200 * MEGABYTE)))


def packed_international_text_chunk() -> bytes:
    words = b"Comment\0\1\0\0\0" + packed_zeros(200 * MEGABYTE)
    return png(64, 64, chunk(b"iTXt", words))


def many_packed_text_chunks() -> bytes:
    """A PNG with many compressed text chunks, each of the length that decoders allow."""
    one = chunk(b"zTXt", b"Comment\0\0" + packed_zeros(MEGABYTE - 1))
    return png(64, 64, *[one] * 400)


def huge_profile() -> bytes:
    return png(64, 64, chunk(b"iCCP", b"profile\0\0" + packed_zeros(200 * MEGABYTE)))


def many_gif_frames() -> bytes:
    """A GIF of 2,000 frames of 8,000 × 5,001 pixels."""
    file = io.BytesIO()
    Image.new("P", (16, 16)).save(file, "GIF")
    data = file.getvalue()
    start = data.index(b",\0\0\0\0")
    frame = data[start:-1]
    screen = data[:6] + struct.pack("<HH", 8_000, 5_001) + data[10:start]
    return screen + frame * 2_000 + b";"


def many_apng_frames() -> bytes:
    """An APNG of 2,000 frames of 8,000 × 5,001 pixels."""
    width, height = 8_000, 5_001
    control = chunk(b"acTL", struct.pack(">II", 2_000, 0))
    place = struct.pack(">IIIIIHHBB", 0, width, height, 0, 0, 1, 10, 0, 0)
    data = packed_zeros(MEGABYTE)
    frames = [
        chunk(b"fcTL", struct.pack(">I", 2 * k + 1) + place[4:])
        + chunk(b"fdAT", struct.pack(">I", 2 * k + 2) + data[:100])
        for k in range(2_000)
    ]
    return png(width, height, control, chunk(b"fcTL", place), *frames, rows=data)


def tiff(*entries: tuple[int, int, int, int], extra: bytes = b"") -> bytes:
    """A TIFF of 64 × 64 gray pixels; entries are (tag, type, count, value) and go before ours."""
    usual = [(256, 4, 1, 64), (257, 4, 1, 64), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1),
             (277, 3, 1, 1)]  # fmt: skip
    tags = {entry[0]: entry for entry in [*usual, *entries]}
    rows = [struct.pack("<HHII", *tags[tag]) for tag in sorted(tags)]
    directory = struct.pack("<H", len(rows)) + b"".join(rows) + bytes(4)
    return b"II*\0" + struct.pack("<I", 8) + directory + extra


def tiff_with_huge_tiles() -> bytes:
    """A TIFF with one tile of 2³¹ × 2³¹ pixels at the end of the address space."""
    return tiff((322, 4, 1, 2**31), (323, 4, 1, 2**31), (324, 4, 1, 2**32 - 9), (325, 4, 1, 2**31))


def tiff_with_millions_of_strips() -> bytes:
    count = 4_500_000
    place = 8 + 2 + 12 * 9 + 4
    return tiff((273, 4, count, place), (278, 4, 1, 1), (279, 4, count, place),
                extra=bytes(4 * count))  # fmt: skip


def absurd_jpeg() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "JPEG")
    data = bytearray(file.getvalue())
    start = data.index(b"\xff\xc0") + 5
    data[start : start + 4] = struct.pack(">HH", 65_500, 65_500)
    return bytes(data)


def jpeg_with_endless_scans(size: tuple[int, int] = (4_000, 2_000), count: int = 20_000) -> bytes:
    """A progressive JPEG of valid size with many scans, each over all pixels."""
    file = io.BytesIO()
    Image.new("L", size).save(file, "JPEG", progressive=True)
    data = file.getvalue()
    last = data.rindex(b"\xff\xc4")
    return data[:-2] + data[last:-2] * count + data[-2:]


def overlapping_values(length: int) -> bytes:
    """EXIF data with 500 overlapping values, each of which covers all of the data."""
    rows = [struct.pack("<HHII", 1000 + k, 7, length, 0) for k in range(500)]
    directory = b"II*\0" + struct.pack("<IH", 8, len(rows)) + b"".join(rows) + bytes(4)
    return directory + bytes(max(0, length - len(directory)))


def jpeg_with_overlapping_exif() -> bytes:
    """A JPEG with such EXIF data in many segments, which decoders join."""
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "JPEG")
    data, exif = file.getvalue(), overlapping_values(2 * MEGABYTE)
    parts = [b"Exif\0\0" + exif[k : k + 60_000] for k in range(0, len(exif), 60_000)]
    segments = [b"\xff\xe1" + struct.pack(">H", len(part) + 2) + part for part in parts]
    return b"".join([data[:2], *segments, data[2:]])


def png_with_overlapping_exif() -> bytes:
    return png(64, 64, chunk(b"eXIf", overlapping_values(2 * MEGABYTE)))


def tiff_with_overlapping_values() -> bytes:
    entries = [(2000 + k, 7, 2 * MEGABYTE, 0) for k in range(500)]
    return tiff(*entries, extra=bytes(2 * MEGABYTE))


def avif_with_overlapping_exif() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "AVIF", exif=overlapping_values(2 * MEGABYTE))
    return file.getvalue()


BOMBS: dict[str, Callable[[], bytes]] = {
    make.__name__: make
    for make in (
        huge_png, large_png_in_a_small_file, text_chunk, packed_text_chunk,
        packed_international_text_chunk, many_packed_text_chunks, huge_profile, many_gif_frames,
        many_apng_frames, tiff_with_huge_tiles, tiff_with_millions_of_strips, absurd_jpeg,
        jpeg_with_endless_scans, jpeg_with_overlapping_exif, png_with_overlapping_exif,
        tiff_with_overlapping_values, avif_with_overlapping_exif,
    )
}  # fmt: skip
