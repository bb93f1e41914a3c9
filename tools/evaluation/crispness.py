"""10. Sharpness: paintings beside drawings of the same captions, by energies, KID and a judge.

The drawing beside a painting shows the same person in the prompted scene and clothes. Only what was
repainted counts; all else is gray in both. Crops are compared at 100 %.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from tools.evaluation.bench import SIZES, Bench, Pixels, sitter
from tools.evaluation.judge import HIDDEN, SIDE, Judge, load, to_input
from tools.evaluation.prompt import recipe, wish
from tools.evaluation.sharpness import Sharpness, sharpness_of
from tools.evaluation.table import Row
from tools.portraits import PortraitSpec, draw, solo

LOW, HIGH = 0.9, 1.1  # of the drawings' energies
FOOLED = 0.7  # a judge may be right so often
KID = 0.66  # at most: a third of what the first painter had, which worked at 192 pixels
CROPS = 4  # of a picture
LESSONS, BATCH = 150, 32  # of the judge, which learns from every second picture
NAMES = ("drawn", "painted")
PARTS = ("gradient", "laplacian", "energy")

Floats = NDArray[np.float64]


def prompted(spec: PortraitSpec, k: int) -> PortraitSpec:
    """The person of a spec as the k-th prompt has it."""
    asked = wish(k)
    return replace(
        solo(spec), scene=asked.scene, clothes=asked.clothes, clothes_colour=asked.colour
    )


def measure(bench: Bench, count: int) -> dict[str, Any]:
    """Energies as shares of the drawings', KID, and how often a judge is right."""
    found: dict[str, list[Sharpness]] = {name: [] for name in NAMES}
    crops: dict[str, list[list[Pixels]]] = {name: [] for name in NAMES}
    for k in range(count):
        upload = sitter(k)
        painting = bench.paint(upload.image, recipe(k))
        if painting is None:
            continue
        truth = draw(prompted(upload.spec, k), SIZES[k % 2], with_masks=False).image
        for name, picture in zip(NAMES, (truth, painting.image), strict=True):
            found[name].append(sharpness_of(picture, painting.repainted))
            shown = np.where(painting.repainted[..., None], picture, np.uint8(HIDDEN))
            crops[name].append(_crops(shown, np.random.default_rng(k)))
    drawn, painted = (
        {part: float(np.mean([getattr(one, part) for one in found[name]])) for part in PARTS}
        for name in NAMES
    )
    return {
        "energies": {part: painted[part] / drawn[part] for part in PARTS},
        "kid": kid(*(features(list(chain.from_iterable(crops[name]))) for name in NAMES)),
        "judge": judged(crops["drawn"], crops["painted"]),
    }


def _crops(picture: Pixels, rng: np.random.Generator) -> list[Pixels]:
    """Random squares of a judge's size, the same for the same generator and size."""
    corners = [
        [int(rng.integers(length - SIDE + 1)) for length in picture.shape[:2]] for _ in range(CROPS)
    ]
    return [picture[top : top + SIDE, left : left + SIDE] for top, left in corners]


@torch.inference_mode()
def features(pictures: list[Pixels]) -> Floats:
    """What the judges of style and scene see in pictures of their size, (n, features)."""
    seen = []
    for name in ("style", "scene"):
        judge = load(name)
        judge.head = torch.nn.Identity()  # type: ignore[assignment]
        seen.append(torch.cat([judge(to_input(one)[None]) for one in pictures]))
    return torch.cat(seen, 1).double().numpy()


def kid(one: Floats, other: Floats) -> float:
    """Kernel Inception Distance (Binkowski et al. 2018, arXiv:1801.01401) of two sets of features.

    Features are brought to the first set's mean and deviation before; one that hardly varies in it
    counts little.
    """
    mean, deviation = one.mean(0), one.std(0)
    deviation = deviation.clip(min=0.2 * deviation.mean())
    x, y = ((each - mean) / deviation for each in (one, other))

    def kernel(a: Floats, b: Floats) -> Floats:
        return np.asarray((a @ b.T / a.shape[1] + 1) ** 3)

    def within(a: Floats) -> float:
        values = kernel(a, a)
        return float((values.sum() - np.trace(values)) / (len(a) * (len(a) - 1)))

    return within(x) + within(y) - 2 * float(kernel(x, y).mean())


def judged(drawn: list[list[Pixels]], painted: list[list[Pixels]]) -> float:
    """How often a judge is right about pictures, having learnt from every second one.

    It decides by the sum over a picture's crops.
    """
    torch.manual_seed(0)
    judge = Judge(NAMES)
    pairs = [torch.stack([_inputs(one) for one in kind]) for kind in (drawn, painted)]
    known = torch.cat([kind[0::2].flatten(0, 1) for kind in pairs])
    labels = torch.arange(2).repeat_interleave(len(known) // 2)
    optimizer = torch.optim.AdamW(judge.parameters(), lr=2e-3, weight_decay=0.05)
    for _ in range(LESSONS):
        rows = torch.randint(len(known), (BATCH,))
        x = known[rows]
        x = x.flip(3) if torch.rand(1) < 0.5 else x
        loss = F.cross_entropy(judge(x), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.inference_mode():
        answers = [judge(kind[1::2].flatten(0, 1)).unflatten(0, (-1, CROPS)) for kind in pairs]
    right = [one.sum(1).argmax(1) == k for k, one in enumerate(answers)]
    return float(torch.cat(right).float().mean())


def _inputs(crops: list[Pixels]) -> Tensor:
    return torch.stack([to_input(one) for one in crops])


def rows(values: dict[str, Any]) -> list[Row]:
    """The rows of the table."""
    part = "10 Sharpness"
    names = {
        "gradient": "mean gradient, of the drawings'",
        "laplacian": "mean Laplacian, likewise",
        "energy": "mean squared gradient, likewise",
    }
    return [
        *(
            Row(
                part=part,
                what=text,
                goal=f"{LOW:g} to {HIGH:g}",
                value=f"{values['energies'][key]:.2f}",
                passed=LOW <= values["energies"][key] <= HIGH,
            )
            for key, text in names.items()
        ),
        Row(
            part=part,
            what="KID to the drawings, features of the judges",
            goal=f"≤ {KID:g}",
            value=f"{values['kid']:.3f}",
            passed=values["kid"] <= KID,
        ),
        Row(
            part=part,
            what="a judge tells paintings from drawings",
            goal=f"≤ {100 * FOOLED:.0f} %",
            value=f"{100 * values['judge']:.1f} %",
            passed=values["judge"] <= FOOLED,
        ),
    ]
