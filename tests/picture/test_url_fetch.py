"""Tests of fetching untrusted URLs from local servers: photos, limits, refusals (SSRF)."""

from __future__ import annotations

import contextlib
import gzip
import io
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inference.errors import InvalidPhoto
from inference.picture.url_fetch import Address, Policy, fetch_photo, is_public

MAX_REDIRECTS = 3
PUBLIC = (
    "8.8.8.8", "93.184.216.34", "172.15.0.1", "100.63.255.255", "100.128.0.1", "169.253.0.1",
    "2606:4700::1111", "2a00:1450:4001::200e", "2001:4860:4860::8888",
)  # fmt: skip
NOT_PUBLIC = (
    "0.0.0.0", "10.0.0.1", "127.0.0.1", "127.255.255.254", "172.16.0.1", "192.168.1.1",
    "169.254.169.254", "100.64.0.1", "100.100.100.200", "100.127.255.255", "168.63.129.16",
    "192.0.0.192", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.51.100.1", "203.0.113.9",
    "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::8.8.8.8", "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1", "100::1", "2001::1", "2001:0:4136:e378::1", "2001:db8::1", "2002:a00:1::1",
    "2002:808:808::1", "3fff::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0",
    "fec0::1", "ff02::1",
)  # fmt: skip


def picture(colour: tuple[int, int, int] = (200, 30, 60)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 24), colour).save(file, "PNG")
    return file.getvalue()


PNG = picture()


@dataclass
class Server:
    """A local HTTP server with its requests so far and its answer for each path."""

    port: int
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    pages: dict[str, Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=dict)
    sent: int = 0

    def url(self, path: str = "/photo", host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    def policy(self, **changes: object) -> Policy:
        """A policy that also allows loopback addresses."""
        allowed = {"allow": lambda a: a == ip_address("127.0.0.1") or is_public(a)}
        return Policy(**{"ports": frozenset({80, self.port}), "seconds": 10, **allowed, **changes})

    def fetch(self, path: str = "/photo", **changes: object) -> np.ndarray:
        return fetch_photo(self.url(path), self.policy(**changes)).pixels

    def answers(
        self,
        path: str,
        body: bytes = PNG,
        status: int = 200,
        length: int | None = None,
        **headers: str,
    ) -> None:
        def page(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(status)
            for name, value in headers.items():
                handler.send_header(name.replace("_", "-"), value)
            handler.send_header("Content-Length", str(len(body) if length is None else length))
            handler.end_headers()
            handler.wfile.write(body)

        self.pages[path] = page


@contextlib.contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.requests.append((self.path, dict(self.headers)))
            with contextlib.suppress(OSError):  # the other side has hung up
                server.pages[self.path](self)

        def log_message(self, *_: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass

    with Quiet(("127.0.0.1", 0), Handler) as http:
        if context:
            http.socket = context.wrap_socket(http.socket, server_side=True)
        server = Server(port=http.server_address[1])
        server.answers("/photo")
        threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}).start()
        try:
            yield server
        finally:
            http.shutdown()


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as one:
        yield one


def names(**hosts: list[str]) -> Callable[[str], tuple[Address, ...]]:
    """A resolver for these hosts, under .test."""
    return lambda host: tuple(map(ip_address, hosts[host.removesuffix(".test")]))


@pytest.mark.parametrize("address", PUBLIC)
def test_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


def test_a_photo_is_fetched(server: Server) -> None:
    np.testing.assert_array_equal(server.fetch(), np.full((24, 40, 3), (200, 30, 60)))
    ((path, headers),) = server.requests
    assert path == "/photo"
    assert headers["Host"] == f"127.0.0.1:{server.port}"
    assert headers["User-Agent"] == "Masquerade"
    assert headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("said", ["text/html", "application/octet-stream", "image/gif"])
def test_what_it_is_is_seen_from_its_bytes(server: Server, said: str) -> None:
    server.answers("/photo", Content_Type=said)
    assert server.fetch().shape == (24, 40, 3)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("", "There is no address: paste one that begins with https://"),
        ("  \n", "There is no address"),
        ("https://photos.test/" + "a" * 10_000, "over 4000 characters: download"),
        ("photos.test/me.jpg", "begin it with https://"),
        ("https:photos.test", "begin it with https://"),
        ("http:///me.jpg", "begin it with https://"),
        ("file:///etc/passwd", "begin it with https://"),
        ("ftp://photos.test/me.jpg", "begin it with https://"),
        ("data:image/png;base64,iVBORw0KGgo=", "begin it with https://"),
        ("gopher://photos.test/", "begin it with https://"),
        ("javascript:alert(1)", "begin it with https://"),
        ("//photos.test/me.jpg", "begin it with https://"),
        ("https://me@photos.test/", "user name in it: download"),
        ("https://me:secret@photos.test/", "user name in it"),
        ("http://127.0.0.1\\@photos.test/", "user name in it"),
        ("https://photos.test:8443/", "port 8443: download"),
        ("https://photos.test:0/", "port 0"),
        ("https://photos.test:port/", "cannot be read: copy it anew"),
        ("https://[::1/", "cannot be read"),
        ("https://256.1.1.1/", "cannot be read"),
        ("https://pho\x00tos.test/", "cannot be read"),
        ("https://ｌocal‥host/", "cannot be read"),
        ("http://127.0.0.1/", "not on the public internet: download"),
        ("http://127。0。0。1/", "not on the public internet"),
        ("http://2130706433/", "not on the public internet"),
        ("http://0x7f.1/", "not on the public internet"),
        ("http://[::1]/", "not on the public internet"),
        ("http://[::ffff:169.254.169.254]/", "not on the public internet"),
        ("http://[64:ff9b::7f00:1]/", "not on the public internet"),
        ("http://localhost/", "not on the public internet"),
        ("http://a..b/", "no server «a..b»: check the address"),
        ("http://" + "a" * 64 + ".test/", "no server «aaaa"),
    ],
    ids=lambda text: repr(text)[:40],
)
def test_an_address_that_is_refused(url: str, sentence: str) -> None:
    with pytest.raises(InvalidPhoto) as error:
        fetch_photo(url)
    assert sentence in str(error.value)
    assert len(str(error.value)) < 200


def test_the_rule_for_addresses_is_on_unless_said_otherwise(server: Server) -> None:
    with pytest.raises(InvalidPhoto, match="not on the public internet"):
        server.fetch(allow=is_public)
    with pytest.raises(InvalidPhoto, match=f"port {server.port}"):
        server.fetch(ports=Policy().ports)
    assert not server.requests


@pytest.mark.parametrize("inside", ["10.0.0.1", "127.0.0.2", "::1", "fd00::1", "169.254.169.254"])
def test_one_address_inside_is_enough_to_refuse_a_name(server: Server, inside: str) -> None:
    resolve = names(photos=["127.0.0.1", inside])
    with pytest.raises(InvalidPhoto, match=r"«photos\.test» is not on the public internet"):
        fetch_photo(server.url(host="photos.test"), server.policy(resolve=resolve))
    assert not server.requests


def test_the_connection_goes_to_the_address_that_was_checked(server: Server) -> None:
    """A name that has another address when it is asked for again is not asked for again."""
    answers = [["127.0.0.1"], ["127.0.0.2"]]
    fetch_photo(
        server.url(host="photos.test"),
        server.policy(resolve=lambda host: names(photos=answers.pop(0))(host)),
    )
    assert answers == [["127.0.0.2"]]
    assert server.requests[0][1]["Host"] == f"photos.test:{server.port}"


def test_of_several_addresses_the_first_that_answers_is_taken(server: Server) -> None:
    allow = lambda address: address.is_loopback  # noqa: E731
    policy = server.policy(resolve=names(photos=["127.0.0.3", "127.0.0.1"]), allow=allow)
    assert fetch_photo(server.url(host="photos.test"), policy).size == (40, 24)


def test_an_international_name_is_asked_for_in_its_ascii_form(server: Server) -> None:
    policy = server.policy(resolve=names(**{"xn--bcher-kva": ["127.0.0.1"]}))
    fetch_photo(server.url(host="Bücher.test", path="/photo"), policy)
    assert server.requests[0][1]["Host"] == f"xn--bcher-kva.test:{server.port}"


@pytest.mark.parametrize("count", range(MAX_REDIRECTS + 1))
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed(server: Server, status: int, count: int) -> None:
    for k in range(count):
        server.answers(f"/{k}", b"", status, Location=f"/{k + 1}", Set_Cookie="a=b")
    server.answers(f"/{count}")
    assert server.fetch("/0").shape == (24, 40, 3)
    assert [path for path, _ in server.requests] == [f"/{k}" for k in range(count + 1)]
    assert not any("Cookie" in headers for _, headers in server.requests)


def test_too_many_redirects(server: Server) -> None:
    server.answers("/loop", b"", 302, Location="/loop")
    with pytest.raises(InvalidPhoto, match="more than 3 times: open it in a browser"):
        server.fetch("/loop")
    assert len(server.requests) == MAX_REDIRECTS + 1


@pytest.mark.parametrize(
    ("location", "sentence"),
    [
        ("http://10.0.0.1/", "«10.0.0.1» is not on the public internet"),
        ("http://169.254.169.254/latest/meta-data", "not on the public internet"),
        ("//[::1]/", "not on the public internet"),
        ("http://2852039166/", "not on the public internet"),
        ("http://127.0.0.1:22/", "port 22"),
        ("https://127.0.0.1/", "port 443"),
        ("file:///etc/passwd", "begin it with https://"),
        ("http://me:secret@127.0.0.1/", "user name"),
        ("http://[::1/", "cannot be read"),
        ("/" + "a" * 5000, "over 4000 characters"),
        ("", "There is no address"),
    ],
    ids=lambda text: text[:40],
)
def test_a_redirect_is_checked_as_an_address_is(
    server: Server, location: str, sentence: str
) -> None:
    server.answers("/away", b"", 302, Location=location)
    with pytest.raises(InvalidPhoto) as error:
        server.fetch("/away")
    assert sentence in str(error.value)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ({"status": 404}, "answers with the error 404: check the address"),
        ({"status": 403}, "error 403"),
        ({"status": 500}, "error 500"),
        ({"status": 206}, "error 206"),
        ({"status": 302}, "error 302"),
        ({"body": b"<html>a gallery</html>"}, "no picture we can read"),
        ({"body": b""}, "no picture we can read"),
        ({"body": PNG[:60]}, "damaged"),
        ({"length": 10_000}, "cannot be fetched from: download"),
        ({"body": gzip.compress(PNG, mtime=0), "Content_Encoding": "gzip"}, "packed: download"),
        (
            {"body": gzip.compress(bytes(10**7), mtime=0), "Content_Encoding": "gzip, gzip"},
            "packed",
        ),
        ({"Content_Encoding": "br"}, "packed"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_an_answer_that_is_no_photo(
    server: Server, answer: dict[str, object], sentence: str
) -> None:
    server.answers("/photo", **answer)
    with pytest.raises(InvalidPhoto) as error:
        server.fetch()
    assert sentence in str(error.value)


def endless(
    handler: BaseHTTPRequestHandler, server: Server, chunk: bytes, head: bytes, pause: float
) -> None:
    """Send `chunk` repeatedly until the client closes the connection, for 30 seconds at most."""
    handler.wfile.write(head)
    end = time.monotonic() + 30
    while time.monotonic() < end:
        handler.wfile.write(chunk)
        server.sent += len(chunk)
        time.sleep(pause)


HEAD = b"HTTP/1.0 200 OK\r\n"


@pytest.mark.parametrize(
    ("head", "chunk"),
    [(HEAD + b"\r\n", b"x"), (HEAD + b"X-Slow: ", b"x"), (HEAD, b"X-Slow: x\r\n"), (b"", b"H")],
    ids=["body", "header", "headers", "status line"],
)
def test_a_drip_does_not_outlast_the_deadline(server: Server, head: bytes, chunk: bytes) -> None:
    server.pages["/drip"] = lambda handler: endless(handler, server, chunk, head, 0.1)
    with pytest.raises(InvalidPhoto, match=r"did not arrive within 0\.7 seconds: download"):
        server.fetch("/drip", seconds=0.7)
    assert server.sent < 30 * len(chunk)


def test_neither_do_redirects_that_are_slow_one_by_one(server: Server) -> None:
    def slow(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(0.4)
        handler.send_response(302)
        handler.send_header("Location", handler.path + "x")
        handler.end_headers()

    server.pages |= {"/" + "x" * k: slow for k in range(5)}
    with pytest.raises(InvalidPhoto, match="did not arrive"):
        server.fetch("/x", seconds=0.7)
    assert 1 <= len(server.requests) <= 2


def test_nor_does_a_resolver(server: Server) -> None:
    hurry, finished = threading.Event(), threading.Event()

    def resolve(_: str) -> tuple[Address, ...]:
        hurry.wait(30)
        finished.set()
        return (ip_address("127.0.0.1"),)

    with pytest.raises(InvalidPhoto, match="did not arrive"):
        fetch_photo(server.url(host="photos.test"), server.policy(resolve=resolve, seconds=0.3))
    assert not finished.is_set()
    hurry.set()
    assert finished.wait(30)
    assert not server.requests


def test_a_server_that_is_not_there(server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(InvalidPhoto, match=r"«127\.0\.0\.1» cannot be fetched from: download"):
        fetch_photo(f"http://127.0.0.1:{port}/", server.policy(ports=frozenset({port})))


def test_a_photo_may_be_as_large_as_the_limit(server: Server) -> None:
    assert server.fetch(max_bytes=len(PNG)).shape == (24, 40, 3)
    with pytest.raises(InvalidPhoto, match="save it smaller"):
        server.fetch(max_bytes=len(PNG) - 1)


def test_an_announced_size_beyond_the_limit_is_not_read(server: Server) -> None:
    server.answers("/photo", length=10**12)
    with pytest.raises(InvalidPhoto, match="over 20 MB: save it smaller"):
        server.fetch()


@pytest.mark.parametrize("coding", [b"", b"Transfer-Encoding: chunked\r\n"], ids=["raw", "chunked"])
def test_a_body_without_end_is_read_up_to_the_limit(server: Server, coding: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\n" + coding + b"\r\n"
    chunk = b"8000\r\n" + bytes(0x8000) + b"\r\n" if coding else bytes(0x8000)
    server.pages["/endless"] = lambda handler: endless(handler, server, chunk, head, 0)
    with pytest.raises(InvalidPhoto, match="over 1 MB"):
        server.fetch("/endless", max_bytes=2**20)
    assert server.sent < 32 * 2**20


def test_proxies_of_the_environment_are_not_used(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert server.fetch().shape == (24, 40, 3)


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl to make a certificate")
def test_https_is_for_the_name_and_not_for_the_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         "/CN=photos.test", "-addext", "subjectAltName=DNS:photos.test",
         "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    asked: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    here = ["127.0.0.1"]
    with serving(context) as server:
        policy = server.policy(resolve=names(photos=here, other=here))

        def fetch(host: str) -> tuple[int, int]:
            return fetch_photo(server.url(host=host, scheme="https"), policy).size

        with pytest.raises(InvalidPhoto, match="cannot be fetched from"):
            fetch("photos.test")  # nobody vouches for the certificate
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert fetch("photos.test") == (40, 24)
        with pytest.raises(InvalidPhoto, match="cannot be fetched from"):
            fetch("other.test")
        assert asked == ["photos.test", "photos.test", "other.test"]
        assert [headers["Host"] for _, headers in server.requests] == [f"photos.test:{server.port}"]
