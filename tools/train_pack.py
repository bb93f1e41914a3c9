"""Train the embedded model pack: `python tools/train_pack.py STAGE --minutes 20 --threads 2`.

Stages, in order of dependency: tokenizer, text, vae, segmenter, parser, depth, rooms, latents,
painter, controlnet, joint, encoder, adapter, lora, decoder, sharpener, pose, enlarger, plain,
inpaint, judges, export, familiarity; `all` runs them one after the other. Every stage but the
first resumes from its checkpoint in `--work` when started again; `restore` makes the checkpoints
from the pack in `--out`;
`export` may run at any time after a save, and `familiarity`, which is fitted to the exported
segmenter, after it. Judges, plain and inpaint are no part of the pack: `tools/eval_pack.py` and
`tools/measure_inpainting.py` measure with them; `all` leaves the last two out.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools.training.common import Job  # noqa: E402

STAGE_MINUTES = {
    "tokenizer": 0.0,
    "text": 3.0,
    "vae": 26.0,
    "segmenter": 96.0,
    "parser": 75.0,
    "depth": 12.0,
    "rooms": 12.0,
    "latents": 0.0,
    "painter": 130.0,
    "controlnet": 100.0,
    "joint": 70.0,
    "encoder": 8.0,
    "adapter": 30.0,
    "lora": 12.0,
    "decoder": 33.0,
    "sharpener": 90.0,
    "pose": 70.0,
    "enlarger": 20.0,
    "plain": 30.0,
    "inpaint": 30.0,
    "judges": 6.0,
    "export": 0.0,
    "familiarity": 0.0,
}
ASIDE = ("plain", "inpaint")  # only on demand


def main() -> None:
    """Parse the command line and run the selected stages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stage", choices=[*STAGE_MINUTES, "all", "restore"])
    parser.add_argument("--minutes", type=float, help="training time of the stage in all")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", help="such as cuda")
    parser.add_argument("--work", type=Path, default=ROOT / ".train", help="checkpoints, sheets")
    parser.add_argument("--out", type=Path, default=ROOT / "assets" / "pack")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    every = [stage for stage in STAGE_MINUTES if stage not in ASIDE]
    for stage in every if args.stage == "all" else [args.stage]:
        minutes = STAGE_MINUTES.get(stage, 0.0) if args.minutes is None else args.minutes
        job = Job(
            minutes=minutes,
            threads=args.threads,
            work=args.work,
            out=args.out,
            device=args.device,
        )
        importlib.import_module(f"tools.training.{stage}").train(job)


if __name__ == "__main__":
    main()
