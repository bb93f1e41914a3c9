"""A real PostgreSQL server of the tests, from the system's own binaries, in a temporary folder."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

USER, PASSWORD = "masquerade", "s3cret:word"
START_SECONDS = 30


class PostgresqlServer:
    """A server on a Unix socket, which is started, stopped and killed at will.

    Args:
        binaries: the folder of `initdb` and `postgres`.
        folder: an empty folder for its data and its socket.
    """

    def __init__(self, binaries: Path, folder: Path) -> None:
        self._binaries, self.folder = binaries, folder
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "password").write_text(PASSWORD)
        self._as = []
        if os.name != "nt" and os.geteuid() == 0:  # it refuses to run as root
            self._as = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
            for path in (folder, folder / "password"):
                shutil.chown(path, "postgres", "postgres")
        self._run(
            "initdb", "-D", str(folder / "data"), "-U", USER, "--auth=scram-sha-256",
            "--encoding=UTF8", "--locale=C", "--no-sync", f"--pwfile={folder / 'password'}",
        )  # fmt: skip

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = {
            "listen_addresses": "", "unix_socket_directories": str(self.folder), "fsync": "off",
            "shared_buffers": "16MB", "max_connections": "60",
        }  # fmt: skip
        command = [str(self._binaries / "postgres"), "-D", str(self.folder / "data")]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([*self._as, *command], stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(self.address("postgres")).close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def stop(self) -> None:
        """Stop it as a crash does: every connection breaks off."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT if os.name != "nt" else signal.SIGTERM)
            self._process.wait(START_SECONDS)
            self._process = None

    def address(self, name: str, user: str = f"{USER}:s3cret%3Aword") -> str:
        """The address of a database."""
        return f"postgresql://{user}@/{name}?host={self.folder}"

    def create(self) -> str:
        """Empty the one database for tests, and return its address."""
        with psycopg.connect(self.address("postgres"), autocommit=True) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = 'library'")
            if known.fetchone() is None:
                connection.execute("CREATE DATABASE library")
        with psycopg.connect(self.address("library"), autocommit=True) as connection:
            connection.execute("SET client_min_messages = warning")
            connection.execute("DROP SCHEMA IF EXISTS masquerade CASCADE")
        return self.address("library")

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._as, str(self._binaries / program), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def binaries() -> Path | None:
    """Where the newest `initdb` and `postgres` are; Debian has them in no path."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return installed[-1].parent if installed else None


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    """The server of this test process; a test that stops it starts it again."""
    found = binaries()
    if found is None:
        message = "no PostgreSQL on this machine: install Debian's package postgresql"
        if "CI" in os.environ:
            pytest.fail(message)
        pytest.skip(message)
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    server = PostgresqlServer(found, folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
