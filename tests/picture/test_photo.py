"""Tests of decoding untrusted picture files: pixels, orientation, colour, and refusals."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import ExifTags, Image, ImageCms

from inference.errors import InvalidPhoto
from inference.picture.photo import Photo

Array = npt.NDArray[np.generic]
MAX_BYTES = 20 * 2**20

CORNERS = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
}
WHITE = (255, 255, 255)
# How the upright picture reads from its top left, clockwise, when red, green, blue, yellow were
# stored clockwise from the top left.
ORIENTED = {
    1: ("red", "green", "blue", "yellow"),
    2: ("green", "red", "yellow", "blue"),
    3: ("blue", "yellow", "red", "green"),
    4: ("yellow", "blue", "green", "red"),
    5: ("red", "yellow", "blue", "green"),
    6: ("yellow", "red", "green", "blue"),
    7: ("blue", "green", "red", "yellow"),
    8: ("green", "blue", "yellow", "red"),
}


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def plain(mode: str, colour: object, size: tuple[int, int] = (40, 24)) -> Image.Image:
    return Image.new(mode, size, colour)  # type: ignore[arg-type]


def cornered(size: tuple[int, int] = (64, 32)) -> Image.Image:
    """Red, green, blue and yellow clockwise from the top left."""
    picture = Image.new("RGB", size)
    half = (size[0] // 2, size[1] // 2)
    places = [(0, 0), (half[0], 0), half, (0, half[1])]
    for place, colour in zip(places, CORNERS.values(), strict=True):
        picture.paste(colour, (*place, place[0] + half[0], place[1] + half[1]))
    return picture


def colours_clockwise(photo: Photo) -> tuple[str, ...]:
    width, height = photo.size
    x, y = (width // 4, 3 * width // 4), (height // 4, 3 * height // 4)
    names = []
    for row, column in ((y[0], x[0]), (y[0], x[1]), (y[1], x[1]), (y[1], x[0])):
        pixel = photo.pixels[row, column].astype(int)
        names.append(min(CORNERS, key=lambda name: np.abs(pixel - CORNERS[name]).sum()))
    return tuple(names)


def orientation(value: object) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = value
    return exif.tobytes()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    code = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + code


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size; its data are a few bytes."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(bytes(100)))
        + png_chunk(b"IEND", b"")
    )


def refusal(source: str | Path | bytes) -> str:
    """The message with which a source is refused; checks that it is one line."""
    with pytest.raises(InvalidPhoto) as caught:
        Photo.open(source)
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert ": " in sentence
    assert "\n" not in sentence
    assert len(sentence) < 160
    return sentence


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF"])
def test_each_usual_kind_of_file_is_read(kind: str, tmp_path: Path) -> None:
    picture = cornered()
    path = tmp_path / "photo.bin"
    path.write_bytes(encoded(picture, kind))
    photo = Photo.open(path)
    assert photo.size == (64, 32)
    assert photo.pixels.dtype == np.uint8
    assert colours_clockwise(photo) == tuple(CORNERS)
    if kind in ("PNG", "BMP", "TIFF"):
        np.testing.assert_array_equal(photo.pixels, np.asarray(picture))


def test_a_path_its_text_and_the_bytes_give_the_same_photo(tmp_path: Path) -> None:
    data = encoded(cornered(), "PNG")
    path = tmp_path / "photo.png"
    path.write_bytes(data)
    digests = {Photo.open(source).digest for source in (path, str(path), data)}
    assert len(digests) == 1


@pytest.mark.parametrize("value", sorted(ORIENTED))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_photo_stands_upright(kind: str, value: int) -> None:
    photo = Photo.open(encoded(cornered(), kind, exif=orientation(value)))
    assert photo.size == ((64, 32) if value < 5 else (32, 64))
    assert colours_clockwise(photo) == ORIENTED[value]


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_is_ignored(value: int) -> None:
    photo = Photo.open(encoded(cornered(), "JPEG", exif=orientation(value)))
    assert colours_clockwise(photo) == ORIENTED[1]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_broken_exif_data_do_not_spoil_a_photo() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Software] = "a camera"
    whole = encoded(cornered(), "JPEG", exif=exif.tobytes())
    start = whole.index(b"Exif\0\0")
    for offset in range(start, start + len(exif.tobytes())):
        for value in (0, 1, 255):
            data = whole[:offset] + bytes([value]) + whole[offset + 1 :]
            assert Photo.open(data).pixels.shape in ((32, 64, 3), (64, 32, 3))


@pytest.mark.parametrize(
    ("image", "kind", "expected"),
    [
        (plain("RGBA", (255, 0, 0, 0)), "PNG", WHITE),
        (plain("RGBA", (255, 0, 0, 255)), "PNG", (255, 0, 0)),
        (plain("RGBA", (255, 0, 0, 51)), "PNG", (255, 204, 204)),
        (plain("RGBA", (0, 0, 0, 128)), "TIFF", (127, 127, 127)),
        (plain("LA", (0, 0)), "PNG", WHITE),
        (plain("LA", (100, 255)), "PNG", (100, 100, 100)),
        (plain("L", 77), "PNG", (77, 77, 77)),
        (plain("1", 1), "PNG", WHITE),
        (plain("1", 0), "TIFF", (0, 0, 0)),
        (plain("CMYK", (0, 255, 255, 0)), "TIFF", (255, 0, 0)),
        (plain("CMYK", (255, 255, 0, 0)), "JPEG", (0, 0, 255)),
        (plain("RGB", (9, 99, 199)), "PNG", (9, 99, 199)),
    ],
)
def test_each_mode_becomes_rgb_with_transparent_parts_white(
    image: Image.Image, kind: str, expected: tuple[int, int, int]
) -> None:
    photo = Photo.open(encoded(image, kind))
    assert photo.pixels.shape == (24, 40, 3)
    np.testing.assert_allclose(photo.pixels, np.broadcast_to(expected, (24, 40, 3)), atol=1)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_colours_hidden_under_full_transparency_do_not_show(kind: str) -> None:
    pixels = np.zeros((24, 40, 4), dtype=np.uint8)
    pixels[..., :3] = np.random.default_rng(0).integers(0, 256, (24, 40, 3))
    options = {"exact": True, "lossless": True} if kind == "WEBP" else {}
    photo = Photo.open(encoded(Image.fromarray(pixels), kind, **options))
    assert (photo.pixels == 255).all()


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_transparent_palette_entry_becomes_white(kind: str) -> None:
    image = plain("P", 0)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.paste(1, (20, 0, 40, 24))
    photo = Photo.open(encoded(image, kind, transparency=0))
    assert tuple(photo.pixels[5, 5]) == WHITE
    assert tuple(photo.pixels[5, 35]) == (0, 0, 255)


def test_one_colour_marked_as_transparent_becomes_white() -> None:
    image = plain("RGB", (1, 2, 3))
    image.paste((9, 9, 9), (20, 0, 40, 24))
    photo = Photo.open(encoded(image, "PNG", transparency=(1, 2, 3)))
    assert tuple(photo.pixels[5, 5]) == WHITE
    assert tuple(photo.pixels[5, 35]) == (9, 9, 9)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("value", [0, 200, 257, 32896, 65535])
def test_16_bit_gray_keeps_its_brightness(value: int, kind: str) -> None:
    image = Image.fromarray(np.full((24, 40), value, dtype=np.uint16))
    assert image.mode == "I;16"
    photo = Photo.open(encoded(image, kind))
    np.testing.assert_allclose(photo.pixels, round(value / 257), atol=1)


@pytest.mark.parametrize(
    ("top", "expected"), [(0.5, 128), (1.0, 255), (255.0, 255), (65535.0, 255)]
)
def test_gray_with_fractions_is_scaled_by_what_its_values_suggest(
    top: float, expected: int
) -> None:
    values = np.full((24, 40), top, dtype=np.float32)
    values[0, 0] = np.nan
    photo = Photo.open(encoded(Image.fromarray(values), "TIFF"))
    np.testing.assert_allclose(photo.pixels[1:], expected, atol=1)
    assert (photo.pixels[0, 0] == 0).all()


def swapped_profile() -> bytes:
    """A colour profile like sRGB's, with the red and the green primary exchanged."""
    data = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return data.replace(b"rXYZ", b"?XYZ").replace(b"gXYZ", b"rXYZ").replace(b"?XYZ", b"gXYZ")


@pytest.mark.parametrize(
    ("mode", "kind"),
    [(mode, kind) for mode in ("RGB", "RGBA") for kind in ("PNG", "TIFF", "WEBP")]
    + [("RGB", "JPEG")],
)
def test_a_colour_profile_is_applied(mode: str, kind: str) -> None:
    image = plain("RGB", (255, 0, 0)).convert(mode)
    photo = Photo.open(encoded(image, kind, icc_profile=swapped_profile()))
    np.testing.assert_allclose(photo.pixels[5, 5], (0, 255, 0), atol=6)


def test_the_usual_profile_changes_nothing() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    pixels = np.random.default_rng(1).integers(0, 256, (24, 40, 3), dtype=np.uint8)
    photo = Photo.open(encoded(Image.fromarray(pixels), "PNG", icc_profile=profile))
    np.testing.assert_allclose(photo.pixels, pixels, atol=1)


@pytest.mark.parametrize("profile", [b"", b"no profile", swapped_profile()[:200]], ids=len)
@pytest.mark.parametrize("mode", ["RGB", "L", "LA", "CMYK"])
def test_a_broken_or_unfit_profile_is_ignored(mode: str, profile: bytes) -> None:
    image = plain("L", 100).convert(mode)
    photo = Photo.open(encoded(image, "TIFF", icc_profile=profile))
    np.testing.assert_allclose(photo.pixels, 100, atol=1)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF", "PNG"])
def test_of_a_moving_picture_the_first_frame_is_taken(kind: str) -> None:
    frames = [plain("RGB", (255, 0, 0)), plain("RGB", (0, 0, 255))]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    photo = Photo.open(data)
    np.testing.assert_allclose(photo.pixels[5, 5], (255, 0, 0), atol=6)


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ((15, 40), "15×40: it needs 16 pixels a side"),
        ((40, 1), "it needs 16 pixels a side"),
        ((8000, 5001), "40 megapixels at most"),
        ((10_000, 4_001), "40 megapixels at most"),
        ((200, 24), "crop it to 8:1 at most"),
        ((24, 193), "crop it to 8:1 at most"),
        ((13_000, 13_000), "pixels"),
        ((60_000, 60_000), "too many pixels"),
        ((2**31 - 1, 2**31 - 1), "pixels"),
    ],
)
def test_a_size_outside_the_limits_is_refused_from_the_header(
    size: tuple[int, int], words: str
) -> None:
    assert words in refusal(png_header(*size))


@pytest.mark.parametrize("size", [(16, 16), (16, 128), (8192, 1024)])
def test_a_size_on_the_limits_is_taken(size: tuple[int, int]) -> None:
    assert Photo.open(encoded(plain("RGB", WHITE, size), "PNG")).size == size


def test_a_bomb_is_refused_before_it_goes_off() -> None:
    rows = zlib.compressobj(9)
    data = b"".join(rows.compress(bytes(3 * 13_000 + 1)) for _ in range(2_000)) + rows.flush()
    header = struct.pack(">IIBBBBB", 13_000, 13_000, 8, 2, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", data)
        + png_chunk(b"IEND", b"")
    )
    assert len(bomb) < 200_000
    assert "pixels" in refusal(bomb)


@pytest.mark.parametrize("extra", [1, 5_000_000])
def test_a_file_of_too_many_bytes_is_refused(extra: int, tmp_path: Path) -> None:
    data = encoded(cornered(), "PNG")
    data += bytes(MAX_BYTES + extra - len(data))
    path = tmp_path / "large.png"
    path.write_bytes(data)
    for source in (data, path):
        assert "over 20 MB" in refusal(source)
    assert Photo.open(data[:MAX_BYTES]).size == (64, 32)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("part", [0.02, 0.3, 0.6, 0.9])
def test_a_truncated_file_is_refused(kind: str, part: float) -> None:
    noise = np.random.default_rng(2).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), kind)
    refusal(data[: int(len(data) * part)])


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF"])
def test_damaged_bytes_give_a_photo_or_a_sentence_and_nothing_else(kind: str) -> None:
    random = np.random.default_rng(3)
    noise = random.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    options = {"exif": orientation(6)} if kind in ("JPEG", "PNG", "WEBP") else {}
    whole = encoded(Image.fromarray(noise), kind, **options)
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(random.integers(1, 6)):
            data[random.integers(len(data) if random.random() < 0.5 else 300)] = random.integers(
                256
            )
        try:
            assert Photo.open(bytes(data)).pixels.ndim == 3
        except InvalidPhoto as error:
            assert str(error).endswith(".")  # noqa: PT017 - either outcome is right


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no picture we can read"),
        (b"This is a letter, not a picture.\n" * 50, "no picture we can read"),
        (bytes(1000), "no picture we can read"),
        (b"\xff\xd8\xff\xe0" + bytes(500), "picture"),
        (b"\x89PNG\r\n\x1a\n" + bytes(500), "picture"),
        (b"GIF89a", "picture"),
        (b"%PDF-1.7\n" + bytes(500), "no picture we can read"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no picture we can read"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n", "no picture we can read"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_what_is_no_picture_is_refused(data: bytes, words: str, tmp_path: Path) -> None:
    assert words in refusal(data)
    path = tmp_path / "picture.jpg"
    path.write_bytes(data)
    assert words in refusal(path)


def test_a_path_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for source in (tmp_path, tmp_path / "missing.jpg", str(tmp_path / "x\0y"), "", "x" * 5000):
        assert refusal(source) == "The photo cannot be read: choose the file again."


def test_equal_pixels_have_equal_digests_and_others_do_not() -> None:
    pixels = np.random.default_rng(4).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    photo = Photo.of(pixels)
    from_png = Photo.open(encoded(Image.fromarray(pixels), "PNG"))
    from_bmp = Photo.open(encoded(Image.fromarray(pixels), "BMP"))
    assert photo.digest == from_png.digest == from_bmp.digest
    assert Photo.of(np.asfortranarray(pixels)).digest == photo.digest
    other = pixels.copy()
    other[19, 29, 2] ^= 1
    reshaped = pixels.reshape(30, 20, 3)
    assert len({Photo.of(one).digest for one in (pixels, other, reshaped)}) == 3


def test_a_photo_can_be_changed_neither_directly_nor_through_its_source() -> None:
    pixels = np.zeros((20, 30, 3), dtype=np.uint8)
    for photo in (Photo.of(pixels), Photo.open(encoded(cornered(), "PNG"))):
        with pytest.raises(ValueError, match="read-only"):
            photo.pixels[0, 0] = 1
    photo = Photo.of(pixels)
    pixels[:] = 9
    assert (photo.pixels == 0).all()


def test_a_photo_is_shown_without_its_pixels() -> None:
    assert len(repr(Photo.of(np.zeros((20, 30, 3), dtype=np.uint8)))) < 80
