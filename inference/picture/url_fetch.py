"""Fetches photos from untrusted URLs; each redirect is checked anew."""

from __future__ import annotations

from collections.abc import Iterable

import httpcore
import httpx

from inference.errors import InvalidPhoto
from inference.picture.checked_network import INSTEAD, Deadline, parsed, sent
from inference.picture.checked_network import Address as Address
from inference.picture.checked_network import Policy as Policy
from inference.picture.checked_network import is_public as is_public
from inference.picture.photo import Photo

MAX_REDIRECTS = 3
# No compression is accepted, so that the limit on bytes read also limits the memory.
HEADERS = (
    (b"User-Agent", b"Masquerade"),
    (b"Accept", b"image/*"),
    (b"Accept-Encoding", b"identity"),
    (b"Connection", b"close"),
)
REDIRECTS = (301, 302, 303, 307, 308)


def fetch_photo(url: str, policy: Policy | None = None) -> Photo:
    """Fetch and decode a photo from an untrusted URL.

    Raises:
        InvalidPhoto: as `fetch_file`, or the file is not a picture.
    """
    return Photo.open(fetch_file(url, policy))


def fetch_file(url: str, policy: Policy | None = None) -> bytes:
    """Fetch a file from an untrusted URL, without proxies and cookies.

    Args:
        url: http or https.
        policy: what may be fetched; None for the default policy.

    Raises:
        InvalidPhoto: the URL is not allowed, or does not answer in time.
    """
    policy = policy or Policy()
    deadline = Deadline(policy.seconds)
    place = parsed(url)
    try:
        for _ in range(MAX_REDIRECTS + 1):
            answer = _get(place, policy, deadline)
            if isinstance(answer, bytes):
                return answer
            place = answer
    except httpcore.TimeoutException as error:
        raise InvalidPhoto(
            f"The photo did not arrive within {policy.seconds:g} seconds: {INSTEAD}."
        ) from error
    except (httpcore.NetworkError, httpcore.ProtocolError) as error:
        raise InvalidPhoto(f"«{_shown(place)}» cannot be fetched from: {INSTEAD}.") from error
    raise InvalidPhoto(
        f"The address leads on more than {MAX_REDIRECTS} times: open it in a browser and paste "
        "the last address."
    )


def _get(place: httpx.URL, policy: Policy, deadline: Deadline) -> bytes | httpx.URL:
    """The body at a URL, or the URL that it redirects to."""
    with sent("GET", place, policy, deadline, HEADERS) as response:
        said = {name.lower(): value for name, value in response.headers}
        if response.status in REDIRECTS and b"location" in said:
            return parsed(said[b"location"].decode("utf-8", "replace"), place)
        if response.status != 200:
            raise InvalidPhoto(
                f"«{_shown(place)}» answers with the error {response.status}: check the address."
            )
        if said.get(b"content-encoding", b"identity").strip().lower() not in (b"", b"identity"):
            raise InvalidPhoto(f"«{_shown(place)}» sends the photo packed: {INSTEAD}.")
        return _body(response.iter_stream(), said.get(b"content-length", b""), policy.max_bytes)


def _body(chunks: Iterable[bytes], length: bytes, most: int) -> bytes:
    """Join the chunks; refuse by announced and by actual length."""
    too_large = f"The photo is over {most >> 20} MB: save it smaller, as a JPEG."
    if length.isdigit() and int(length) > most:
        raise InvalidPhoto(too_large)
    data = bytearray()
    for chunk in chunks:
        data += chunk
        if len(data) > most:
            raise InvalidPhoto(too_large)
    return bytes(data)


def _shown(place: httpx.URL) -> str:
    """The host, cut for a message."""
    return place.host[:60]
