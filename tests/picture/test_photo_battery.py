"""Tests of all kinds of valid and malicious picture files, through every interface."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inference.errors import InvalidPhoto
from inference.picture.image_files import save_png
from inference.picture.photo import Photo
from inference.picture.url_fetch import Policy, fetch_photo
from tests.picture.test_photo import ORIENTED, colours_clockwise, cornered
from tests.support.bombs import BOMBS, jpeg_with_endless_scans
from tests.support.picture_files import FILES, RED, exif, heic, plain, saved

MAX_SIDE, MAX_SCANS = 8192, 100
ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")


class _Files(BaseHTTPRequestHandler):
    """Serves the file whose name is the path."""

    def do_GET(self) -> None:
        data = list(FILES.values())[int(self.path[1:])][0]()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def fetched() -> Iterator[Callable[[str], Photo]]:
    """Interface under test: a file fetched from a server by URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Files)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    policy = Policy(ports=frozenset({port}), allow=lambda _: True)
    yield lambda name: fetch_photo(f"http://127.0.0.1:{port}/{list(FILES).index(name)}", policy)
    server.shutdown()
    server.server_close()


def sentence_of(read: Callable[[], Photo]) -> str:
    """The message with which a file is refused."""
    with pytest.raises(InvalidPhoto) as caught:
        read()
    assert re.fullmatch(r"[^\n]{10,160}\.", str(caught.value))
    return str(caught.value)


# Files whose orientation, transparency, depth, frames or error an interface could get wrong.
TELLING = ("jpeg turned", "png half clear", "png 16 rgb", "webp moving", "heic", "tiff cmyk",
           "jpeg cut", "tiny", "letter", "empty")  # fmt: skip


@pytest.mark.parametrize(
    ("name", "way"),
    [
        *[(name, "bytes") for name in FILES],
        *[(name, way) for name in TELLING for way in ("path", "address")],
    ],
)
def test_every_file_by_every_way_in(
    name: str, way: str, tmp_path: Path, fetched: Callable[[str], Photo]
) -> None:
    make, expected = FILES[name]

    def read() -> Photo:
        if way == "address":
            return fetched(name)
        data = make()
        path = tmp_path / "upload"
        path.write_bytes(data)
        return Photo.open(data if way == "bytes" else path)

    if isinstance(expected, str):
        assert expected in sentence_of(read)
        return
    photo = read()
    assert photo.size == expected.size
    middle = photo.pixels[photo.size[1] // 2, photo.size[0] // 2].astype(int)
    assert np.abs(middle - expected.colour).max() <= expected.within, middle


@pytest.mark.parametrize("value", sorted(ORIENTED))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_every_orientation_stands_upright(kind: str, value: int) -> None:
    photo = Photo.open(saved(cornered(), kind, exif=exif(value)))
    assert photo.size == ((64, 32) if value < 5 else (32, 64))
    assert colours_clockwise(photo) == ORIENTED[value]


def test_a_photo_with_a_side_too_long_is_scaled_down_and_says_so() -> None:
    photo = Photo.open(FILES["png wide"][0]())
    assert max(photo.size) == MAX_SIDE
    assert photo.note == "The photo was scaled from 8208×1026 to 8192×1024."
    assert Photo.open(plain("RGB", RED, "PNG")).note == ""


def test_heic_without_its_decoder_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    assert "pip install pillow-heif" in sentence_of(lambda: Photo.open(heic("RGB", RED)))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_names_and_places_never_reach_an_output(kind: str, tmp_path: Path) -> None:
    block = Image.Exif()
    block[0x013B] = "Jane of Nowhere"
    block.get_ifd(0x8825)[1] = "Nowhere"
    data = saved(cornered(), kind, exif=block.tobytes())
    assert b"Nowhere" in data
    written = save_png(Photo.open(data).pixels, tmp_path / "out.png").read_bytes()
    assert b"Nowhere" not in written
    assert not Image.open(io.BytesIO(written)).info


def test_a_progressive_photo_may_have_many_scans_but_not_endless_ones() -> None:
    assert Photo.open(jpeg_with_endless_scans((64, 48), MAX_SCANS - 20)).size == (64, 48)
    refused = jpeg_with_endless_scans((64, 48), MAX_SCANS)
    assert "takes too long" in sentence_of(lambda: Photo.open(refused))


# --- in a process of their own, so that memory can be told and a crash is seen -------------------

MEASURE = """
import io, json, resource, sys, time
from PIL import Image
from inference.errors import InvalidPhoto
from inference.picture.photo import Photo

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

def measured(data):
    before, started = peak(), time.process_time()
    try:
        said = "x".join(map(str, Photo.open(data).size))
    except InvalidPhoto as error:
        said = str(error)
    return said, time.process_time() - started, peak() - before

# So that the decoders are loaded.
for kind in ("JPEG", "PNG", "TIFF", "AVIF", "WEBP", "GIF", "BMP"):
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, kind)
    measured(file.getvalue())
"""


def in_its_own_process(code: str, *arguments: str) -> object:
    """Run a program in a subprocess and parse its output as JSON; fails if it crashes."""
    command = [sys.executable, "-W", "ignore", "-c", MEASURE + code, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


# Their payload is metadata, which is never read.
HARMLESS = ("jpeg_with_overlapping_exif", "png_with_overlapping_exif")


def test_bombs_are_refused_from_the_header(tmp_path: Path) -> None:
    for name, make in BOMBS.items():
        (tmp_path / name).write_bytes(make())
    paths = [str(tmp_path / name) for name in BOMBS]
    code = "print(json.dumps([measured(path) for path in sys.argv[1:]]))"
    answers = in_its_own_process(code, *paths)
    assert isinstance(answers, list)
    for name, (said, seconds, megabytes) in zip(BOMBS, answers, strict=True):
        assert said.endswith(".") or (name in HARMLESS and said == "64x64"), name
        assert seconds < 2, f"{name} took {seconds:.2f} s of the processor"
        assert megabytes < 50, f"{name} took {megabytes:.0f} MB"


MUTATE = """
import random
from tests.support.picture_files import FILES, Expected
wholes = [make() for make, expected in FILES.values() if isinstance(expected, Expected)]
wholes = [data for data in wholes if len(data) < 20_000]
chance, slowest, outcomes, before = random.Random(6), 0.0, [0, 0], peak()
for k in range(3_000):
    data = bytearray(wholes[k % len(wholes)])
    for _ in range(chance.choice((1, 1, 2, 5, 20))):
        at = chance.randrange(len(data) if chance.random() < 0.5 else min(200, len(data)))
        what = chance.randrange(6)
        if what == 0:
            del data[at : at + chance.randrange(1, 50)]
        elif what == 1:
            data[at:at] = data[:chance.randrange(1, 50)]
        elif what == 2:
            data[at : at + 4] = chance.choice((bytes(4), b"\\xff" * 4, b"\\x7f" + b"\\xff" * 3))
        else:
            data[at : at + 1] = bytes([chance.randrange(256)])
        data = data or bytearray(1)
    said, seconds, _ = measured(bytes(data))
    slowest = max(slowest, seconds)
    outcomes[said.endswith(".")] += 1
print(json.dumps([outcomes, slowest, peak() - before]))
"""


def test_3000_mutated_files_give_a_photo_or_a_sentence() -> None:
    answer = in_its_own_process(MUTATE)
    assert isinstance(answer, list)
    (photos, sentences), slowest, megabytes = answer
    assert photos + sentences == 3_000
    assert min(photos, sentences) > 300, "both happen, or the files are not mutated as meant"
    assert slowest < 2, f"the slowest took {slowest:.2f} s of the processor"
    assert megabytes < 300
