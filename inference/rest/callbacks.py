"""Callbacks: tells the address of a prompt that it has ended; signed, and repeated with backoff."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from inference.errors import InvalidPhoto, NotStored
from inference.library.library import Library
from inference.library.records import Callback, StoredJob
from inference.picture.checked_network import FAILURES, Deadline, Policy, parsed, sent

log = logging.getLogger(__name__)

SIGNATURE = b"Masquerade-Signature"
# Seconds from a failed attempt to the next one; after the last one a callback is given up.
DELAYS = (10.0, 30.0, 120.0, 600.0, 3600.0, 21_600.0)
SENDERS = 4
PAUSE = 5.0
PORTS = frozenset(range(1, 65536))
GIVEN_UP = "The callback was not taken in {} attempts, so it was given up."


@dataclass(frozen=True, kw_only=True)
class CallbackRules:
    """Where callbacks may go.

    Attributes:
        hosts: the only hosts, as `name` or `name:port`; they may have any IP address. With none,
            every host of the public internet on port 80 or 443.
        policy: for hosts of the public internet.
        delays: seconds from a failed attempt to the next one.
    """

    hosts: tuple[str, ...] = ()
    policy: Policy = field(default_factory=Policy)
    delays: tuple[float, ...] = DELAYS

    def policy_for(self, url: str) -> Policy:
        """The policy for an address.

        Raises:
            InvalidPhoto: it is no address, or its host is not allowed.
        """
        place = parsed(url)
        if not self.hosts:
            return self.policy
        host = place.host.lower()
        if host in self.hosts or f"{host}:{place.port}" in self.hosts:
            return replace(self.policy, ports=PORTS, allow=lambda _: True)
        raise InvalidPhoto(
            "Callbacks to this host are not allowed: start the server with --callback-host for it."
        )


class Callbacks:
    """Delivers due callbacks in the background, at least once each.

    Args:
        library: has the callbacks.
        rules: where they may go.
        object_of: the JSON object of a job.
    """

    def __init__(
        self, library: Library, rules: CallbackRules, object_of: Callable[[StoredJob], Any]
    ) -> None:
        self._library, self._rules, self._object_of = library, rules, object_of
        self._stopping, self._woken = threading.Event(), threading.Event()
        self._underway: set[int] = set()
        self._lock = threading.Lock()
        self._senders = ThreadPoolExecutor(SENDERS, thread_name_prefix="callback")
        self._thread = threading.Thread(target=self._work, name="callbacks", daemon=True)

    def start(self) -> None:
        """Start delivering."""
        self._thread.start()

    def stop(self) -> None:
        """End; what is not delivered stays due."""
        self._stopping.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join()
        self._senders.shutdown(cancel_futures=True)

    def wake(self) -> None:
        """Look for due callbacks now, because a job has ended."""
        self._woken.set()

    def _work(self) -> None:
        while not self._stopping.is_set():
            self._woken.clear()
            try:
                due = self._library.due_callbacks()
            except NotStored as error:
                log.warning("callbacks: %s", error)
                due = []
            for one in due:
                with self._lock:
                    is_new = one.job not in self._underway
                    self._underway.add(one.job)
                if is_new:
                    self._senders.submit(self._deliver, one)
            self._woken.wait(PAUSE)

    def _deliver(self, callback: Callback) -> None:
        try:
            job = self._library.find(callback.job)
            if job is not None:
                self._store(callback, self._send(callback.url, job))
        except NotStored as error:
            log.warning("callbacks: %s", error)
        finally:
            with self._lock:
                self._underway.discard(callback.job)

    def _store(self, callback: Callback, is_taken: bool) -> None:
        delays = self._rules.delays
        if is_taken:
            self._library.drop_callback(callback.job)
        elif callback.attempts < len(delays):
            self._library.postpone_callback(callback.job, delays[callback.attempts])
        else:
            note = GIVEN_UP.format(callback.attempts + 1)
            self._library.drop_callback(callback.job, note)

    def _send(self, url: str, job: StoredJob) -> bool:
        """Send a prompt object; whether the answer is a success."""
        body = json.dumps(self._object_of(job)).encode()
        headers = [
            (b"Content-Type", b"application/json"),
            (b"Content-Length", str(len(body)).encode()),
            (b"User-Agent", b"Masquerade"),
            (b"Connection", b"close"),
            (SIGNATURE, signature(str(job.request.get("signer", "")), body, int(time.time()))),
        ]
        try:
            policy = self._rules.policy_for(url)
            deadline = Deadline(policy.seconds)
            with sent("POST", parsed(url), policy, deadline, headers, body) as answer:
                return 200 <= answer.status < 300
        except (InvalidPhoto, *FAILURES):
            return False


def signature(key: str, body: bytes, now: int) -> bytes:
    """The value of the signature's header: a time, and an HMAC-SHA-256 of it with the body.

    Args:
        key: the SHA-256 of the token that made the prompt, in hexadecimal digits.
        body: what is sent.
        now: seconds since 1970.
    """
    code = hmac.new(key.encode(), f"{now}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={now},v1={code}".encode()
