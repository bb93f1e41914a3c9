"""CLIP's tokenizer files: with the published vocabulary, or with one that splits words into bytes.

The published one (Radford et al. 2021) is `bpe_simple_vocab_16e6.txt.gz`, which the Python package
open_clip_torch ships.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path

#: Words in CLIP's vocabulary; the file has more merges than are used.
PUBLISHED_WORDS = 49408
START, END = "<|startoftext|>", "<|endoftext|>"


def save_tokenizer(folder: Path, published: Path | None) -> None:
    """Write the files of a CLIP tokenizer.

    Args:
        folder: is made where it is missing.
        published: the gzipped list of merges; None for a vocabulary of single bytes.
    """
    merges = [] if published is None else _merges(published)
    letters = _letters()
    words = [*letters, *(f"{one}</w>" for one in letters), *("".join(m.split()) for m in merges)]
    words += [START, END]
    special = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
    config = {
        **special, "add_prefix_space": False, "do_lower_case": True, "errors": "replace",
        "model_max_length": 77, "tokenizer_class": "CLIPTokenizer",
    }  # fmt: skip
    files = {
        "vocab.json": json.dumps({word: k for k, word in enumerate(words)}, ensure_ascii=False),
        "merges.txt": "\n".join(["#version: 0.2", *merges, ""]),
        "special_tokens_map.json": json.dumps(special),
        "tokenizer_config.json": json.dumps(config),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


def _merges(published: Path) -> list[str]:
    lines = gzip.decompress(published.read_bytes()).decode().splitlines()
    return lines[1 : PUBLISHED_WORDS - 2 * len(_letters()) - 1]


def _letters() -> list[str]:
    """A visible letter for each byte, in CLIP's order."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return [chr(code) for code in (*shown, *range(256, 256 + len(hidden)))]
