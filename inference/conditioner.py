"""What guides the painting, as tensors: words, control maps and pictures, each read once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from diffusers import ControlNetModel, StableDiffusionInpaintPipeline
from torch import nn

from inference.adapters import Adapters, Shown
from inference.cache import Cache, digest
from inference.codec import to_tensor
from inference.denoiser import Conditions, Denoiser, split
from inference.device import Turns
from inference.loras import Loras
from inference.patch import Guide
from inference.recipe import Recipe
from inference.windows import Window
from inference.wording import Wording

HINTS = 16  # how many maps' hints are kept


@dataclass(frozen=True, kw_only=True)
class Guiding:
    """What guides a job of `steps` steps.

    Attributes:
        guides: the ControlNets' maps.
        shown: the IP-Adapters' pictures.
        cfg_scale: (), the guidance scale.
        guided: from which step on there is no guidance any more; None where there never is.
        given: of each window, with a hint for each of `guides`.
    """

    steps: int
    guides: tuple[Guide, ...]
    shown: Shown
    cfg_scale: torch.Tensor = field(repr=False)
    guided: float | None
    given: tuple[Conditions, ...] = field(repr=False)

    def at(self, index: int) -> tuple[tuple[str, ...], torch.Tensor | None, list[Conditions]]:
        """In step `index`: the ControlNets that run, the guidance scale, each window's conditions.

        Those outside their window do not run; the adapters' scales are set for the step.
        """
        self.shown.at(index, self.steps)
        active = [k for k, one in enumerate(self.guides) if one.guides(index, self.steps)]
        given = [
            one._replace(
                hints=tuple(one.hints[k] for k in active),
                scales=tuple(one.scales[k] for k in active),
            )
            for one in self.given
        ]
        names = tuple(self.guides[k].control for k in active)
        if self.guided is None:
            return names, None, given
        if index < self.guided:
            return names, self.cfg_scale, given
        return names, None, [one.unguided() for one in given]


class Conditioner:
    """The ControlNets, LoRAs, IP-Adapters and text encoder of one checkpoint. Not thread-safe."""

    def __init__(self, pipe: StableDiffusionInpaintPipeline, turns: Turns) -> None:
        self.loras = Loras(pipe)
        self.adapters = Adapters(pipe, turns)
        self.wording = Wording(pipe, self.loras, turns)
        self.controlnets: dict[str, ControlNetModel] = {}
        self._unet = pipe.unet
        self._factor = pipe.vae_scale_factor
        self._turns = turns
        self._looking: dict[str, nn.Module] = {}
        self._denoisers: dict[tuple[str, ...], Denoiser] = {}
        self.forget()

    def forget(self) -> None:
        """Let go of what is kept of earlier jobs."""
        self.wording.forget()
        self._hints: Cache[torch.Tensor] = Cache(HINTS)

    def add(self, key: str, model: ControlNetModel) -> None:
        """Take in a loaded ControlNet."""
        self._looking[key] = split(model).to(self._turns.device).eval()
        self.controlnets[key] = self._turns.place(model).eval()

    def denoiser(self, controls: tuple[str, ...]) -> Denoiser:
        """The UNet with these ControlNets, on the device and dressed as it is now."""
        if controls not in self._denoisers:
            nets = [self.controlnets[key] for key in controls]
            self._denoisers[controls] = Denoiser(self._unet, nets)
        denoiser = self._denoisers[controls]
        denoiser.dress = self.loras.dress
        self._turns.take(self._unet, *denoiser.controlnets)
        return denoiser

    def guiding(
        self,
        guides: Sequence[Guide],
        recipe: Recipe,
        windows: Sequence[Window],
        extra: torch.Tensor | None,
        steps: int,
    ) -> Guiding:
        """What guides a job.

        Args:
            guides: control maps, and pictures for IP-Adapters.
            windows: through which it is painted.
            extra: (n, 5, h, w), what a 9-channel UNet sees beside the noisy latents.
            steps: how many it takes.
        """
        count, guided = recipe.num_images, recipe.guidance_scale > 1
        shown = self.adapters.show(guides, count, guided=guided)
        guides = tuple(one for one in guides if one.scale > 0 and one.control in self.controlnets)
        dtype, device = self._unet.dtype, self._turns.device
        words = self._words(recipe, guided=guided)
        scales = tuple(torch.tensor(one.scale, dtype=dtype, device=device) for one in guides)
        return Guiding(
            steps=steps,
            guides=guides,
            shown=shown,
            cfg_scale=torch.tensor(recipe.guidance_scale, dtype=dtype, device=device),
            guided=steps * recipe.guidance_stop if guided else None,
            given=tuple(
                Conditions(
                    words=words,
                    hints=tuple(self._hint(one, window) for one in guides),
                    scales=scales,
                    extra=None if extra is None else window.cut(extra),
                    seen=tuple(shown.embeddings),
                    balanced=recipe.control_mode != "unbalanced",
                )
                for window in windows
            ),
        )

    def _words(self, recipe: Recipe, *, guided: bool) -> torch.Tensor:
        """Prompt embeddings, with a negative half under guidance."""
        positive, negative = self.wording.encode(
            recipe.prompt,
            recipe.negative_prompt if guided else recipe.prompt,
            use_lpw=recipe.use_lpw,
        )
        halves = (negative, positive) if guided else (positive,)
        return torch.cat([half.repeat(recipe.num_images, 1, 1) for half in halves])

    def _hint(self, guide: Guide, window: Window) -> torch.Tensor:
        """What a ControlNet makes of its map, the same at every step and for every picture."""
        looking = self._looking[guide.control]

        def look() -> torch.Tensor:
            picture = to_tensor(guide.map).to(self._turns.device, self._unet.dtype)
            hint: torch.Tensor = looking(window.cut(picture, self._factor))
            return hint

        key = f"{guide.control} {window.rows} {window.columns} {digest(guide.map)}"
        return self._hints.get(key, look)
