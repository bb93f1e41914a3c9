"""A least-recently-used cache, and digests of arrays to key it by."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

Value = TypeVar("Value")


class Cache(Generic[Value]):
    """The `size` most recently used values by key. Thread-safe."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[str, Value] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str, make: Callable[[], Value]) -> Value:
        """The value at `key`; made by `make` and stored if there is none.

        The lock is not held meanwhile, so two threads may make the same value.
        """
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        return self.keep(key, make())

    def find(self, key: str) -> Value | None:
        """The value at `key`, None if there is none."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def keep(self, key: str, value: Value) -> Value:
        """Store a value, drop the least recently used ones beyond `size`, return the value."""
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > self._size:
                self._values.popitem(last=False)
        return value

    def __contains__(self, key: str) -> bool:
        with self._lock:
            return key in self._values


def digest(array: npt.NDArray[Any]) -> str:
    """Hex digest (BLAKE2b, 128 bits) of an array's content, shape and dtype."""
    code = hashlib.blake2b(np.ascontiguousarray(array).data, digest_size=16)
    code.update(f"{array.shape}{array.dtype}".encode())
    return code.hexdigest()
