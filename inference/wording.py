"""Words become embeddings: weights, and prompts longer than the text encoder's window.

A long prompt is read window by window. Words of weight w move all embeddings z of their window
along the way from those without these words: z + (w − 1)·(z − z₀). Scaling the words' own tokens
alone, as is common, leaves what the other tokens have read of them. Plain words that fit the
window give the very bits of diffusers' `encode_prompt`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from diffusers import StableDiffusionInpaintPipeline

from inference.cache import Cache
from inference.device import Turns
from inference.faults import sound
from inference.loras import Loras
from inference.prompt_weights import Piece, weigh

# Any English prompt of the longest that a recipe takes fits; what has more is cut there.
MAX_WINDOWS = 48
# Each of several weights in a window costs a run of the encoder; of more, the nearest are one.
MAX_WEIGHTS = 8
# So many tokens before the end of a window, a comma or the end of a word is looked for.
LOOK_BACK = 20
WORD_END = "</w>"  # as CLIP's tokenizer marks it
KEPT = 16  # texts whose embeddings are kept


class _Token(NamedTuple):
    """A token, its weight, and where it starts in the text."""

    id: int
    weight: float
    start: int


class Wording:
    """The tokenizer and text encoder of one pipeline. Not thread-safe."""

    def __init__(self, pipe: StableDiffusionInpaintPipeline, loras: Loras, turns: Turns) -> None:
        self._pipe = pipe
        self._loras = loras
        self._device = turns.device
        self._turns = turns
        # Not every tokenizer's files say how much the text encoder reads.
        longest = pipe.text_encoder.config.max_position_embeddings
        self._window = min(pipe.tokenizer.model_max_length, longest) - 2
        self.forget()

    def forget(self) -> None:
        """Let go of what is kept of earlier texts."""
        self._kept: Cache[tuple[torch.Tensor, ...]] = Cache(KEPT)

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
        """What of a text lies beyond what `encode` reads, "" for nothing."""
        pieces = _pieces(text, use_lpw)
        beyond = self._windows(pieces, use_lpw)[1]
        return "".join(piece.text for piece in pieces)[beyond[0].start :] if beyond else ""

    def _encode(self, text: str, use_lpw: bool) -> tuple[torch.Tensor, ...]:
        """Each window's embeddings, read once for a text; LoRAs may change how it is read."""

        def read() -> tuple[torch.Tensor, ...]:
            self._turns.take(self._pipe.text_encoder)
            windows, _ = self._windows(_pieces(text, use_lpw), use_lpw)
            embeddings: tuple[torch.Tensor, ...] = sound(tuple(map(self._read, windows)))
            return embeddings

        return self._kept.get(repr((text, use_lpw, self._loras.dress)), read)

    def _read(self, tokens: list[_Token]) -> torch.Tensor:
        """One window through the text encoder, and the weights upon it."""
        embeddings = self._run(tokens)
        weights = sorted({token.weight for token in tokens} - {1.0})
        if not weights:
            return embeddings
        empty = self._run([])
        weighed = embeddings.float().clone()  # far from 1, half precision could overflow
        for group in np.array_split(weights, min(len(weights), MAX_WEIGHTS)):
            seen = [token.weight not in group for token in tokens]
            without = self._run(tokens, seen, empty)
            weighed += (float(group.mean()) - 1) * (embeddings.float() - without.float())
        return weighed.to(embeddings.dtype)

    def _run(
        self,
        tokens: list[_Token],
        seen: list[bool] | None = None,
        empty: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """A window's embeddings, as if it had only those of its tokens that are `seen`.

        They do not see the others, in whose places is what an `empty` prompt has there.
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
        self, pieces: tuple[Piece, ...], use_lpw: bool
    ) -> tuple[list[list[_Token]], list[_Token]]:
        """The tokens of each window, at least one, and those beyond the last.

        All but the last of several windows end where a phrase or a word does.
        """
        tokens = self._tokens(pieces)
        if not use_lpw:
            return [tokens[: self._window]], tokens[self._window :]
        windows: list[list[_Token]] = []
        while len(tokens) > self._window and len(windows) < MAX_WINDOWS - 1:
            end = self._end([token.id for token in tokens[: self._window]])
            windows.append(tokens[:end])
            tokens = tokens[end:]
        return [*windows, tokens[: self._window]], tokens[self._window :]

    def _end(self, ids: list[int]) -> int:
        """How many of a full window's tokens to take."""
        names = self._pipe.tokenizer.convert_ids_to_tokens(ids)
        first = max(len(names) - LOOK_BACK, 0)
        commas = [k + 1 for k in range(first, len(names)) if names[k] == f",{WORD_END}"]
        words = [k + 1 for k in range(first, len(names)) if names[k].endswith(WORD_END)]
        return (commas or words or [len(names)])[-1]

    def _tokens(self, pieces: tuple[Piece, ...]) -> list[_Token]:
        tokens: list[_Token] = []
        start = 0
        for text, weight in pieces:
            read = self._pipe.tokenizer(
                text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
            )
            places = zip(read.input_ids, read.offset_mapping, strict=True)
            tokens += [_Token(one, weight, start + place[0]) for one, place in places]
            start += len(text)
        return tokens


def _pieces(text: str, use_lpw: bool) -> tuple[Piece, ...]:
    return weigh(text) if use_lpw else (Piece(text),)
