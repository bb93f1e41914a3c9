"""Fixture with MediaPipe's small models: the only real download of the tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from filelock import FileLock

from inference.catalog import hub
from inference.catalog.catalog import Catalog
from inference.errors import HubUnreachable

PATIENCE_SECONDS = 600


@pytest.fixture(scope="session")
def photo_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the built-in catalog's models for photographs, downloaded once for a test run.

    Without a package index, its tests are skipped; with `CI` set they fail.
    """
    photo = Catalog.load().family("pack").photo
    assert photo is not None
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent  # of all workers of this run
    with (
        pytest.MonkeyPatch.context() as patch,
        FileLock(shared / "photo-models.lock", timeout=PATIENCE_SECONDS),
    ):
        patch.setenv("HF_HUB_CACHE", str(shared / "photo-models"))
        try:
            return hub.fetch(photo.detectors)
        except HubUnreachable as error:
            if "CI" in os.environ:
                pytest.fail(str(error))
            pytest.skip(str(error))
