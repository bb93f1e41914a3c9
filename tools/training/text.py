"""Training of the painter's text encoder (CLIPTextModel) on the attributes of captions.

CLIP trains its text encoder against images, which takes millions of pairs. Here the meaning of a
caption is known exactly, so linear heads predict every attribute from the end token and the padding
after it; what linear heads can read, cross-attention can read as well. The heads are dropped
afterwards, and the encoder is frozen while the painter is trained.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from tools.portraits import HELD_OUT_SEED, sample_spec
from tools.portraits.captions import Caption, caption_of
from tools.portraits.spec import CLOTHES, COLOURS, GLASSES, HAIR_COLOURS, HATS, PEOPLE, SCENES
from tools.training import tokenizer as tokens
from tools.training.common import Job, Trainer, averaged

WIDTH = 96
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "scene": ("", *SCENES),
    "clothes": ("", *CLOTHES),
    "clothes_colour": ("", *COLOURS),
    "hair": ("", *HAIR_COLOURS, "bald"),
    "hat": ("", *HATS[1:]),
    "glasses": ("", *GLASSES[1:]),
    "person": ("", *PEOPLE),
}


def build_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """An untrained encoder for `tokenizer`."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        projection_dim=WIDTH,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=tokens.MAX_LENGTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


class Reader(nn.Module):
    """The encoder with its linear heads: one per attribute and one for the clothes' RGB."""

    def __init__(self, encoder: CLIPTextModel) -> None:
        """Wrap `encoder`."""
        super().__init__()
        self.encoder = encoder
        sizes = {name: len(classes) for name, classes in ATTRIBUTES.items()}
        self.heads = nn.ModuleDict({name: nn.Linear(WIDTH, n) for name, n in sizes.items()})
        self.rgb = nn.Linear(WIDTH, 3)

    def forward(self, ids: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Token ids (n, 77) to logits (n, 77, classes) per attribute and RGB (n, 77, 3)."""
        hidden = self.encoder(ids).last_hidden_state
        return {name: head(hidden) for name, head in self.heads.items()}, self.rgb(hidden)


def encode_ids(tokenizer: CLIPTokenizer, texts: list[str]) -> Tensor:
    """Token ids (n, 77), padded and cut as diffusers' pipelines do it."""
    batch = tokenizer(
        texts,
        padding="max_length",
        max_length=tokens.MAX_LENGTH,
        truncation=True,
        return_tensors="pt",
    )
    ids: Tensor = batch.input_ids
    return ids


def _targets(captions: list[Caption]) -> tuple[dict[str, Tensor], Tensor]:
    labels = {
        name: torch.tensor([classes.index(getattr(c, name)) for c in captions])
        for name, classes in ATTRIBUTES.items()
    }
    grey = (128, 128, 128)
    rgb = torch.tensor([COLOURS.get(c.clothes_colour, grey) for c in captions]).float()
    return labels, rgb / 127.5 - 1


def _loss(reader: Reader, ids: Tensor, captions: list[Caption], end: int) -> Tensor:
    """Cross-entropy per attribute and squared error of the colour, from the end token on."""
    labels, rgb = _targets(captions)
    logits, painted = reader(ids)
    after = ids == end
    counts = after.sum(1)
    loss = F.mse_loss(painted[after], rgb.repeat_interleave(counts, 0))
    for name, scores in logits.items():
        loss = loss + F.cross_entropy(scores[after], labels[name].repeat_interleave(counts))
    return loss


def _captions(rng: np.random.Generator, count: int, offset: int = 0) -> list[Caption]:
    seeds = rng.integers(HELD_OUT_SEED, size=(count, 2))
    captions = [caption_of(sample_spec(int(a) + offset), int(b)) for a, b in seeds]
    return [Caption(text="") if rng.random() < 0.03 else caption for caption in captions]


def train(job: Job) -> None:
    """Train encoder and heads; report the heads' accuracy on unseen captions."""
    torch.manual_seed(0)
    tokenizer = tokens.load(job)
    trainer = Trainer(job, "text", Reader(build_text_encoder(tokenizer)), lr=2e-3)
    rng = np.random.default_rng(trainer.step)
    end = tokenizer.eos_token_id

    def loss_of() -> Tensor:
        captions = _captions(rng, 48)
        return _loss(
            trainer.model, encode_ids(tokenizer, [c.text for c in captions]), captions, end
        )

    def report() -> None:
        captions = _captions(np.random.default_rng(7), 400, HELD_OUT_SEED)
        with torch.no_grad():
            logits, _ = trainer.average(encode_ids(tokenizer, [c.text for c in captions]))
        labels, _ = _targets(captions)
        right = {
            k: (v[:, -1].argmax(-1) == labels[k]).float().mean().item() for k, v in logits.items()
        }
        print("text held-out accuracy", {k: round(v, 3) for k, v in right.items()}, flush=True)

    trainer.run(loss_of, report)


def load(job: Job) -> CLIPTextModel:
    """The trained encoder without its heads."""
    reader = Reader(build_text_encoder(tokens.load(job)))
    return averaged(job.work, "text", reader).encoder
