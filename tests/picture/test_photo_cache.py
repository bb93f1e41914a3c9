"""Tests of the photo cache: its memory limit, and reading from files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inference.errors import InvalidPhoto
from inference.picture.image_files import save_png
from inference.picture.photo_cache import PhotoCache

SIZE = 32 * 32 * 3


def saved(folder: Path, number: int) -> Path:
    return save_png(np.full((32, 32, 3), number, dtype=np.uint8), folder / f"{number}.png")


def test_a_photo_is_decoded_once(tmp_path: Path) -> None:
    shelf, path = PhotoCache(), saved(tmp_path, 7)
    assert shelf.photo(path) is shelf.photo(str(path))
    assert shelf.photo(path).pixels[0, 0].tolist() == [7, 7, 7]
    assert shelf.photo(None) is None


def test_those_used_last_stay_and_the_others_come_back_from_their_files(tmp_path: Path) -> None:
    shelf = PhotoCache(most_bytes=2 * SIZE)
    paths = [saved(tmp_path, number) for number in range(3)]
    first, second = shelf.photo(paths[0]), shelf.photo(paths[1])
    assert shelf.photo(paths[0]) is first
    shelf.photo(paths[2])
    assert shelf.photo(paths[0]) is first
    again = shelf.photo(paths[1])
    assert again is not second
    assert again.digest == second.digest


def test_a_photo_larger_than_the_shelf_is_there_all_the_same(tmp_path: Path) -> None:
    shelf, path = PhotoCache(most_bytes=1), saved(tmp_path, 1)
    assert shelf.photo(path) is shelf.photo(path)


def test_a_file_that_was_swept_is_told(tmp_path: Path) -> None:
    path = saved(tmp_path, 1)
    path.unlink()
    with pytest.raises(InvalidPhoto, match="choose the file again"):
        PhotoCache().photo(path)
