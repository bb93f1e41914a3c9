"""TensorFlow Lite models on the CPU, by the LiteRT interpreter (`ai-edge-litert`)."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from inference.errors import DamagedDownload, MissingModel
from inference.runtime.library_errors import check_finite, translated_errors
from inference.runtime.load_lock import MODEL_CONSTRUCTION

if TYPE_CHECKING:
    from ai_edge_litert.interpreter import Interpreter

Floats = NDArray[np.float32]

THREADS = 1  # these models take milliseconds: a second thread gains little on busy cores
STDERR = 2
# LiteRT writes such a line by its own C++ logger, which has no switch.
CHATTER = b"INFO: Created TensorFlow Lite"


class TfliteModel:
    """A TensorFlow Lite model with one picture as its input. Thread-safe: one run at a time."""

    def __init__(self, interpreter: Interpreter) -> None:
        self._interpreter = interpreter
        self._input: dict[str, Any] = interpreter.get_input_details()[0]
        self._outputs: dict[str, int] = {
            str(one["name"]): int(one["index"]) for one in interpreter.get_output_details()
        }
        self._lock = threading.Lock()

    @classmethod
    def load(cls, path: Path) -> Self:
        """Load a `.tflite` file.

        Raises:
            MissingModel: there is no such file, or LiteRT is not installed.
            DamagedDownload: the file is not a whole model.
        """
        if not path.is_file():
            raise MissingModel(f"The model file {path.name} is missing: choose the style again.")
        try:
            # Here, because the page starts sooner without it.
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise MissingModel(
                "LiteRT is not installed: run «pip install ai-edge-litert» where Masquerade runs."
            ) from error
        try:
            with MODEL_CONSTRUCTION, _without_chatter():
                interpreter = Interpreter(model_path=str(path), num_threads=THREADS)
                interpreter.allocate_tensors()
                return cls(interpreter)
        except (ValueError, RuntimeError, LookupError) as error:
            raise DamagedDownload(
                f"The model file {path.name} is damaged: delete it, then choose the style again."
            ) from error

    @property
    def input_size(self) -> tuple[int, int]:
        """(width, height) of the picture that the model takes."""
        _, height, width, _ = (int(side) for side in self._input["shape"])
        return width, height

    def run(self, picture: Floats) -> dict[str, Floats]:
        """Run the model on one picture.

        Args:
            picture: (1, height, width, 3) float32 RGB, in the range that the model wants.

        Returns:
            A copy of each output by its name.

        Raises:
            ModelFailed: the picture has another shape, or the model failed.
            PaintingFailed: an output is not finite.
        """
        with self._lock, translated_errors():
            self._interpreter.set_tensor(self._input["index"], picture)
            self._interpreter.invoke()
            found = {
                name: np.asarray(self._interpreter.get_tensor(index), dtype=np.float32)
                for name, index in self._outputs.items()
            }
        check_finite(tuple(found.values()))
        return found


def picture_tensor(picture: NDArray[np.uint8], black: float = 0.0) -> Floats:
    """A picture as the input of a model, (1, H, W, 3).

    Args:
        picture: (H, W, 3) uint8 RGB.
        black: the value of black; white is 1.
    """
    scaled = picture.astype(np.float32) * np.float32((1 - black) / 255) + np.float32(black)
    return np.asarray(scaled[None], dtype=np.float32)


@contextmanager
def _without_chatter() -> Iterator[None]:
    """Hold back what is written to the process's standard error, and drop LiteRT's own lines.

    All else that arrives meanwhile, from other threads too, is written afterwards. Used under the
    lock of model construction, so that no two of them nest.
    """
    try:
        kept = os.dup(STDERR)
    except OSError:  # a process without a standard error
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), STDERR)
        try:
            yield
        finally:
            os.dup2(kept, STDERR)
            os.close(kept)
            held.seek(0)
            for line in held.readlines():
                if not line.startswith(CHATTER):
                    os.write(STDERR, line)
