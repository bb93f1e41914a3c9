"""LoRAs on a loaded checkpoint (Hu et al. 2021, arXiv:2106.09685).

LoRAs are not merged into the base's weights: switching sets a flag per layer, and without LoRAs
the output is bit-identical to that of the base.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

from diffusers import StableDiffusionInpaintPipeline
from safetensors import SafetensorError

from inference.errors import InvalidCatalog
from inference.runtime.load_lock import MODEL_CONSTRUCTION


class Loras:
    """The LoRAs of one pipeline, each loaded once and switched on and off. Not thread-safe.

    Attributes:
        weights: weight of each LoRA in use, by its key.
        key: identifies the loaded LoRAs and the weights of those in use, for caches.
    """

    def __init__(self, pipe: StableDiffusionInpaintPipeline) -> None:
        self._pipe = pipe
        self.weights: dict[str, float] = {}
        self.key = ""

    def __contains__(self, key: str) -> bool:
        """Whether this LoRA is loaded, in use or not."""
        return any(key in loaded for loaded in self._pipe.get_list_adapters().values())

    def add(self, key: str, file: Path) -> None:
        """Load a LoRA in diffusers' or kohya's format, for the UNet and perhaps the text encoder.

        It is not in use until `use` names it.

        Raises:
            InvalidCatalog: there is no such file, or it was made for another kind of model.
        """
        try:
            with MODEL_CONSTRUCTION:
                self._load(key, file)
        except (OSError, SafetensorError, ValueError, RuntimeError, KeyError) as error:
            if key in self:
                self._pipe.delete_adapters(key)
            raise _misfit(key) from error
        if key not in self:
            raise _misfit(key)
        for model in (self._pipe.unet, self._pipe.text_encoder):
            for name, parameter in model.named_parameters():
                if "lora_" in name:  # the file may have another precision
                    parameter.data = parameter.data.to(model.dtype)
        self.use(self.weights)

    def _load(self, key: str, file: Path) -> None:
        """Load as `load_lora_weights` does, without its warnings about parts that a file lacks."""
        pipe = self._pipe
        weights, alphas, metadata = pipe.lora_state_dict(
            file.parent,
            weight_name=file.name,
            use_safetensors=True,
            local_files_only=True,
            return_lora_metadata=True,
        )
        common = {
            "network_alphas": alphas, "adapter_name": key, "metadata": metadata, "_pipeline": pipe,
        }  # fmt: skip
        parts = {name.split(".")[0] for name in weights}
        with warnings.catch_warnings():  # a second adapter is intended
            warnings.filterwarnings("ignore", "Already found a `peft_config`")
            if "unet" in parts:
                pipe.load_lora_into_unet(weights, unet=pipe.unet, **common)
            if "text_encoder" in parts:
                encoder = pipe.text_encoder
                pipe.load_lora_into_text_encoder(weights, text_encoder=encoder, **common)

    def use(self, weights: Mapping[str, float]) -> None:
        """Switch these loaded LoRAs on with their weights, and all others off."""
        self.weights = dict(weights)
        if weights:
            self._pipe.enable_lora()
            self._pipe.set_adapters(list(weights), list(weights.values()))
        elif any(self._pipe.get_list_adapters().values()):
            self._pipe.disable_lora()
        loaded = {key for keys in self._pipe.get_list_adapters().values() for key in keys}
        self.key = repr((sorted(loaded), self.weights))


def _misfit(key: str) -> InvalidCatalog:
    return InvalidCatalog(
        f"The LoRA {key!r} does not fit this style's model: correct its entry in the catalog, "
        "or choose another style."
    )
