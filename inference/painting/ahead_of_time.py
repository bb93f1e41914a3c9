"""Compiles denoising steps ahead of time (AOTInductor), for processes too short-lived to compile.

A package is a compiled step for one kind of inputs (see `step_compiler`) at any size. It holds no
weights: every checkpoint of the same architecture can run it with its own weights.
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

from inference.painting.denoiser import Denoiser, DenoiserInputs
from inference.painting.step_compiler import differs
from inference.runtime.library_errors import LIBRARY_ERRORS

log = logging.getLogger(__name__)

# Weights stay out of the package, and nothing is computed from them beforehand.
INDUCTOR: Mapping[str, Any] = {
    "aot_inductor.package_constants_in_so": False,
    "always_keep_tensor_constants": True,
    "joint_graph_constant_folding": False,
}


class AheadOfTimeCompiler:
    """A `RunDenoiser` that uses compiled packages where available. Not thread-safe.

    Args:
        folder: where packages are stored between processes; code is loaded from it.
        options: further options of Inductor, merged over `INDUCTOR`.
    """

    def __init__(
        self, folder: Path | None = None, options: Mapping[str, Any] | None = None
    ) -> None:
        self._folder = folder or _cache_folder()
        self._options = {**INDUCTOR, **(options or {})}
        self._packages: dict[str, _Package | None] = {}
        self._compiles = False

    def __call__(
        self,
        denoiser: Denoiser,
        noisy: torch.Tensor,
        time: torch.Tensor,
        cfg_scale: torch.Tensor | None,
        inputs: DenoiserInputs,
    ) -> torch.Tensor:
        """Run a step with its package, or uncompiled if there is none."""
        arguments = noisy, time, cfg_scale, inputs
        # An IP-Adapter's scale changes from step to step and would be a constant of the graph.
        package = None if inputs.image_embeds else self._package(denoiser, arguments)
        if package is not None:
            return package.run(denoiser, arguments)
        output: torch.Tensor = denoiser(*arguments)
        return output

    @property
    def ready(self) -> int:
        """Number of kinds of steps that run compiled."""
        return sum(package is not None for package in self._packages.values())

    @contextmanager
    def compiling(self) -> Iterator[None]:
        """Context in which a step without a package is compiled first, which takes minutes.

        Use latents of odd height and width: the compiled step then takes even ones too.
        """
        self._compiles = True
        try:
            yield
        finally:
            self._compiles = False

    def _package(self, denoiser: Denoiser, arguments: tuple[Any, ...]) -> _Package | None:
        kind = _kind(denoiser, arguments)
        path = self._folder / f"{kind}.pt2"
        if kind not in self._packages and (self._compiles or path.is_file()):
            try:
                self._packages[kind] = self._load(denoiser, arguments, path)
            except (*LIBRARY_ERRORS, ImportError, SubprocessError) as error:
                log.warning("a step runs uncompiled, because compiling failed: %s", error)
                self._packages[kind] = None
        return self._packages.get(kind)

    @torch.inference_mode(False)
    @torch.no_grad()
    def _load(self, denoiser: Denoiser, arguments: tuple[Any, ...], path: Path) -> _Package | None:
        """Load a package; a missing one is compiled and checked first."""
        is_new = not path.is_file()
        if is_new:
            self._compile(denoiser, arguments, path)
        package = _Package(path)
        if is_new and differs(package.run(denoiser, arguments), denoiser(*arguments)):
            path.unlink()
            return None
        return package

    def _compile(self, denoiser: Denoiser, arguments: tuple[Any, ...], path: Path) -> None:
        flat = _FlatDenoiser(denoiser, arguments)
        tensors = tuple(one.clone() for one in _tensors(arguments))
        any_size = dict.fromkeys((2, 3), torch.export.Dim.AUTO)
        sizes = tuple(any_size if one.dim() == 4 else None for one in tensors)
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


class _FlatDenoiser(nn.Module):
    """A denoiser whose arguments are tensors only; all other arguments are constants in it."""

    def __init__(self, denoiser: Denoiser, arguments: tuple[Any, ...]) -> None:
        super().__init__()
        self.denoiser = denoiser
        leaves, self._form = tree_flatten(arguments)
        self._fixed = [(False, None) if torch.is_tensor(one) else (True, one) for one in leaves]

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        rest = iter(tensors)
        leaves = [value if is_fixed else next(rest) for is_fixed, value in self._fixed]
        output: torch.Tensor = self.denoiser(*tree_unflatten(leaves, self._form))
        return output


class _Package:
    """A loaded package, and the denoiser whose weights it has at present."""

    def __init__(self, path: Path) -> None:
        before = _libraries()
        self._package = torch._inductor.aoti_load_package(str(path))
        # …/data/aotinductor/model/x.so lies in a temporary folder of its own.
        self._unpacked = [library.parents[4] for library in _libraries() - before]
        self._denoiser: weakref.ref[Denoiser] | None = None
        self._place = 0

    def run(self, denoiser: Denoiser, arguments: tuple[Any, ...]) -> torch.Tensor:
        """Run the package with this denoiser's weights, which are set first if they differ."""
        place = next(denoiser.parameters()).data_ptr()
        if self._denoiser is None or self._denoiser() is not denoiser or self._place != place:
            weights = {f"denoiser.{name}": one for name, one in _weights(denoiser).items()}
            names = self._package.get_constant_fqns()
            self._package.load_constants(
                {name: weights[name] for name in names}, check_full_update=True, user_managed=True
            )
            self._denoiser, self._place = weakref.ref(denoiser), place
        output: torch.Tensor = self._package(*_tensors(arguments))
        while self._unpacked:  # all of it is loaded now, and torch does not delete it
            shutil.rmtree(self._unpacked.pop(), ignore_errors=True)
        return output


def _tensors(arguments: tuple[Any, ...]) -> tuple[torch.Tensor, ...]:
    return tuple(one for one in tree_flatten(arguments)[0] if torch.is_tensor(one))


def _weights(denoiser: Denoiser) -> dict[str, torch.Tensor]:
    return {**dict(denoiser.named_parameters()), **dict(denoiser.named_buffers())}


def _kind(denoiser: Denoiser, arguments: tuple[Any, ...]) -> str:
    """Hash of all that a package depends on: everything but the size and the weights' values."""
    leaves, form = tree_flatten(arguments)
    shapes = [
        (one.shape[:2] if one.dim() == 4 else one.shape, one.dtype) if torch.is_tensor(one) else one
        for one in leaves
    ]
    device = arguments[0].device
    place = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    weights = [(name, one.shape, one.dtype) for name, one in _weights(denoiser).items()]
    versions = torch.__version__, INDUCTOR
    kind = repr((versions, place, denoiser.lora_key, form, shapes, weights))
    return hashlib.blake2b(kind.encode(), digest_size=16).hexdigest()


def _libraries() -> set[Path]:
    """The shared libraries of packages in this process, from /proc on systems that have it."""
    maps = Path("/proc/self/maps")
    lines = maps.read_text(encoding="utf-8").splitlines() if maps.exists() else []
    paths = (Path(line.split(maxsplit=5)[-1]) for line in lines)
    return {path for path in paths if path.suffix == ".so" and "aotinductor" in path.parts}


def _cache_folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "masquerade" / "steps"
