"""The machine that this process runs on: whether it is a ZeroGPU Space."""

from __future__ import annotations

import os


def is_zero_gpu() -> bool:
    """Whether this is a ZeroGPU Space, which lends its GPU to one call at a time."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")
