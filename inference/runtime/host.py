"""Detects whether this process runs in a Hugging Face ZeroGPU Space."""

from __future__ import annotations

import os


def is_zero_gpu() -> bool:
    """Whether this is a ZeroGPU Space, which allocates its GPU per call."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")
