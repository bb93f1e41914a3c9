"""Training of the human parser: a U-Net on pictures made from drawings' part maps."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from inference.people.human_parser import WIDTHS, ParsingNetwork
from inference.people.parts import Part
from tools.training.common import Job, Trainer, averaged
from tools.training.parsing_lessons import Lesson, Sketches, sample_lesson
from tools.training.textures import TextureBank

BATCH, AHEAD = 12, 4
SKETCHES, HELD_OUT = 4000, 120
# Loss weights of `Part`s: rare ones count more.
WEIGHTS = (1.0, 1.0, 1.3, 1.2, 1.2, 1.2, 1.3, 1.0)


def _batch(lessons: list[Lesson]) -> tuple[Tensor, Tensor]:
    """Features (n, channels, SIDE, SIDE), and parts (n, parts, SIDE / 2, SIDE / 2) in 0-1."""
    features = torch.from_numpy(np.stack([one.features for one in lessons]))
    labels = torch.from_numpy(np.stack([one.labels for one in lessons])).long()
    shares = F.avg_pool2d(F.one_hot(labels, len(Part)).permute(0, 3, 1, 2).float(), 2)
    return features, shares


def _loss(logits: Tensor, shares: Tensor) -> Tensor:
    """Cross-entropy and, over the parts that are there, Dice (Milletari et al. 2016)."""
    weights = torch.tensor(WEIGHTS)
    entropy = -(shares * F.log_softmax(logits, dim=1) * weights[:, None, None]).sum(1).mean()
    p, t = torch.softmax(logits, dim=1).flatten(2), shares.flatten(2)
    dice = 1 - (2 * (p * t).sum(2) + 1) / (p.sum(2) + t.sum(2) + 1)
    there = t.sum(2) > 4
    return entropy + 0.5 * dice[there].mean()


def measure(network: ParsingNetwork, lessons: list[Lesson]) -> dict[str, float]:
    """Mean IoU of each part over lessons that have it."""
    scores: dict[Part, list[float]] = {part: [] for part in Part}
    for lesson in lessons:
        features, shares = _batch([lesson])
        with torch.no_grad():
            found = network(features)[0].argmax(0).numpy()
        truth = shares[0].argmax(0).numpy()
        for part in Part:
            if (truth == part).sum() > 12:
                both, either = (truth == part) & (found == part), (truth == part) | (found == part)
                scores[part].append(both.sum() / either.sum())
    return {part.name.lower(): round(float(np.mean(v or [0])), 3) for part, v in scores.items()}


@contextmanager
def _made_ahead(
    bank: TextureBank, sketches: Sketches, first: int
) -> Iterator[Callable[[], list[Lesson]]]:
    """Context manager with a function that returns batches made in a background thread."""
    rng = np.random.default_rng(first + 11)

    def make() -> list[Lesson]:
        return [sample_lesson(sketches, bank, rng) for _ in range(BATCH)]

    with ThreadPoolExecutor(1) as pool:
        ahead = deque(pool.submit(make) for _ in range(AHEAD))

        def take() -> list[Lesson]:
            ahead.append(pool.submit(make))
            return ahead.popleft().result()

        try:
            yield take
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def train(job: Job) -> None:
    """Train; report IoU on lessons from held-out drawings."""
    torch.manual_seed(0)
    trainer = Trainer(job, "parser", ParsingNetwork(), lr=2e-3, decay=0.998)
    bank = TextureBank.make(1)
    fixed = np.random.default_rng(5)
    unseen, other = Sketches(HELD_OUT, held_out=True), TextureBank.make(2)
    tests = [sample_lesson(unseen, other, fixed) for _ in range(HELD_OUT)]

    def report() -> None:
        print("parser IoU", measure(trainer.average, tests), flush=True)

    with _made_ahead(bank, Sketches(SKETCHES), trainer.step) as take:

        def loss_of() -> Tensor:
            features, shares = _batch(take())
            return _loss(trainer.model(features), shares)

        trainer.run(loss_of, report)


def load(job: Job) -> ParsingNetwork:
    """The trained network."""
    return averaged(job.work, "parser", ParsingNetwork())


def restored(folder: Path) -> ParsingNetwork:
    """The network of an exported folder."""
    network = ParsingNetwork()
    weights = load_file(folder / "model.safetensors")
    network.load_state_dict({name: value.float() for name, value in weights.items()})
    return network


def save(job: Job) -> None:
    """Write config and half-precision weights for `HumanParser.load`."""
    folder = job.out / "parser"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"widths": WIDTHS}) + "\n", encoding="utf-8")
    weights = {name: value.half() for name, value in load(job).state_dict().items()}
    save_file(weights, folder / "model.safetensors")
