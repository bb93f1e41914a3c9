"""What the measurements on a GPU share: device, models, cases, clock and time limit."""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from inference.painting.inpainting import InpaintInput, InpaintOutput
from inference.painting.painter import Painter
from inference.painting.step_compiler import StepCompiler
from inference.picture.photo import Pixels
from inference.recipe.recipe import Recipe
from inference.runtime.device import Device
from tools.speed import floor
from tools.speed.painting import Stopwatch
from tools.speed.rivals import Case, Rivals

# A step is compiled if so many times the seconds of the slowest one so far are left.
HASTE = 1.2


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How to measure.

    Attributes:
        device: "cuda" or "cpu".
        tiny: small models, pictures and few steps, to try the tool itself.
        kinds: how many kinds of denoising steps may be compiled; 0 compiles none.
    """

    device: str = "cuda"
    tiny: bool = False
    kinds: int = 99


class Overdue(RuntimeError):
    """A step is still being compiled when its part has to end."""


class Lab:
    """One process's models and cases; models are made when they are first used.

    Attributes:
        deadline: when the present part has to end, by `time.monotonic`.
        compiled: the cases whose steps run compiled.
    """

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.device = Device.cpu() if setting.device == "cpu" else Device.probe()
        self.torch_device = self.device.torch_device
        if setting.tiny:
            torch.set_num_threads(1)  # more wait for each other where other work runs
        self.side, self.steps = (64, 2) if setting.tiny else (512, 30)
        self.watch = Stopwatch(self.torch_device, 1 if setting.tiny else 5)
        self.deadline = float("inf")
        self.compiled: set[Case] = set()
        self._longest = 0.0  # seconds of compiling so far
        self._folder = tempfile.TemporaryDirectory()
        self.folder = Path(self._folder.name)

    @cached_property
    def rivals(self) -> Rivals:
        """The stock pipeline and ours."""
        # Inductor takes minutes on a CPU; a backend that compiles nothing tries the same paths.
        backend = "inductor" if self.torch_device.type == "cuda" else "eager"
        return Rivals(
            self.torch_device,
            self.device.dtype,
            small=self.setting.tiny,
            compiler=StepCompiler(backend) if self.setting.kinds else None,
            layout=self.device.layout,
        )

    @cached_property
    def floor(self) -> floor.Floor:
        """The device's measured rates."""
        small = self.torch_device.type != "cuda"
        return floor.measure(self.torch_device, self.device.dtype, self.watch.now, small=small)

    @property
    def cases(self) -> list[Case]:
        """The cases that are painted beside the stock pipeline."""
        tall = self.side * 5 // 4
        if self.setting.tiny:
            return [self.case(), self.case(height=tall, images=2)]
        return [self.case(height=height, images=n) for height in (self.side, tall) for n in (1, 4)]

    def case(self, *, height: int | None = None, images: int = 1) -> Case:
        """A case of the lab's width and number of steps."""
        return Case(size=(self.side, height or self.side), images=images, steps=self.steps)

    def compile(self, case: Case, *, reserve: float = 0.0) -> bool:
        """Compile a case's step if that is likely to end in time; returns whether it runs compiled.

        Args:
            case: the case.
            reserve: seconds of the part that its measurements need afterwards.

        Raises:
            Overdue: it did not end in time.
        """
        compiler, began = self.rivals.compiler, time.monotonic()
        left = self.deadline - began - reserve
        if case in self.compiled:
            return True
        if compiler is None or len(self.compiled) >= self.setting.kinds:
            return False
        if left < HASTE * self._longest:
            return False
        before = compiler.ready
        self.rivals.paint_ours(case)
        while compiler.busy:
            if time.monotonic() > self.deadline:
                raise Overdue("a step was still being compiled at the end of this part")
            time.sleep(0.05)
        self._longest = max(self._longest, time.monotonic() - began)
        if compiler.ready > before:
            self.compiled.add(case)
        return case in self.compiled

    def seconds(self, work: Callable[[], object]) -> float:
        """Seconds of one run, with all that it starts on the device."""
        floor.finish(self.torch_device)
        started = time.perf_counter()
        work()
        floor.finish(self.torch_device)
        return time.perf_counter() - started

    def paint(self, painter: Painter, patch: InpaintInput, recipe: Recipe) -> tuple[Pixels, ...]:
        """Paint with a painter, whatever its caches hold."""
        *_, last = painter.paint(patch, recipe)
        assert isinstance(last, InpaintOutput)
        return last.pictures

    def clean(self) -> None:
        """Free what nothing refers to any more."""
        gc.collect()
        if self.torch_device.type == "cuda":
            torch.cuda.empty_cache()

    def allocated(self) -> float:
        """Memory of the tensors on the GPU, in MiB; NaN without one."""
        if self.torch_device.type != "cuda":
            return float("nan")
        return torch.cuda.memory_allocated(self.torch_device) / 2**20
