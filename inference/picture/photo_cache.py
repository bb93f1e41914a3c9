"""Cache of decoded photos by file, bounded by memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path
from typing import overload

from inference.picture.photo import Photo

MOST_BYTES = 2**30


class PhotoCache:
    """The most recently used photos. Thread-safe.

    The page's sessions hold paths instead of photos: the photos of a thousand visitors, of twelve
    megapixels each, would need 36 GB.

    Args:
        most_bytes: limit of all photos together; the last photo is always kept.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._photos: OrderedDict[str, Photo] = OrderedDict()
        self._lock = threading.Lock()

    @overload
    def photo(self, path: None) -> None: ...

    @overload
    def photo(self, path: str | Path) -> Photo: ...

    def photo(self, path: str | Path | None) -> Photo | None:
        """The photo in a file; None for no file.

        Raises:
            InvalidPhoto: as `Photo.open`; also where the file is no longer there.
        """
        if path is None:
            return None
        key = str(path)
        with self._lock:
            if key in self._photos:
                self._photos.move_to_end(key)
                return self._photos[key]
        photo = Photo.open(path)
        with self._lock:
            self._photos[key] = photo
            while len(self._photos) > 1 and self._bytes() > self._most_bytes:
                self._photos.popitem(last=False)
        return photo

    def _bytes(self) -> int:
        return sum(photo.pixels.nbytes for photo in self._photos.values())
