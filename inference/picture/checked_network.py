"""Connections to untrusted URLs, with protection against server-side request forgery.

Every IP address that a host name resolves to has to be allowed, and the connection goes to the
address that was checked, which prevents DNS rebinding. One deadline covers everything from the
look-up to the last byte.
"""

from __future__ import annotations

import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import httpcore
import httpx

from inference.errors import InvalidPhoto
from inference.picture.photo import MAX_BYTES

Address = IPv4Address | IPv6Address
Headers = Sequence[tuple[bytes, bytes]]

#: Errors of a connection; see `sent`.
FAILURES = (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError)
SECONDS = 10.0
MAX_CHARACTERS = 4000
PORTS = {"http": 80, "https": 443}
# Networks that the standard library counts as global and that are not, or that embed others.
CLOSED = tuple(
    ip_network(network)
    for network in (
        "100.64.0.0/10",  # shared by a provider's customers (RFC 6598)
        "168.63.129.16/32",  # platform services of Azure, reachable from its machines
        "192.0.0.0/24",  # protocol assignments (RFC 6890)
        "192.88.99.0/24",  # 6to4 relays (RFC 7526)
        "2001::/23",  # protocol assignments, Teredo among them (RFC 2928, RFC 4380)
        "2001:db8::/32",  # documentation (RFC 3849)
        "2002::/16",  # 6to4: holds an IPv4 address (RFC 3056)
        "3fff::/20",  # documentation (RFC 9637)
    )
)
# All of IPv6 that is assigned; IPv4-mapped, NAT64 and local addresses lie outside.
GLOBAL_UNICAST = ip_network("2000::/3")

INSTEAD = "download the photo and choose the file"


def is_public(address: Address) -> bool:
    """Whether an IP address is a unicast address of the public internet."""
    if isinstance(address, IPv6Address) and address not in GLOBAL_UNICAST:
        return False
    closed = any(address in network for network in CLOSED if network.version == address.version)
    return address.is_global and not (closed or address.is_multicast or address.is_reserved)


def look_up(host: str) -> tuple[Address, ...]:
    """All IP addresses of a host by the system's resolver, the preferred one first.

    Raises:
        OSError: the host has no address.
    """
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(ip_address(str(entry[4][0])) for entry in found))


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What may be fetched, and for how long.

    Attributes:
        ports: the ports that a connection may go to.
        allow: whether a connection may go to an IP address.
        resolve: returns the IP addresses of a host; raises OSError if there are none.
        seconds: deadline for everything, from the look-up to the last byte.
        max_bytes: the most bytes that are read.
    """

    ports: frozenset[int] = frozenset(PORTS.values())
    allow: Callable[[Address], bool] = is_public
    resolve: Callable[[str], tuple[Address, ...]] = look_up
    seconds: float = SECONDS
    max_bytes: int = MAX_BYTES


def parsed(url: str, base: httpx.URL | None = None) -> httpx.URL:
    """Parse an http or https URL with a host and without credentials.

    Raises:
        InvalidPhoto: it is none.
    """
    url = url.strip()
    if not url:
        raise InvalidPhoto("There is no address: paste one that begins with https://.")
    if len(url) > MAX_CHARACTERS:
        raise InvalidPhoto(f"The address has over {MAX_CHARACTERS} characters: {INSTEAD}.")
    try:
        place = base.join(url) if base else httpx.URL(url)
    except (httpx.InvalidURL, ValueError) as error:
        raise InvalidPhoto("The address cannot be read: copy it anew from the browser.") from error
    if place.scheme not in PORTS or not place.host:
        raise InvalidPhoto("The address does not name a server: begin it with https://.")
    if place.userinfo:
        raise InvalidPhoto(f"The address has a user name in it: {INSTEAD}.")
    return place


@contextmanager
def sent(
    method: str,
    place: httpx.URL,
    policy: Policy,
    deadline: Deadline,
    headers: Headers,
    body: bytes = b"",
) -> Iterator[httpcore.Response]:
    """Context of the answer to a request, without proxies and cookies; redirects are not followed.

    Raises:
        InvalidPhoto: the port or an IP address of the host is not allowed.
        httpcore.TimeoutException: the deadline has passed.
        httpcore.NetworkError: the host does not answer; or httpcore.ProtocolError.
    """
    port = PORTS[place.scheme] if place.port is None else place.port
    if port not in policy.ports:
        raise InvalidPhoto(f"The address has the port {port}: {INSTEAD}.")
    target = httpcore.URL(
        scheme=place.raw_scheme, host=place.raw_host, port=port, target=place.raw_path
    )
    secure = httpx.create_ssl_context() if place.scheme == "https" else None
    network = _Checked(policy, deadline)
    with (
        httpcore.ConnectionPool(ssl_context=secure, network_backend=network) as pool,
        pool.stream(
            method, target, headers=[(b"Host", place.netloc), *headers], content=body or None
        ) as response,
    ):
        yield response


class Deadline:
    """A deadline, a number of seconds after its construction."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds left, more than 0.

        Raises:
            httpcore.TimeoutException: the deadline has passed.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("the time is over")
        return left


class _Checked(httpcore.NetworkBackend):
    """Network backend that connects only to hosts all of whose IP addresses are allowed."""

    def __init__(self, policy: Policy, deadline: Deadline) -> None:
        self._policy, self._deadline = policy, deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - the deadline counts
        local_address: str | None = None,  # noqa: ARG002 - none is asked for
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Resolve, check, and connect to the first IP address that answers."""
        addresses = self._addresses(host)
        if not all(map(self._policy.allow, addresses)):
            raise InvalidPhoto(f"«{host[:60]}» is not on the public internet: {INSTEAD}.")
        refused: httpcore.NetworkError | httpcore.TimeoutException | None = None
        for k, address in enumerate(addresses):
            patience = self._deadline.left() / (len(addresses) - k)
            try:
                stream = httpcore.SyncBackend().connect_tcp(
                    str(address), port, timeout=patience, socket_options=socket_options
                )
                return _Timed(stream, self._deadline)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                refused = error
        raise refused or httpcore.ConnectError("no address")

    def _addresses(self, host: str) -> tuple[Address, ...]:
        """The host's IP addresses, looked up in a thread, because the resolver has no timeout."""
        answer: queue.SimpleQueue[tuple[Address, ...] | None] = queue.SimpleQueue()

        def ask() -> None:
            try:
                answer.put(self._policy.resolve(host))
            except (OSError, ValueError):  # ValueError: not a valid host name
                answer.put(None)

        threading.Thread(target=ask, daemon=True).start()
        try:
            addresses = answer.get(timeout=self._deadline.left())
        except queue.Empty as error:
            raise httpcore.ConnectTimeout("the name is still looked up") from error
        if not addresses:
            raise InvalidPhoto(f"There is no server «{host[:60]}»: check the address.")
        return addresses


class _Timed(httpcore.NetworkStream):
    """A connection whose reads and writes time out at the deadline."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        return self._stream.read(max_bytes, self._deadline.left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._stream.write(buffer, self._deadline.left())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        secure = self._stream.start_tls(ssl_context, server_hostname, self._deadline.left())
        return _Timed(secure, self._deadline)

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)
