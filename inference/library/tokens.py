"""API tokens: made for a name, shown once, and stored as a digest."""

from __future__ import annotations

import hashlib
import re
import secrets
import time

from inference.errors import InvalidRecipe
from inference.library.address import Place
from inference.library.opening import open_storage

PREFIX = "mq_"
NAME = re.compile(r"[\w.@+-]{1,64}")


class Tokens:
    """The tokens of a library, which a server may be using at the same time.

    Args:
        place: the library; a folder is created where it is missing.

    Raises:
        LibraryUnavailable: it cannot be used.
        NotStored: a token cannot be written; so do all methods.
    """

    def __init__(self, place: Place) -> None:
        self._storage, _ = open_storage(place)

    def close(self) -> None:
        """Close the database."""
        self._storage.close()

    def make(self, name: str) -> str:
        """Make a token for a name; several may have the same one.

        Raises:
            InvalidRecipe: the name has other characters than are allowed.
        """
        if not NAME.fullmatch(name):
            raise InvalidRecipe(
                "A token's name has 1 to 64 letters, digits or . @ + - _: choose another."
            )
        token = PREFIX + secrets.token_urlsafe(32)
        with self._storage.changed() as rows:
            rows.add_token(name, digest_of(token), time.time())
        return token

    def names(self) -> list[str]:
        """The name of each token."""
        with self._storage.used() as rows:
            return rows.token_names()

    def remove(self, name: str) -> int:
        """Delete the tokens of a name; returns how many there were."""
        with self._storage.changed() as rows:
            return rows.drop_tokens(name)


def digest_of(token: str) -> str:
    """The digest under which a token is stored: plain SHA-256, as a token has 256 random bits."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
