"""Denoising steps that are compiled ahead of time, for processes that end too soon to compile.

A package, made by AOTInductor, is a step for one kind of inputs (see `compiler`) at any size. It
holds no weights, so every checkpoint of the same shape is run by it, on the weights that it has.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from subprocess import SubprocessError
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from inference.compiler import is_off
from inference.denoiser import Conditions, Denoiser
from inference.faults import FAULTS

log = logging.getLogger(__name__)

# Weights stay out of the package, and nothing is computed from them beforehand.
INDUCTOR: Mapping[str, Any] = {
    "aot_inductor.package_constants_in_so": False,
    "always_keep_tensor_constants": True,
    "joint_graph_constant_folding": False,
}


class Ahead:
    """Runs denoisers, by a package where there is one; see `denoiser.Run`. Not thread-safe.

    Args:
        folder: of the packages, which outlive the process. Code is loaded from it.
        options: of Inductor, more than `INDUCTOR`.
    """

    def __init__(
        self, folder: Path | None = None, options: Mapping[str, Any] | None = None
    ) -> None:
        self._folder = folder or _own_folder()
        self._options = {**INDUCTOR, **(options or {})}
        self._steps: dict[str, _Step | None] = {}
        self._makes = False

    def __call__(
        self,
        denoiser: Denoiser,
        noisy: torch.Tensor,
        time: torch.Tensor,
        cfg_scale: torch.Tensor | None,
        given: Conditions,
    ) -> torch.Tensor:
        """Run a step, compiled if that was done before."""
        inputs = noisy, time, cfg_scale, given
        # An adapter's scale changes from step to step and is a part of what would be compiled.
        step = None if given.seen else self._step(denoiser, inputs)
        output: torch.Tensor = denoiser(*inputs) if step is None else step.run(denoiser, inputs)
        return output

    @property
    def ready(self) -> int:
        """How many kinds of steps run compiled."""
        return sum(step is not None for step in self._steps.values())

    @contextmanager
    def making(self) -> Iterator[None]:
        """Inside, a step that has no package gets one first, which takes minutes.

        The height and width of its latents are best odd: such a step takes even ones too.
        """
        self._makes = True
        try:
            yield
        finally:
            self._makes = False

    def _step(self, denoiser: Denoiser, inputs: tuple[Any, ...]) -> _Step | None:
        kind = _kind(denoiser, inputs)
        path = self._folder / f"{kind}.pt2"
        if kind not in self._steps and (self._makes or path.is_file()):
            try:
                self._steps[kind] = self._had(denoiser, inputs, path)
            except (*FAULTS, ImportError, SubprocessError) as error:
                log.warning("a step runs as it is, for it cannot be compiled: %s", error)
                self._steps[kind] = None
        return self._steps.get(kind)

    @torch.inference_mode(False)
    @torch.no_grad()
    def _had(self, denoiser: Denoiser, inputs: tuple[Any, ...], path: Path) -> _Step | None:
        """The step of a package, which is made and compared with the plain step if need be."""
        made = not path.is_file()
        if made:
            self._make(denoiser, inputs, path)
        step = _Step(path)
        if made and is_off(step.run(denoiser, inputs), denoiser(*inputs)):
            path.unlink()
            return None
        return step

    def _make(self, denoiser: Denoiser, inputs: tuple[Any, ...], path: Path) -> None:
        flat = _Flat(denoiser, inputs)
        tensors = tuple(one.clone() for one in _tensors(inputs))
        either = dict.fromkeys((2, 3), torch.export.Dim.AUTO)
        sizes = tuple(either if one.dim() == 4 else None for one in tensors)
        program = torch.export.export(flat, tensors, dynamic_shapes=(sizes,), strict=False)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = path.with_name(f".{os.getpid()}-{path.name}")
        try:
            torch._inductor.aoti_compile_and_package(
                program, package_path=str(part), inductor_configs=self._options
            )
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        log.info("a step is compiled ahead of time")


class _Flat(nn.Module):
    """A denoiser that takes nothing but tensors; what else it is given is a part of it."""

    def __init__(self, denoiser: Denoiser, inputs: tuple[Any, ...]) -> None:
        super().__init__()
        self.denoiser = denoiser
        leaves, self._form = tree_flatten(inputs)
        self._fixed = [(False, None) if torch.is_tensor(one) else (True, one) for one in leaves]

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        rest = iter(tensors)
        leaves = [value if is_fixed else next(rest) for is_fixed, value in self._fixed]
        output: torch.Tensor = self.denoiser(*tree_unflatten(leaves, self._form))
        return output


class _Step:
    """A package, and the weights that it runs on now."""

    def __init__(self, path: Path) -> None:
        before = _libraries()
        self._package = torch._inductor.aoti_load_package(str(path))
        # …/data/aotinductor/model/x.so lies in a temporary folder of its own.
        self._unpacked = [library.parents[4] for library in _libraries() - before]
        self._denoiser: weakref.ref[Denoiser] | None = None
        self._place = 0

    def run(self, denoiser: Denoiser, inputs: tuple[Any, ...]) -> torch.Tensor:
        """Run it on this denoiser's weights."""
        place = next(denoiser.parameters()).data_ptr()
        if self._denoiser is None or self._denoiser() is not denoiser or self._place != place:
            weights = {f"denoiser.{name}": one for name, one in _weights(denoiser).items()}
            names = self._package.get_constant_fqns()
            self._package.load_constants(
                {name: weights[name] for name in names}, check_full_update=True, user_managed=True
            )
            self._denoiser, self._place = weakref.ref(denoiser), place
        output: torch.Tensor = self._package(*_tensors(inputs))
        while self._unpacked:  # all of it is loaded now, and nobody else would take it away
            shutil.rmtree(self._unpacked.pop(), ignore_errors=True)
        return output


def _tensors(inputs: tuple[Any, ...]) -> tuple[torch.Tensor, ...]:
    return tuple(one for one in tree_flatten(inputs)[0] if torch.is_tensor(one))


def _weights(denoiser: Denoiser) -> dict[str, torch.Tensor]:
    return {**dict(denoiser.named_parameters()), **dict(denoiser.named_buffers())}


def _kind(denoiser: Denoiser, inputs: tuple[Any, ...]) -> str:
    """What a package is made for: everything but the weights' values and the size."""
    leaves, form = tree_flatten(inputs)
    shapes = [
        (one.shape[:2] if one.dim() == 4 else one.shape, one.dtype) if torch.is_tensor(one) else one
        for one in leaves
    ]
    device = inputs[0].device
    place = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    weights = [(name, one.shape, one.dtype) for name, one in _weights(denoiser).items()]
    versions = torch.__version__, INDUCTOR
    kind = repr((versions, place, denoiser.dress, form, shapes, weights))
    return hashlib.blake2b(kind.encode(), digest_size=16).hexdigest()


def _libraries() -> set[Path]:
    """The files of packages that this process has loaded, where the system tells."""
    maps = Path("/proc/self/maps")
    lines = maps.read_text(encoding="utf-8").splitlines() if maps.exists() else []
    paths = (Path(line.split(maxsplit=5)[-1]) for line in lines)
    return {path for path in paths if path.suffix == ".so" and "aotinductor" in path.parts}


def _own_folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "masquerade" / "steps"
