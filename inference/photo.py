"""Untrusted bytes become an upright RGB picture within limits, or one clear sentence."""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError

from inference.errors import InvalidPhoto

Pixels = npt.NDArray[np.uint8]

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF")
MAX_BYTES = 20 * 2**20
MAX_PIXELS = 40_000_000
MIN_SIDE, MAX_SIDE = 16, 8192
MAX_ASPECT = 8
BACKGROUND = (255, 255, 255)
# What brings a picture upright, by its EXIF orientation.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# What Pillow's decoders raise for damaged data.
DAMAGE = (
    OSError, ValueError, SyntaxError, EOFError, TypeError, RuntimeError, ArithmeticError,
    LookupError, struct.error,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Photo:
    """An upright RGB photo.

    Attributes:
        pixels: (H, W, 3) uint8, read-only.
        digest: hex digest of the picture's content; caches are keyed by it.
    """

    pixels: Pixels = field(repr=False)
    digest: str

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @classmethod
    def of(cls, pixels: Pixels) -> Photo:
        """A photo of an (H, W, 3) uint8 RGB array, which is copied."""
        pixels = np.array(pixels, dtype=np.uint8, order="C")
        pixels.flags.writeable = False
        digest = hashlib.blake2b(pixels.data, digest_size=16)
        digest.update(repr(pixels.shape).encode())
        return cls(pixels=pixels, digest=digest.hexdigest())

    @classmethod
    def open(cls, source: str | Path | bytes) -> Photo:
        """Read a picture file, or its bytes.

        Raises:
            InvalidPhoto: it is no picture, damaged, or outside the limits of this module.
        """
        return cls.of(_decode(_read(source)))


def _read(source: str | Path | bytes) -> bytes:
    if isinstance(source, bytes):
        data = source
    else:
        try:
            with Path(source).open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except (OSError, ValueError) as error:
            raise InvalidPhoto("The photo cannot be read: choose the file again.") from error
    if len(data) > MAX_BYTES:
        raise InvalidPhoto(f"The file is over {MAX_BYTES >> 20} MB: save it smaller, as a JPEG.")
    return data


def _decode(data: bytes) -> Pixels:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                _check_size(image.size)
                image.seek(0)
                image.load()
                return np.asarray(_to_srgb(_upright(image)))
    except UnidentifiedImageError as error:
        raise InvalidPhoto("This file is no picture we can read: choose a JPEG or PNG.") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InvalidPhoto("The picture has too many pixels: scale it down first.") from error
    except DAMAGE as error:
        raise InvalidPhoto("The picture is damaged: open it in an editor, save it anew.") from error


def _check_size(size: tuple[int, int]) -> None:
    """Refuse from the header, before a pixel is decoded."""
    width, height = size
    if min(size) < MIN_SIDE:
        raise InvalidPhoto(f"The picture is {width}×{height}: it needs {MIN_SIDE} pixels a side.")
    if max(size) > MAX_SIDE or width * height > MAX_PIXELS:
        raise InvalidPhoto(
            f"The picture is {width}×{height}: scale it to {MAX_SIDE} pixels a side and "
            f"{MAX_PIXELS // 1_000_000} megapixels at most."
        )
    if max(size) > MAX_ASPECT * min(size):
        raise InvalidPhoto(f"The picture is {width}×{height}: crop it to {MAX_ASPECT}:1 at most.")


def _upright(image: Image.Image) -> Image.Image:
    """Turned as its EXIF data say; EXIF data that are broken are ignored, as browsers do."""
    try:
        turn = TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except DAMAGE:
        return image
    return image if turn is None else image.transpose(turn)


def _to_srgb(image: Image.Image) -> Image.Image:
    """Bring any mode and colour profile to 8-bit sRGB; transparent parts become white."""
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        image = _eight_bits(image)
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        colours = image.convert("RGBA")
        image = Image.new("RGBA", image.size, (*BACKGROUND, 255))
        image.alpha_composite(colours)
    elif image.mode == "CMYK" and profile:
        return _convert(image, profile)
    image = image.convert("RGB")
    return _convert(image, profile) if profile else image


def _eight_bits(image: Image.Image) -> Image.Image:
    """Gray of more than 8 bits; where the mode does not tell what is white, the values do."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float64))
    top = 65535.0
    if not image.mode.startswith("I;16") and values.max(initial=0) <= 255:
        top = 1.0 if image.mode == "F" and values.max(initial=0) <= 1 else 255.0
    return Image.fromarray(np.clip(values / top * 255 + 0.5, 0, 255).astype(np.uint8))


def _convert(image: Image.Image, profile: bytes) -> Image.Image:
    """To sRGB by the embedded profile; a profile that is broken is ignored, as browsers do."""
    try:
        converted = ImageCms.profileToProfile(
            image,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            outputMode="RGB",
        )
    except (ImageCms.PyCMSError, OSError):
        return image.convert("RGB")
    return converted or image.convert("RGB")
