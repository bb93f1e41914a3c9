"""Training of the text-prompted segmenter: CLIPSegForImageSegmentation, patch 8 at 192 px.

Trained from scratch. The class's own initialization gives a small model logits of hundreds and dead
FiLM layers; `build_segmenter` scales the embeddings and resets the decoder, without which nothing
is learned. Targets are 0/1 masks, all zero for words that are not in the picture, so that the raw
sigmoid can be read as a probability.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    CLIPSegConfig,
    CLIPSegForImageSegmentation,
    CLIPSegProcessor,
    CLIPTokenizer,
    ViTImageProcessorPil,
)

from tools.portraits import HELD_OUT_SEED, WORDS, Portrait, draw, draw_seed, sample_spec
from tools.training import tokenizer as tokens
from tools.training.common import Job, Trainer, averaged
from tools.training.phrases import absent_phrase, coloured_hat, phrase_for, with_two_hats

INPUT = 192
SQUARE, TALL, WIDE = (192, 192), (168, 208), (240, 160)  # sizes of drawings
IMAGES_PER_STEP, WORDS_PER_IMAGE = 6, 6
QUIET = -1.386  # the logit of 0.2
_NEED = {"foreground": 0.5, "person": 0.5, "background": 0.5, "hair": 1.6, "hat": 1.6,
         "glasses": 3.0, "skin": 1.2}  # fmt: skip
"""Relative sampling frequency of a word; small and rare parts need more samples."""


def build_segmenter(tokenizer: CLIPTokenizer) -> CLIPSegForImageSegmentation:
    """An untrained segmenter of about one million parameters, with a trainable initialization."""
    ids = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    text = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    vision = {
        "hidden_size": 128,
        "intermediate_size": 384,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
    }
    config = CLIPSegConfig(
        text_config={**text, **ids, "vocab_size": len(tokenizer), "max_position_embeddings": 77},
        vision_config={**vision, "image_size": INPUT, "patch_size": 8},
        projection_dim=64,
        extract_layers=[1, 2, 3],
        reduce_dim=64,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=192,
        use_complex_transposed_convolution=True,
    )
    model = CLIPSegForImageSegmentation(config)
    for module in model.decoder.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    nn.init.normal_(model.clip.text_model.embeddings.token_embedding.weight, std=0.2)
    vision_embeddings = model.clip.vision_model.embeddings
    nn.init.normal_(vision_embeddings.patch_embedding.weight, std=0.05)
    nn.init.normal_(vision_embeddings.position_embedding.weight, std=0.05)
    return model


def build_processor(tokenizer: CLIPTokenizer) -> CLIPSegProcessor:
    """The processor that belongs to `build_segmenter`; it needs no torchvision."""
    images = ViTImageProcessorPil(
        size={"height": INPUT, "width": INPUT}, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )
    return CLIPSegProcessor(image_processor=images, tokenizer=tokenizer)


def segment(
    model: CLIPSegForImageSegmentation, pixels: Tensor, ids: Tensor, attention: Tensor
) -> Tensor:
    """Logits (n·k, h, w) of k phrases for each of n pictures, with gradients throughout.

    The stock forward computes both towers under no_grad and the picture once per phrase.
    """
    hidden = model.clip.get_image_features(pixels, output_hidden_states=True).hidden_states
    repeats = len(ids) // len(pixels)
    layers = [hidden[k + 1].repeat_interleave(repeats, 0) for k in model.extract_layers]
    text = model.clip.get_text_features(ids, attention_mask=attention).pooler_output
    logits: Tensor = model.decoder(layers, text).logits
    return logits


def _jitter(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.float32]:
    """Brightness, contrast, colour cast, blur and noise; floats around -1..1."""
    x = image.astype(np.float32) / 127.5 - 1
    if rng.random() < 0.5:
        x = x * rng.uniform(0.75, 1.15) + rng.normal(0, 0.08, 3).astype(np.float32)
    if rng.random() < 0.3:
        x = np.asarray(cv2.GaussianBlur(x, (0, 0), rng.uniform(0.5, 1.2)))
    if rng.random() < 0.3:
        x = x + rng.normal(0, rng.uniform(0.02, 0.1), x.shape).astype(np.float32)
    return x.clip(-1, 1)


def _square(array: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    small = cv2.resize(array, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.float32)


def _lesson(rng: np.random.Generator) -> tuple[Portrait, list[tuple[str, NDArray[np.bool_]]]]:
    """A drawing, and phrases with the mask of each: all zero for what is not there."""
    size = (SQUARE, TALL, WIDE)[rng.choice(3, p=[0.45, 0.45, 0.1])]
    spec = sample_spec(int(rng.integers(HELD_OUT_SEED)))
    if rng.random() < 0.15:
        spec = with_two_hats(spec, rng)
    portrait = draw(spec, size)
    need = np.array([_NEED.get(word, 1.0) for word in WORDS])
    words = rng.choice(list(WORDS), size=WORDS_PER_IMAGE - 1, replace=False, p=need / need.sum())
    asked = [(phrase_for(word, rng), portrait.masks[word]) for word in words]
    if portrait.masks["hat"].any() and rng.random() < 0.6:
        asked.append(coloured_hat(portrait, rng))
    else:
        asked.append((absent_phrase(rng), np.zeros(size[::-1], dtype=bool)))
    return portrait, asked


def _batch(rng: np.random.Generator, side: int) -> tuple[Tensor, list[str], Tensor, Tensor]:
    """Pictures (n, 3, INPUT, INPUT), n·k phrases, masks (n·k, side, side), presence (n·k,)."""
    pixels, phrases, masks, present = [], [], [], []
    for _ in range(IMAGES_PER_STEP):
        portrait, asked = _lesson(rng)
        flip = slice(None, None, -1 if rng.random() < 0.5 else 1)
        pixels.append(_square(_jitter(portrait.image[:, flip], rng), INPUT).transpose(2, 0, 1))
        for phrase, mask in asked:
            phrases.append(phrase)
            masks.append(_square(mask[:, flip].astype(np.float32), side))
            present.append(bool(mask.any()))
    arrays = (np.stack(pixels), np.stack(masks), np.array(present))
    x, y, there = (torch.from_numpy(np.ascontiguousarray(a)) for a in arrays)
    return x, phrases, y, there


def _loss(logits: Tensor, masks: Tensor, present: Tensor) -> Tensor:
    """Binary cross-entropy; for present words also Dice (Milletari et al. 2016), for absent words
    the cross-entropy of the highest peak, so that the score indicates absence."""
    bce = F.binary_cross_entropy_with_logits(logits, masks)
    p, t = torch.sigmoid(logits[present]).flatten(1), masks[present].flatten(1)
    dice = 1 - (2 * (p * t).sum(1) + 1) / (p.sum(1) + t.sum(1) + 1)
    peaks = logits[~present].flatten(1).amax(1)
    alarm = F.softplus(peaks + 1.5).sum() / max(1, len(peaks))
    return bce + 1.5 * dice.mean() + 0.02 * alarm


def measure(
    model: CLIPSegForImageSegmentation, tokenizer: CLIPTokenizer, count: int
) -> dict[str, float]:
    """Mean IoU per word over `count` held-out drawings; the share of absent words under 0.2."""
    words = [*WORDS, "dog"]
    text = tokenizer(words, padding=True, return_tensors="pt")
    scores: dict[str, list[float]] = {word: [] for word in words}
    silent: list[bool] = []
    for k in range(count):
        size = SQUARE if k % 2 else TALL
        portrait = draw_seed(HELD_OUT_SEED + k, size)
        x = _square(portrait.image.astype(np.float32) / 127.5 - 1, INPUT)
        with torch.no_grad():
            pixels = torch.from_numpy(x.transpose(2, 0, 1))[None]
            logits = segment(model, pixels, text.input_ids, text.attention_mask)
        for word, heat in zip(words, logits.numpy(), strict=True):
            found = cv2.resize(heat, size, interpolation=cv2.INTER_LINEAR) > 0
            truth = portrait.masks.get(word, np.zeros_like(found))
            if truth.any():
                scores[word].append((found & truth).sum() / (found | truth).sum())
            else:
                silent.append(bool(heat.max() < QUIET))
    ious = {word: round(float(np.mean(v)), 3) for word, v in scores.items() if v}
    return {**ious, "absent words under 0.2": round(float(np.mean(silent)), 3)}


def train(job: Job) -> None:
    """Train; report IoU on held-out drawings."""
    torch.manual_seed(0)
    tokenizer = tokens.load(job)
    trainer = Trainer(job, "segmenter", build_segmenter(tokenizer), lr=1.5e-3, decay=0.995)
    rng = np.random.default_rng(trainer.step + 2)
    side = INPUT // 2  # what the decoder gives for patch 8: two doublings

    def loss_of() -> Tensor:
        pixels, phrases, masks, present = _batch(rng, side)
        text = tokenizer(phrases, padding=True, return_tensors="pt")
        logits = segment(trainer.model, pixels, text.input_ids, text.attention_mask)
        return _loss(logits, masks, present)

    def report() -> None:
        print("segmenter IoU", measure(trainer.average, tokenizer, 30), flush=True)

    trainer.run(loss_of, report)


def load(job: Job) -> CLIPSegForImageSegmentation:
    """The trained segmenter."""
    return averaged(job.work, "segmenter", build_segmenter(tokens.load(job)))
