"""Shared parts of the training stages: options, resumable loop with averaged weights, sheets."""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from tools.training.device import lend

M = TypeVar("M", bound=nn.Module)

SQUARE = (384, 384)  # the sizes that the painter works at, (width, height)
TALL = (384, 480)
SAVE_SECONDS = 120
JPEG_QUALITY = 85


@dataclass(frozen=True, kw_only=True)
class Job:
    """Options of a training stage.

    Attributes:
        minutes: duration of the training.
        threads: of the processor.
        work: folder of checkpoints and sheets.
        out: folder of the pack.
        device: such as cuda.
        further: whether `minutes` come on top of those that a checkpoint was trained for.
    """

    minutes: float
    threads: int
    work: Path
    out: Path
    device: str = "cpu"
    further: bool = False


class Trainer(Generic[M]):
    """A training loop bounded by wall-clock time that can be stopped and started again.

    The learning rate warms up over the first 100 steps of each run, then follows a half cosine
    of the *time* spent, down to 6 %; so `minutes` may be raised later and training simply goes
    on. An exponential moving average of the weights is kept beside the trained ones and is what
    gets exported.

    Attributes:
        report_seconds: between two reports.
    """

    report_seconds = 300.0

    def __init__(
        self, job: Job, name: str, model: M, lr: float, decay: float = 0.999, half: bool = False
    ) -> None:
        """Set up `model`, resuming from `job.work/name.pt` where that exists.

        With `half`, matrix products are computed in bfloat16.
        """
        torch.set_num_threads(job.threads)
        cv2.setNumThreads(1)
        self.job, self.name, self.model, self.half = job, name, model, half
        self.lr, self.decay = lr, decay
        self.average = copy.deepcopy(model).eval().requires_grad_(False)
        for one in (self.model, self.average):
            self._place(one)
        self.optimizer = self._optimizer([p for p in model.parameters() if p.requires_grad])
        self.step, self.seconds = 0, 0.0
        self.path = job.work / f"{name}.pt"
        if self.path.exists():
            self._resume()
        self.first = self.step
        self.minutes = job.minutes + (self.seconds / 60 if job.further else 0.0)

    def _place(self, model: nn.Module) -> None:
        """Move a model to the job's device; its callers stay on the CPU."""
        lend(model, torch.device(self.job.device))

    def _optimizer(self, weights: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.AdamW(weights, lr=self.lr, betas=(0.9, 0.99), weight_decay=0.01)

    def _resume(self) -> None:
        state = torch.load(self.path, map_location="cpu", weights_only=True)
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        if "optimizer" in state:  # none where `restore` wrote the checkpoint
            self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds = state["step"], state["seconds"]

    def save(self) -> None:
        """Write the checkpoint atomically."""
        state = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }
        partial = self.path.with_suffix(".part")
        torch.save(state, partial)
        os.replace(partial, self.path)

    @property
    def progress(self) -> float:
        """The elapsed share of the time, in 0-1."""
        return min(1.0, self.seconds / (60 * self.minutes))

    def _update(self, loss: Tensor) -> None:
        warm = min(1.0, (self.step - self.first + 1) / 100)
        cosine = 0.06 + 0.94 * 0.5 * (1 + math.cos(math.pi * self.progress))
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * warm * cosine
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        decay = min(self.decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            pairs = zip(self.average.parameters(), self.model.parameters(), strict=True)
            for average, trained in pairs:
                average.lerp_(trained, 1 - decay)
            for kept, counted in zip(self.average.buffers(), self.model.buffers(), strict=True):
                kept.copy_(counted)  # such as the statistics of normalizations
        self.step += 1

    def run(self, loss_of: Callable[[], Tensor], report: Callable[[], None]) -> None:
        """Train until the time is over; `report` is called from time to time."""
        last_report = last_save = time.monotonic()
        running = 0.0
        while self.progress < 1:
            start = time.monotonic()
            self.model.train()
            with swift(torch.device(self.job.device)) if self.half else nullcontext():
                loss = loss_of()
            self._update(loss)
            running = 0.97 * running + 0.03 * loss.item()
            now = time.monotonic()
            self.seconds += now - start
            if self.step % 50 == 0:
                level = running / (1 - 0.97 ** min(self.step - self.first, 500))
                print(
                    f"{self.name} step {self.step} {self.seconds:.0f}s loss {level:.4f}", flush=True
                )
            if now - last_save > SAVE_SECONDS:
                self.save()
                last_save = time.monotonic()
            if now - last_report > self.report_seconds:
                report()
                last_report = time.monotonic()
        self.save()
        report()


@contextmanager
def swift(device: torch.device) -> Iterator[None]:
    """Autocast to bfloat16; on a CPU with plain attention, whose gradient is faster there."""
    plain = sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()
    with torch.autocast(device.type, torch.bfloat16), plain:
        yield


def averaged(work: Path, name: str, model: M) -> M:
    """Load the averaged weights of a stage's checkpoint into `model`, frozen."""
    state = torch.load(work / f"{name}.pt", map_location="cpu", weights_only=True)
    model.load_state_dict(state["average"])
    return model.eval().requires_grad_(False)


def to_tensor(images: Sequence[NDArray[np.uint8]]) -> Tensor:
    """uint8 RGB pictures (h, w, 3) of one size to floats in -1..1, (n, 3, h, w)."""
    stack = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float()
    return stack / 127.5 - 1


def to_pictures(batch: Tensor) -> list[NDArray[np.uint8]]:
    """The reverse of `to_tensor`, clipped."""
    clipped = ((batch.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return list(clipped.permute(0, 2, 3, 1).contiguous().numpy())


def write_sheet(path: Path, rows: Sequence[Sequence[NDArray[np.uint8]]]) -> None:
    """Write rows of equally sized pictures as one PNG or JPEG, by the file's name."""
    sheet = np.vstack([np.hstack(list(row)) for row in rows])
    path.parent.mkdir(parents=True, exist_ok=True)
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if path.suffix == ".jpg" else []
    cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), quality)
