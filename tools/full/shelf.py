"""Shelf of made networks: each is made once, and linked into all repositories that have it."""

from __future__ import annotations

import gc
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from safetensors.torch import save_file

from tests.support.weight_files import original_weights
from tools.full import adapters, networks
from tools.full.networks import Weights
from tools.full.published import Shapes
from tools.full.vocabulary import save_tokenizer

_HALF, _SUFFIX = ".fp16", ".safetensors"


class Shelf:
    """The networks of one size, made when they are asked for first.

    Args:
        folder: where they are kept; what is there already is taken as it is.
        shapes: their configurations.
        vocabulary: CLIP's list of merges, see `save_tokenizer`.
    """

    def __init__(self, folder: Path, shapes: Shapes, vocabulary: Path | None) -> None:
        self._folder = folder
        self._shapes = shapes
        self._vocabulary = vocabulary

    def put_network(self, kind: str, target: Path, *, is_twin: bool = False) -> None:
        """Put config, weights and processor of a network into a folder.

        Args:
            kind: a key of `Shapes.networks`, or one of the kinds of `networks`.
            target: is made where it is missing.
            is_twin: whether the weights are named as a half-precision twin, `.fp16`.
        """
        made = self._made(kind, lambda folder: self._make(kind, folder))
        for file in made.iterdir():
            name = file.name
            if is_twin and name.endswith(_SUFFIX):
                name = name.removesuffix(_SUFFIX) + _HALF + _SUFFIX
            _link(file, target / name)
        processor = self._shapes.processors.get(kind)
        if processor is not None:
            networks.save_json(target / "preprocessor_config.json", processor)

    def put_config(self, kind: str, target: Path, **changes: int) -> None:
        """Put the config of a network alone into a folder, with some values changed."""
        made = self._made(kind, lambda folder: self._make(kind, folder))
        config = json.loads((made / "config.json").read_text(encoding="utf-8"))
        networks.save_json(target / "config.json", {**config, **changes})

    def put_checkpoint(self, target: Path, channels: int) -> None:
        """Put one file with a whole checkpoint, by the names of the original code, at its place.

        Args:
            target: the file's place.
            channels: input channels of its UNet: 4, or 9 for inpainting.
        """
        name = f"checkpoint-{channels}"
        self._put_weights(name, target, lambda: self._checkpoint(channels))

    def _checkpoint(self, channels: int) -> Weights:
        shapes = self._shapes.networks
        unet = networks.build("unet", {**shapes["unet"], "in_channels": channels})
        others = (networks.build(kind, shapes[kind]) for kind in ("vae", "text_encoder"))
        return original_weights(*(one.half() for one in (unet, *others)))

    def put_tokenizer(self, target: Path) -> None:
        """Write a tokenizer's files into a folder."""
        save_tokenizer(target, self._vocabulary)

    def put_lora(self, target: Path) -> None:
        """Put a LoRA at a file's place."""
        self._put_weights("lora", target, lambda: adapters.lora(self._shapes))

    def put_adapter(self, target: Path, *, is_plus: bool) -> None:
        """Put an IP-Adapter at a file's place; see `adapters.ip_adapter`."""
        name = "ip-adapter-plus" if is_plus else "ip-adapter"
        self._put_weights(name, target, lambda: adapters.ip_adapter(self._shapes, is_plus=is_plus))

    def _make(self, kind: str, folder: Path) -> None:
        config = self._shapes.networks["vae" if kind == networks.LEGACY_VAE else kind]
        networks.save(networks.build(kind, config), kind, folder)

    def _put_weights(self, name: str, target: Path, weights: Callable[[], Weights]) -> None:
        file = f"{name}{_SUFFIX}"
        made = self._made(name, lambda folder: save_file(weights(), folder / file))
        _link(made / file, target)

    def _made(self, name: str, make: Callable[[Path], object]) -> Path:
        """The folder of this name on the shelf; it appears only when it is whole."""
        place = self._folder / name.replace(", ", "-").replace(" ", "-")
        if not place.is_dir():
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self._folder) as unfinished:
                folder = Path(unfinished) / "made"
                folder.mkdir()
                make(folder)
                folder.rename(place)
            gc.collect()  # networks have cycles, and the trials need the memory
        return place


def _link(file: Path, target: Path) -> None:
    """Make `target` the same file, by a hard link where the disk has such."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(file, target)
    except OSError:
        shutil.copyfile(file, target)
