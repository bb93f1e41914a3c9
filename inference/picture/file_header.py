"""Checks of a picture file's structure before it is decoded, against decompression bombs.

Decoders process every scan of a JPEG, and copy every value of a TIFF directory even if values
overlap, and list every strip. Files that exploit this are refused, and a JPEG's metadata segments
are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from struct import error as StructError  # noqa: N812 - an error's name
from struct import pack, unpack_from

from inference.errors import InvalidPhoto

MAX_SEGMENTS = 2_000
MAX_SCANS = 100  # encoders write about ten
MAX_STRIPS = 2**16
MAX_TAGS = 512
ORIENTATION = 0x0112
# Bytes of a TIFF value by its type (TIFF 6.0, section 2, and BigTIFF).
TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4,
              16: 8, 17: 8, 18: 8}  # fmt: skip
BYTES = (1, 2, 6, 7)
TIFF_START = re.compile(rb"II\*\0|MM\0\*|II\+\0|MM\0\+")
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
AVIF_BRANDS = (b"avif", b"avis")
# JPEG: the start of a segment; FF 00 is a stuffed byte, FF D0…D7 are restart markers.
JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
START_OF_SCAN, END_OF_IMAGE, ALONE = 0xDA, 0xD9, (0x01, 0xD8)
COMMENT, APPLICATION = 0xFE, range(0xE1, 0xF0)
COLOUR = (b"ICC_PROFILE\0", b"Adobe")

COSTLY = "The picture is built in a way that takes too long to read: save it anew as a JPEG."


@dataclass(frozen=True, kw_only=True)
class PictureFile:
    """A file that is safe to decode.

    Attributes:
        data: its bytes; a JPEG's without metadata segments.
        orientation: EXIF orientation 1–8, 1 if none is given; None if the decoder has to
            read it.
        is_heic: whether it needs the HEIC decoder.
    """

    data: bytes = field(repr=False)
    orientation: int | None = None
    is_heic: bool = False


def inspect(data: bytes) -> PictureFile:
    """Check a file without decoding it.

    Raises:
        InvalidPhoto: decoding it would take far too much time or memory.
    """
    if data.startswith(b"\xff\xd8"):
        return _jpeg(data)
    if TIFF_START.match(data):
        _check_directory(data, 0)
        return PictureFile(data=data)
    if data[4:8] == b"ftyp":
        for start in TIFF_START.finditer(data):
            _check_directory(data, start.start())
        brands = data[8 : min(256, int.from_bytes(data[:4]))]
        is_avif = any(brand in brands for brand in AVIF_BRANDS)
        is_heic = not is_avif and any(brand in brands for brand in HEIC_BRANDS)
        return PictureFile(data=data, is_heic=is_heic)
    return PictureFile(data=data)


def without_metadata(data: bytes) -> bytes:
    """The same picture; of a JPEG without place, time, camera, comments and thumbnail.

    Only its colour profile and its orientation stay.

    Raises:
        InvalidPhoto: as `inspect`.
    """
    file = inspect(data)
    if file.orientation in (None, 1):
        return file.data
    # A TIFF directory with one entry (TIFF 6.0, section 2), in a JPEG segment of its own.
    entry = pack(">HHIHH", ORIENTATION, 3, 1, file.orientation, 0)
    exif = b"Exif\0\0MM\0*" + pack(">IH", 8, 1) + entry + bytes(4)
    segment = b"\xff\xe1" + pack(">H", len(exif) + 2) + exif
    return file.data[:2] + segment + file.data[2:]


def orientation_of(exif: bytes) -> int:
    """Orientation 1–8 in a block of EXIF data, 1 if none is given."""
    start = 6 if exif.startswith(b"Exif\0\0") else 0
    try:
        for tag, kind, count, at in _entries(exif, start):
            if tag == ORIENTATION and kind == 3 and count == 1:
                value: int = unpack_from(_order(exif, start) + "H", exif, at)[0]
                return value
    except StructError:
        pass  # broken EXIF data are ignored, as browsers do
    return 1


def _jpeg(data: bytes) -> PictureFile:
    """Check a JPEG and leave out comments, EXIF, XMP and thumbnails."""
    kept, exif, at, scans = [data[:2]], b"", 2, 0
    for count, (kind, start, end) in enumerate(_segments(data)):
        scans += kind == START_OF_SCAN
        if count >= MAX_SEGMENTS or scans > MAX_SCANS:
            raise InvalidPhoto(COSTLY)
        if scans:
            continue
        body = data[start + 4 : end]
        if kind == COMMENT or (kind in APPLICATION and not body.startswith(COLOUR)):
            kept.append(data[at:start])
            at = end
            if not exif and body.startswith(b"Exif\0\0"):
                exif = body
    return PictureFile(data=b"".join([*kept, data[at:]]), orientation=orientation_of(exif))


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of each segment of a JPEG, up to the end of its first picture."""
    at = 2
    while found := JPEG_MARKER.search(data, at):
        start, kind = found.start(), data[found.start() + 1]
        if kind == END_OF_IMAGE:
            return
        length = 0 if kind in ALONE else max(2, int.from_bytes(data[start + 2 : start + 4]))
        at = start + 2 + length
        yield kind, start, at


def _check_directory(data: bytes, start: int) -> None:
    """Refuse a TIFF directory whose values overlap or are too many; ignore other faults."""
    total = 0
    try:
        for number, (_, kind, count, _) in enumerate(_entries(data, start)):
            total += count * TYPE_SIZES.get(kind, 1)
            many = kind not in BYTES and count > MAX_STRIPS
            if many or total > len(data) or number > MAX_TAGS:
                raise InvalidPhoto(COSTLY)
    except StructError:
        return


def _order(data: bytes, start: int) -> str:
    return "<" if data[start : start + 2] == b"II" else ">"


def _entries(data: bytes, start: int) -> Iterator[tuple[int, int, int, int]]:
    """Tag, type, count and value offset of each entry of the first TIFF directory."""
    order = _order(data, start)
    big = data[start + 2 : start + 4] in (b"+\0", b"\0+")
    first = unpack_from(order + ("Q" if big else "I"), data, start + (8 if big else 4))[0]
    at = start + first
    (count,) = unpack_from(order + ("Q" if big else "H"), data, at)
    at += 8 if big else 2
    for _ in range(count):
        tag, kind, number = unpack_from(order + ("HHQ" if big else "HHI"), data, at)
        yield tag, kind, number, at + (12 if big else 8)
        at += 20 if big else 12
