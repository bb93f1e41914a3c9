"""Draw the example portraits and list the examples: `python tools/make_examples.py`.

The photograph among the examples is not drawn; where it comes from is in assets/examples/README.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools.portraits import draw_seed  # noqa: E402

SIZE = (768, 960)
COLOURS_KEPT = 256  # enough for flat drawings; the files shrink to a third


@dataclass(frozen=True, kw_only=True)
class Example:
    """A picture and an example prompt for it; `seed` is that of a held-out drawing."""

    seed: int | None = None
    name: str
    title: str
    prompt: str


EXAMPLES = (
    Example(
        seed=1_001_030,
        name="beach",
        title="At the beach",
        prompt="portrait of a woman in a red suit, in a garden full of flowers",
    ),
    Example(
        seed=1_000_652,
        name="snow",
        title="In the snow",
        prompt="portrait of a man in a green t-shirt, city at night",
    ),
    Example(
        seed=1_000_704,
        name="forest",
        title="In the forest",
        prompt="portrait of an astronaut in a white spacesuit, in space",
    ),
    Example(
        seed=1_000_958,
        name="library",
        title="In the library",
        prompt="portrait of a woman wearing a red dress, on a sunny beach",
    ),
    Example(
        name="astronaut",
        title="Astronaut (photograph)",
        prompt="portrait of a woman in a red dress, in a library",
    ),
)


def listed(examples: Iterable[Example]) -> str:
    """The text of examples.toml."""
    return "\n".join(map(_toml, examples))


def _toml(example: Example) -> str:
    return (
        "[[example]]\n"
        f'file = "{example.name}.png"\n'
        f'title = "{example.title}"\n'
        f'prompt = "{example.prompt}"\n'
        + (f"seed = {example.seed}\n" if example.seed is not None else "")
    )


def main() -> None:
    """Draw the examples with a seed, and write the list of all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "assets" / "examples")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for example in EXAMPLES:
        if example.seed is None:
            continue
        image = Image.fromarray(draw_seed(example.seed, SIZE, with_masks=False).image)
        path = out / f"{example.name}.png"
        image.quantize(COLOURS_KEPT, dither=Image.Dither.NONE).convert("RGB").save(
            path, optimize=True
        )
        print(path.name, path.stat().st_size)
    (out / "examples.toml").write_text(listed(EXAMPLES), encoding="utf-8")


if __name__ == "__main__":
    main()
