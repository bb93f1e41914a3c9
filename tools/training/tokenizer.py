"""Builds the pack's CLIPTokenizer, whose merges make each word of the captions one token."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from tools.portraits.captions import CLOTHES_WORDS, COLOUR_WORDS, FILLER, SCENE_PHRASES
from tools.portraits.figure import WORDS
from tools.portraits.spec import CLOTHES, COLOURS, GLASSES, HAIR_COLOURS, HATS, PEOPLE, SCENES
from tools.training.common import Job
from tools.training.phrases import ABSENT_WORDS, SYNONYMS

START, END = "<|startoftext|>", "<|endoftext|>"
MAX_LENGTH = 77
_COMMON = """
a an the of in on at by with and or no not to from under over for is are his her their wearing
dressed portrait picture photo image painting drawing person character someone girl boy woman man
astronaut bald head hair face hat glasses sunglasses outfit clothes skin old young big small light
dark bright day night morning evening spring summer autumn winter style watermark text typography
clay padding cropped blurry ugly deformed low worst bad quality
"""


def _corpus() -> Iterator[str]:
    """Every word of the captions, the segmenter's phrases and a few common ones."""
    for phrases in (*SCENE_PHRASES.values(), *CLOTHES_WORDS.values(), *COLOUR_WORDS.values()):
        yield from phrases
    for phrases in (*SYNONYMS.values(), ABSENT_WORDS, FILLER):
        yield from phrases
    for names in (WORDS, COLOURS, HAIR_COLOURS, SCENES, CLOTHES, HATS, GLASSES, PEOPLE):
        yield from names
    yield _COMMON


def _merges(words: list[str]) -> list[tuple[str, str]]:
    """Byte-pair merges (Sennrich et al. 2016) that end with every word in one piece."""
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=8000, min_frequency=1, end_of_word_suffix="</w>", show_progress=False
    )
    bpe.train_from_iterator(words, trainer)
    return [(a, b) for a, b in json.loads(bpe.to_str())["model"]["merges"]]


def build_tokenizer() -> CLIPTokenizer:
    """The tokenizer; unknown words fall back to byte-level pieces and never fail."""
    words = sorted({w for text in _corpus() for w in re.findall(r"[^\W\d_]+", text.lower())})
    merges = _merges(words)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [*alphabet, *(f"{letter}</w>" for letter in alphabet)]
    pieces += [a + b for a, b in merges]
    vocabulary = {piece: k for k, piece in enumerate(dict.fromkeys(pieces))}
    for special in (START, END):  # the end token must have the highest id, as in CLIP
        vocabulary[special] = len(vocabulary)
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=MAX_LENGTH)


def train(job: Job) -> None:
    """Write the tokenizer to the folder of the checkpoints."""
    tokenizer = build_tokenizer()
    tokenizer.save_pretrained(job.work / "tokenizer")
    print(f"tokenizer: {len(tokenizer)} pieces")


def load(job: Job) -> CLIPTokenizer:
    """The tokenizer that `train` wrote."""
    return CLIPTokenizer.from_pretrained(job.work / "tokenizer")
