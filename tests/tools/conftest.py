"""Fixtures of the training's tests."""

from __future__ import annotations

from tests.support.tiny_training import tiny, trained, trained_once  # noqa: F401 - fixtures
