"""Train the embedded model pack: `python tools/train_pack.py STAGE --minutes 20 --threads 2`.

Stages, in order of dependency: tokenizer, text, drawings, vae, decoder, segmenter, parser, depth,
rooms, latents, painter, joint, sharpener, encoder, lora, adapter, pose, enlarger, plain, inpaint,
judges, export, familiarity; `all` runs them one after the other. Every stage but the first resumes
from its checkpoint in `--work` when started again; `restore` makes the checkpoints from the pack in
`--out`; `export` may run at any time after a save, and `familiarity`, which is fitted to the
exported segmenter, after it. Judges, plain and inpaint are no part of the pack:
`tools/eval_pack.py` and `tools/measure_inpainting.py` measure with them; `all` leaves the last two
out.

`painting` runs the stages of the painter alone: drawings, vae, decoder, latents, painter, joint,
sharpener, lora, adapter, export. They share the minutes given, by `PAINTING`, and each stage is
trained for its share beyond what its checkpoint has. Drawing and exporting are not counted. Text
encoder and image encoder have to be there, from `restore` or their own stages.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools.training.common import Job  # noqa: E402

STAGE_MINUTES = {
    "tokenizer": 0.0,
    "text": 3.0,
    "drawings": 0.0,
    "vae": 100.0,
    "decoder": 60.0,
    "segmenter": 96.0,
    "parser": 75.0,
    "depth": 12.0,
    "rooms": 12.0,
    "latents": 0.0,
    "painter": 600.0,
    "joint": 200.0,
    "sharpener": 40.0,
    "encoder": 8.0,
    "lora": 15.0,
    "adapter": 30.0,
    "pose": 70.0,
    "enlarger": 20.0,
    "plain": 30.0,
    "inpaint": 30.0,
    "judges": 6.0,
    "export": 0.0,
    "familiarity": 0.0,
}
#: Stages of the painter alone, with their shares of the minutes of `painting`; of `lora` for each
#: of its two styles.
PAINTING = {
    "drawings": 0.0,
    "vae": 0.08,
    "decoder": 0.06,
    "latents": 0.24,
    "painter": 0.16,
    "joint": 0.28,
    "sharpener": 0.06,
    "lora": 0.03,
    "adapter": 0.06,
    "export": 0.0,
}
PAINTING_MINUTES = 600.0  # where none are given
ASIDE = ("plain", "inpaint")  # only on demand


def main(given: Sequence[str] | None = None) -> None:
    """Parse the command line and run the selected stages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stage", choices=[*STAGE_MINUTES, "all", "painting", "restore"])
    parser.add_argument(
        "--minutes", type=float, help="training time of a stage in all; of painting, further time"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", help="such as cuda")
    parser.add_argument("--work", type=Path, default=ROOT / ".train", help="checkpoints, sheets")
    parser.add_argument("--out", type=Path, default=ROOT / "assets" / "pack")
    args = parser.parse_args(given)
    args.work.mkdir(parents=True, exist_ok=True)
    for stage, minutes in planned(args.stage, args.minutes):
        job = Job(
            minutes=minutes,
            threads=args.threads,
            work=args.work,
            out=args.out,
            device=args.device,
            further=args.stage == "painting",
        )
        importlib.import_module(f"tools.training.{stage}").train(job)


def planned(stage: str, minutes: float | None) -> list[tuple[str, float]]:
    """The stages to run with their minutes; those of `painting` share the minutes given."""
    if stage == "painting":
        whole = PAINTING_MINUTES if minutes is None else minutes
        return [(one, whole * share) for one, share in PAINTING.items()]
    every = [one for one in STAGE_MINUTES if one not in ASIDE]
    return [
        (one, STAGE_MINUTES.get(one, 0.0) if minutes is None else minutes)
        for one in (every if stage == "all" else [stage])
    ]


if __name__ == "__main__":
    main()
