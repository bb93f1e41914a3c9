"""Decodes untrusted picture files to upright 8-bit sRGB photos within limits."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, UnidentifiedImageError

from inference.errors import InvalidPhoto
from inference.picture.file_header import ORIENTATION, PictureFile, inspect, orientation_of
from inference.recipe.settings import MAX_SIDE

Pixels = npt.NDArray[np.uint8]

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF")
MAX_BYTES = 20 * 2**20
MAX_PIXELS = 40_000_000
MIN_SIDE = 16
MAX_ASPECT = 8
STRIPE = 256  # rows converted to 8 bits at once, to bound the memory
BACKGROUND = (255, 255, 255)
# The transposition that makes a picture upright, by its EXIF orientation.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Errors that Pillow's decoders raise for damaged data.
DAMAGE = (
    OSError, ValueError, SyntaxError, EOFError, TypeError, RuntimeError, ArithmeticError,
    LookupError, MemoryError, AttributeError, struct.error, zlib.error,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Photo:
    """An upright RGB photo.

    Attributes:
        pixels: (H, W, 3) uint8, read-only.
        digest: hex digest of the pixels; caches are keyed by it.
        note: a sentence for the user about what was changed on reading, "" for nothing.
    """

    pixels: Pixels = field(repr=False)
    digest: str
    note: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @classmethod
    def of(cls, pixels: Pixels, note: str = "") -> Photo:
        """A photo of an (H, W, 3) uint8 RGB array, which is copied."""
        pixels = np.array(pixels, dtype=np.uint8, order="C")
        pixels.flags.writeable = False
        digest = hashlib.blake2b(pixels.data, digest_size=16)
        digest.update(repr(pixels.shape).encode())
        return cls(pixels=pixels, digest=digest.hexdigest(), note=note)

    @classmethod
    def open(cls, source: str | Path | bytes) -> Photo:
        """Read a picture file, or its bytes.

        A photo with a side over `MAX_SIDE` is scaled down, and its `note` says so.

        Raises:
            InvalidPhoto: it is not a picture, is damaged, or exceeds a limit of this module.
        """
        pixels, size = _decode(inspect(_read(source)))
        if size == pixels.shape[1::-1]:
            return cls.of(pixels)
        now = f"{pixels.shape[1]}×{pixels.shape[0]}"
        return cls.of(pixels, f"The photo was scaled from {size[0]}×{size[1]} to {now}.")


def _read(source: str | Path | bytes) -> bytes:
    too_large = f"The file is over {MAX_BYTES >> 20} MB: save it smaller, as a JPEG."
    if isinstance(source, bytes):
        data = source
    else:
        try:
            if Path(source).stat().st_size > MAX_BYTES:
                raise InvalidPhoto(too_large)
            with Path(source).open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except (OSError, ValueError) as error:
            raise InvalidPhoto("The photo cannot be read: choose the file again.") from error
    if len(data) > MAX_BYTES:
        raise InvalidPhoto(too_large)
    return data


def _decode(file: PictureFile) -> tuple[Pixels, tuple[int, int]]:
    """The upright picture within `MAX_SIDE`, and its size before scaling."""
    try:
        with _heic(file.data) if file.is_heic else _lazy(file.data) as image:
            _check_size(image.size)
            image.load()
            _check_size(image.size)
            picture = _to_srgb(_upright(image, file.orientation))
        size = picture.size
        if max(size) > MAX_SIDE:
            picture.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
        return np.asarray(picture), size
    except UnidentifiedImageError as error:
        raise InvalidPhoto("This file is no picture we can read: choose a JPEG or PNG.") from error
    except Image.DecompressionBombError as error:
        raise InvalidPhoto("The picture has too many pixels: scale it down first.") from error
    except DAMAGE as error:
        raise InvalidPhoto("The picture is damaged: open it in an editor, save it anew.") from error


def _lazy(data: bytes) -> Image.Image:
    """Open the first frame without decoding its pixels."""
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    image.seek(0)
    return image


def _heic(data: bytes) -> Image.Image:
    """Decode the primary picture of a HEIC file, rotated as the file says."""
    try:
        import pillow_heif
    except ImportError as error:
        raise InvalidPhoto(
            "HEIC photos need one more package: save the photo as a JPEG, or run "
            "«pip install pillow-heif» where Masquerade runs."
        ) from error
    file = pillow_heif.open_heif(data)
    _check_size(file.size)
    picture: Image.Image = file.to_pillow()
    return picture


def _check_size(size: tuple[int, int]) -> None:
    """Raise InvalidPhoto for a size outside the limits."""
    width, height = size
    if min(size) < MIN_SIDE:
        raise InvalidPhoto(f"The picture is {width}×{height}: it needs {MIN_SIDE} pixels a side.")
    if width * height > MAX_PIXELS:
        raise InvalidPhoto(
            f"The picture is {width}×{height}: scale it to {MAX_PIXELS // 1_000_000} megapixels "
            "at most."
        )
    if max(size) > MAX_ASPECT * min(size):
        raise InvalidPhoto(f"The picture is {width}×{height}: crop it to {MAX_ASPECT}:1 at most.")


def _upright(image: Image.Image, orientation: int | None) -> Image.Image:
    """Rotate and mirror by EXIF orientation."""
    if orientation is None:
        orientation = orientation_of(image.info.get("exif") or b"")
        if image.format == "TIFF":
            orientation = image.tag_v2.get(ORIENTATION, 1)  # type: ignore[attr-defined]
    turn = TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)


def _to_srgb(image: Image.Image) -> Image.Image:
    """Convert any mode and colour profile to 8-bit sRGB; transparency becomes white."""
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        image = _eight_bits(image)
    if image.mode == "LAB":
        image = _convert(image, ImageCms.createProfile("LAB"))
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        colours = image.convert("RGBA")
        image = Image.new("RGBA", image.size, (*BACKGROUND, 255))
        image.alpha_composite(colours)
    elif image.mode in ("CMYK", "L") and profile:
        return _convert(image, io.BytesIO(profile))
    image = image.convert("RGB")
    return _convert(image, io.BytesIO(profile)) if profile else image


def _eight_bits(image: Image.Image) -> Image.Image:
    """Convert deeper gray to 8 bits; white is 65535, or 1 or 255 if no value exceeds these."""
    values = np.asarray(image)
    top = 65535.0
    if not image.mode.startswith("I;16"):
        most = np.nan_to_num(np.nanmax(values), posinf=top) if values.size else top
        if most <= 255:
            top = 1.0 if image.mode == "F" and most <= 1 else 255.0
    gray = np.empty(values.shape, dtype=np.uint8)
    for start in range(0, len(gray), STRIPE):
        part = np.nan_to_num(values[start : start + STRIPE].astype(np.float64))
        gray[start : start + STRIPE] = np.clip(part / top * 255 + 0.5, 0, 255)
    hidden = image.info.get("transparency")
    if isinstance(hidden, int):
        gray[values == hidden] = BACKGROUND[0]
    return Image.fromarray(gray)


def _convert(image: Image.Image, profile: Any) -> Image.Image:
    """Convert to sRGB by the embedded profile; a broken profile is ignored, as browsers do."""
    try:
        converted = ImageCms.profileToProfile(
            image,
            ImageCms.ImageCmsProfile(profile),
            ImageCms.createProfile("sRGB"),
            outputMode="RGB",
        )
    except (ImageCms.PyCMSError, OSError):
        return image.convert("RGB")
    return converted or image.convert("RGB")
