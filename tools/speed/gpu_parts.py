"""The parts of the measurements on a GPU by their names, with limits and columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from tools.speed.tables import Row

if TYPE_CHECKING:
    from tools.speed.lab import Lab


@dataclass(frozen=True, kw_only=True)
class Part:
    """A function of a module beside this one that yields rows.

    Attributes:
        module: its module; a fault in one leaves the parts of the other alone.
        limit: its seconds.
        columns: those of its table in a document; all by default.
    """

    module: str = "painting_parts"
    limit: float
    columns: tuple[str, ...] = ()


# In the order in which they run, the most important first; the first ones start the process.
PARTS = {
    "rates": Part(limit=60),
    "compiling": Part(limit=240),
    "cases": Part(
        limit=150,
        columns=(
            "case", "compiled", "stock s", "ours s", "times faster", "ours / floor",
            "stock launches/step", "ours launches/step", "stock peak MiB", "ours peak MiB",
            "PSNR dB",
        ),
    ),
    "batch": Part(limit=80),
    "styles": Part(module="checkpoint_parts", limit=60),
    "ip_adapter": Part(module="checkpoint_parts", limit=60),
    "memory": Part(limit=45),
    "phrases": Part(limit=30),
    "changes": Part(limit=60),
    "lora": Part(module="checkpoint_parts", limit=100),
}  # fmt: skip


class PartRunner:
    """Runs parts in a process that has the packages for it; `setting` is that of a `Setting`."""

    def __init__(self, **setting: Any) -> None:
        self._setting = setting
        self._lab: Lab | None = None

    def __call__(self, name: str, ends: float) -> Iterator[Row]:
        """The rows of a part that has to end at `ends`, by `time.monotonic`."""
        # Here, because the process that only writes tables needs no torch.
        import diffusers
        import transformers

        from tools.speed.lab import Lab, Setting

        for library in (diffusers, transformers):
            library.utils.logging.set_verbosity_error()
            library.utils.logging.disable_progress_bar()
        if self._lab is None:
            self._lab = Lab(Setting(**self._setting))
        self._lab.deadline = ends
        self._lab.clean()
        module = import_module(f"tools.speed.{PARTS[name].module}")
        yield from getattr(module, name)(self._lab)
