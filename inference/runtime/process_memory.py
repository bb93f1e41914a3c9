"""Memory of this machine and of this process: total, available, and the peak of a stretch."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psutil
import torch

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def machine_memory() -> tuple[int, int]:
    """Bytes of main memory: in all, and available."""
    memory = psutil.virtual_memory()
    return memory.total, memory.available


def gpu_memory() -> tuple[int, int] | None:
    """Bytes of memory of the CUDA card: in all, and free; None without a card."""
    if not torch.cuda.is_available():
        return None
    free, total = torch.cuda.mem_get_info()
    return total, free


def start_peak() -> None:
    """Begin a stretch whose peak is measured; only Linux and CUDA can forget an earlier one."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    if sys.platform == "linux" and os.access(_CLEAR, os.W_OK):
        _CLEAR.write_text("5")  # resets VmHWM; see proc(5)


def peak() -> int:
    """Bytes of main memory that the process used at most since `start_peak`, or since it began."""
    if sys.platform == "linux":
        line = next(one for one in _STATUS.read_text().splitlines() if one.startswith("VmHWM"))
        return int(line.split()[1]) << 10
    usage = psutil.Process().memory_info()
    return int(getattr(usage, "peak_wset", usage.rss))


def gpu_peak() -> int:
    """Bytes of tensors on the CUDA card at most since `start_peak`; 0 without a card."""
    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
