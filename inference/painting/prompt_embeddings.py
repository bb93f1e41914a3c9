"""Prompt embeddings: weighted words, and prompts longer than the text encoder's window.

A long prompt is encoded window by window; BREAK starts a window too. There are two ways to weigh:

- scaled, as in AUTOMATIC1111's web UI and in diffusers' `lpw_stable_diffusion`: the embeddings of
  the words' own tokens are multiplied by w, then those of the window scaled to their former mean.
- extrapolated: the embeddings z of a window move away from z₀, those of the window without the
  words: z + (w − 1)·(z − z₀). This also reaches what attention carried from the words to other
  tokens, without which a weight has no effect on a text encoder as small as the pack's.

The embeddings of an unweighted prompt that fits the window are bit-identical to those of
diffusers' `encode_prompt`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from diffusers import StableDiffusionInpaintPipeline

from inference.painting.lora import Loras
from inference.recipe.prompt_weights import WeightedText, Weighting, parse_weights
from inference.runtime.cache import Cache
from inference.runtime.library_errors import check_finite
from inference.runtime.memory import ModelOffloader

# The longest English prompt that a recipe takes fits; tokens beyond are not read.
MAX_WINDOWS = 48
# Each distinct weight in a window costs a run of the encoder; beyond this, neighbours are merged.
MAX_WEIGHTS = 8
# Tokens before the end of a full window among which a comma or the end of a word is sought.
LOOK_BACK = 20
# Means below this part of the standard deviation are zero but for chance, and are not restored.
NO_MEAN = 1e-3
WORD_END = "</w>"  # as CLIP's tokenizer marks it
KEPT_TEXTS = 16


class _Token(NamedTuple):
    """A token, its weight, and where it starts in the text."""

    id: int
    weight: float
    start: int


class PromptEncoder:
    """The tokenizer and text encoder of one pipeline, with a cache. Not thread-safe."""

    def __init__(
        self,
        pipe: StableDiffusionInpaintPipeline,
        loras: Loras,
        offloader: ModelOffloader,
        weighting: Weighting = "scaled",
    ) -> None:
        self._weigh = self._scaled if weighting == "scaled" else self._extrapolated
        self._pipe = pipe
        self._loras = loras
        self._device = offloader.device
        self._offloader = offloader
        # Some tokenizers' files do not give the text encoder's length.
        longest = pipe.text_encoder.config.max_position_embeddings
        self._window = min(pipe.tokenizer.model_max_length, longest) - 2
        self.clear_cache()

    def clear_cache(self) -> None:
        """Drop the cached embeddings."""
        self._kept: Cache[tuple[torch.Tensor, ...]] = Cache(KEPT_TEXTS)

    def encode(
        self, positive: str, negative: str, *, use_lpw: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Embeddings of prompt and negative prompt, (1, tokens, width) each, equally long.

        Args:
            use_lpw: read weights and all windows; else plain words and the first window.
        """
        both = [list(self._encode(text, use_lpw)) for text in (positive, negative)]
        most = max(len(one) for one in both)
        for one in both:
            if len(one) < most:
                one += [*self._encode("", use_lpw)] * (most - len(one))
        return torch.cat(both[0], dim=1), torch.cat(both[1], dim=1)

    def unread(self, text: str, *, use_lpw: bool = False) -> str:
        """The end of a text that `encode` does not read because it is too long, "" for none."""
        pieces = _pieces(text, use_lpw)
        beyond = self._windows(pieces, use_lpw)[1]
        return "".join(piece.text for piece in pieces)[beyond[0].start :] if beyond else ""

    def _encode(self, text: str, use_lpw: bool) -> tuple[torch.Tensor, ...]:
        """Embeddings of each window, cached by text and by the LoRAs on the text encoder."""

        def encode() -> tuple[torch.Tensor, ...]:
            self._offloader.activate(self._pipe.text_encoder)
            windows, _ = self._windows(_pieces(text, use_lpw), use_lpw)
            embeddings: tuple[torch.Tensor, ...] = check_finite(
                tuple(map(self._encode_window, windows))
            )
            return embeddings

        return self._kept.get(repr((text, use_lpw, self._loras.key)), encode)

    def _encode_window(self, tokens: list[_Token]) -> torch.Tensor:
        """Embeddings of one window, (1, tokens, width), with its weights applied."""
        embeddings = self._run(tokens)
        if all(token.weight == 1 for token in tokens):
            return embeddings
        # Far from 1, half precision could overflow.
        return self._weigh(tokens, embeddings.float()).to(embeddings.dtype)

    def _scaled(self, tokens: list[_Token], embeddings: torch.Tensor) -> torch.Tensor:
        """Multiply each token's embedding by its weight, and restore the window's mean."""
        factors = embeddings.new_ones(embeddings.shape[1])
        factors[1 : len(tokens) + 1] = factors.new_tensor([token.weight for token in tokens])
        scaled = embeddings * factors[None, :, None]
        before, after = embeddings.mean(), scaled.mean()
        if abs(after) < NO_MEAN * scaled.std() or before * after <= 0:
            return scaled
        return scaled * (before / after)

    def _extrapolated(self, tokens: list[_Token], embeddings: torch.Tensor) -> torch.Tensor:
        """Move the embeddings away from those of the window without the words."""
        weights = sorted({token.weight for token in tokens} - {1.0})
        empty = self._run([])
        weighed = embeddings.clone()
        for group in np.array_split(weights, min(len(weights), MAX_WEIGHTS)):
            seen = [token.weight not in group for token in tokens]
            without = self._run(tokens, seen, empty)
            weighed += (float(group.mean()) - 1) * (embeddings - without.float())
        return weighed

    def _run(
        self,
        tokens: list[_Token],
        seen: list[bool] | None = None,
        empty: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Run the text encoder on one window.

        Args:
            tokens: at most as many as fit.
            seen: which of them take part; the others are masked out of attention.
            empty: embeddings of an empty prompt, which stand where tokens are masked out.
        """
        names, encoder = self._pipe.tokenizer, self._pipe.text_encoder
        ids = [names.bos_token_id, *(token.id for token in tokens), names.eos_token_id]
        ids += [names.pad_token_id] * (self._window + 2 - len(ids))
        mask = None
        if seen is not None:
            mask = torch.ones(1, len(ids), dtype=torch.long)
            mask[0, 1 : len(tokens) + 1] = torch.tensor(seen)
            mask = mask.to(self._device)
        read = encoder(torch.tensor([ids], device=self._device), attention_mask=mask)[0]
        embeddings: torch.Tensor = read.to(encoder.dtype)
        if mask is None or empty is None:
            return embeddings
        return torch.where(mask[..., None] == 1, embeddings, empty)

    def _windows(
        self, pieces: tuple[WeightedText, ...], use_lpw: bool
    ) -> tuple[list[list[_Token]], list[_Token]]:
        """The tokens of each window, at least one window, and the tokens beyond the last.

        A full window ends after a comma, else after a word. A BREAK ends one as in the web UI, so
        that two in a row leave an empty one.
        """
        sections = self._sections(pieces)
        if not use_lpw:
            return [sections[0][: self._window]], sections[0][self._window :]
        windows = [window for section in sections for window in self._split(section)]
        if len(windows) > 1 and not windows[-1]:
            windows.pop()
        beyond = [token for window in windows[MAX_WINDOWS:] for token in window]
        return windows[:MAX_WINDOWS], beyond

    def _split(self, tokens: list[_Token]) -> list[list[_Token]]:
        """The windows of a section, at least one."""
        windows: list[list[_Token]] = []
        while len(tokens) > self._window:
            end = self._end([token.id for token in tokens[: self._window]])
            windows.append(tokens[:end])
            tokens = tokens[end:]
        return [*windows, tokens]

    def _end(self, ids: list[int]) -> int:
        """Number of tokens of a full window up to its last comma, else its last whole word."""
        names = self._pipe.tokenizer.convert_ids_to_tokens(ids)
        first = max(len(names) - LOOK_BACK, 0)
        commas = [k + 1 for k in range(first, len(names)) if names[k] == f",{WORD_END}"]
        words = [k + 1 for k in range(first, len(names)) if names[k].endswith(WORD_END)]
        return (commas or words or [len(names)])[-1]

    def _sections(self, pieces: tuple[WeightedText, ...]) -> list[list[_Token]]:
        """The tokens between the BREAKs, at least one section."""
        sections: list[list[_Token]] = [[]]
        start = 0
        for text, weight, starts_window in pieces:
            if starts_window:
                sections.append([])
            read = self._pipe.tokenizer(
                text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
            )
            places = zip(read.input_ids, read.offset_mapping, strict=True)
            sections[-1] += [_Token(one, weight, start + place[0]) for one, place in places]
            start += len(text)
        return sections


def _pieces(text: str, use_lpw: bool) -> tuple[WeightedText, ...]:
    return parse_weights(text) if use_lpw else (WeightedText(text),)
