"""Pickled weights (`.bin`), read without running code and written as safetensors.

`torch.load(weights_only=True)` builds tensors and plain containers, and refuses every other name
that a pickle can call. What it returns is checked again here before it is kept.
"""

from __future__ import annotations

import os
import pickle
import secrets
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from inference.errors import DamagedDownload, ModelUnavailable

if TYPE_CHECKING:
    from torch import Tensor

# Views of one storage are written once each, so that a file can grow, but not without bounds.
_MOST_GROWTH = 2
_ROOM_FOR_SMALL_FILES = 1 << 20
# An IP-Adapter has its weights in dictionaries within a dictionary.
_MOST_NESTED = 2
# What torch raises for a file that is damaged.
_DAMAGE = (
    RuntimeError, EOFError, OSError, ValueError, TypeError, LookupError, AttributeError,
    AssertionError, ArithmeticError, zipfile.BadZipFile,
)  # fmt: skip


def convert(source: Path, target: Path, name: str) -> None:
    """Write the weights in a pickle as safetensors; `target` is replaced as a whole.

    Args:
        source: the pickle.
        target: where they are kept.
        name: name of the pickle and of its repository, for messages.

    Raises:
        ModelUnavailable: the pickle holds something else than weights, or `target` cannot be
            written.
        DamagedDownload: it is truncated or not a pickle of torch.
    """
    weights = _read(source, name)
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    # A name of its own, because another process may convert the same file.
    part = target.with_name(f"{target.name}.{secrets.token_hex(4)}.part")
    try:
        save_file(weights, part, metadata={"format": "pt"})
        os.replace(part, target)
    except (OSError, SafetensorError) as error:
        raise ModelUnavailable(
            f"{name} cannot be kept as safetensors: make room in {target.parent} and allow "
            "writing there."
        ) from error
    finally:
        part.unlink(missing_ok=True)


def is_whole(file: Path) -> bool:
    """Whether a safetensors file is there and as long as its header says."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy"):
            return True
    except (OSError, SafetensorError):
        return False


def _read(source: Path, name: str) -> dict[str, Tensor]:
    import torch

    if not _is_stored(source):
        raise _refused(name)
    try:
        held = torch.load(
            source, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(source)
        )
    except pickle.UnpicklingError as error:
        raise _refused(name) from error
    except _DAMAGE as error:
        raise DamagedDownload(
            f"{name} is damaged: delete it from the model cache, or choose another style."
        ) from error
    weights = dict(_flat(held, name))
    size = sum(one.numel() * one.element_size() for one in weights.values())
    if not weights or size > _MOST_GROWTH * source.stat().st_size + _ROOM_FOR_SMALL_FILES:
        raise _refused(name)
    return dict(_apart(weights))


def _apart(weights: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """The weights, with a copy where two share a storage, which safetensors does not keep."""
    seen = set()
    for key, one in weights.items():
        storage = one.untyped_storage().data_ptr()
        yield (
            key,
            one.detach().contiguous().clone() if storage in seen else one.detach().contiguous(),
        )
        seen.add(storage)


def _is_stored(source: Path) -> bool:
    """Whether nothing in it is compressed; torch does not compress, and a bomb would."""
    if not zipfile.is_zipfile(source):
        return True
    try:
        with zipfile.ZipFile(source) as archive:
            return all(one.compress_type == zipfile.ZIP_STORED for one in archive.infolist())
    except (zipfile.BadZipFile, ValueError, OSError):
        return True  # torch says what is wrong with it


def _flat(
    held: object, name: str, prefix: str = "", within: int = 0
) -> Iterator[tuple[str, Tensor]]:
    """The tensors of nested dictionaries, by their keys joined with dots."""
    import torch

    # A pickle can put a dictionary into itself.
    if isinstance(held, Mapping) and within < _MOST_NESTED:
        for key, value in held.items():
            if not isinstance(key, str):
                raise _refused(name)
            yield from _flat(value, name, f"{prefix}.{key}" if prefix else key, within + 1)
    elif isinstance(held, torch.Tensor) and prefix and _is_plain(held):
        yield prefix, held
    else:
        raise _refused(name)


def _is_plain(tensor: Tensor) -> bool:
    """Whether it is dense, on the CPU, and of numbers that safetensors and models have."""
    import torch

    return (
        tensor.layout is torch.strided
        and tensor.device.type == "cpu"
        and not tensor.is_quantized
        and not tensor.is_complex()
    )


def _refused(name: str) -> ModelUnavailable:
    return ModelUnavailable(
        f"{name} was refused, because it holds something else than weights and could run code: "
        "choose another style, or name a repository with safetensors in the catalog."
    )
