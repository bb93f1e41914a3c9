"""Fixtures of the library's tests."""

from tests.support.library_jobs import place  # noqa: F401 - a fixture
