"""Train the embedded model pack: `python tools/train_pack.py STAGE --minutes 20 --threads 2`.

Stages, in order of dependency: tokenizer, text, vae, segmenter, parser, depth, rooms, latents,
painter, controlnet, joint, encoder, adapter, lora, decoder, sharpener, pose, enlarger, plain,
inpaint, judges, export, familiarity; `all` runs them one after the other. Every stage but the
first resumes from its checkpoint in `--work` when started again; `restore` makes the checkpoints
from the pack in `--out`;
`export` may run at any time after a save, and `familiarity`, which is fitted to the exported
segmenter, after it. Judges, plain and inpaint are no part of the pack: `tools/eval_pack.py` and
`tools/measure_inpainting.py` measure with them; `all` leaves the last two out.

`fine` runs the stages of the next painter, which paints at 384 pixels and is no part of the pack
yet: drawings, fine_vae, fine_decoder, fine_latents, fine_painter, fine_joint, keep. Its minutes are
shared out: a tenth each is the time in all of the autoencoder, its decoder and the UNet alone,
which is over where `restore` brought it; a third is for latents, and the rest is the further time
of UNet and ControlNet together. `keep` writes the models to `tools/training/checkpoints`, where
`restore` finds them. After them come `fine_sharpener`,
`fine_lora` and `fine_adapter`.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

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
    "drawings": 0.0,
    "fine_vae": 100.0,
    "fine_decoder": 60.0,
    "fine_latents": 0.0,
    "fine_painter": 600.0,
    "fine_joint": 100.0,
    "fine_lora": 15.0,
    "fine_adapter": 30.0,
    "fine_sharpener": 40.0,
    "keep": 0.0,
    "judges": 6.0,
    "export": 0.0,
    "familiarity": 0.0,
}
#: Stages of the finer painter, with their shares of the minutes of `fine`.
FINE = {
    "drawings": 0.0,
    "fine_vae": 0.1,
    "fine_decoder": 0.1,
    "fine_latents": 0.3,
    "fine_painter": 0.1,
    "fine_joint": 0.4,
    "keep": 0.0,
}
LAST = "fine_joint"
AFTER = ("fine_sharpener", "fine_lora", "fine_adapter")
ASIDE = ("plain", "inpaint", *AFTER, *FINE)  # only on demand


def main(given: Sequence[str] | None = None) -> None:
    """Parse the command line and run the selected stages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stage", choices=[*STAGE_MINUTES, "all", "fine", "restore"])
    parser.add_argument("--minutes", type=float, help="training time of the stage in all")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", help="such as cuda")
    parser.add_argument("--work", type=Path, default=ROOT / ".train", help="checkpoints, sheets")
    parser.add_argument("--out", type=Path, default=ROOT / "assets" / "pack")
    args = parser.parse_args(given)
    args.work.mkdir(parents=True, exist_ok=True)
    for stage, minutes in planned(args.stage, args.minutes):
        further = trained_for(args.work, stage) if args.stage == "fine" and stage == LAST else 0.0
        job = Job(
            minutes=minutes + further,
            threads=args.threads,
            work=args.work,
            out=args.out,
            device=args.device,
        )
        importlib.import_module(f"tools.training.{stage}").train(job)


def planned(stage: str, minutes: float | None) -> list[tuple[str, float]]:
    """The stages to run with their minutes; those of `fine` share the minutes given."""
    if stage == "fine":
        whole = sum(STAGE_MINUTES[one] for one in FINE) if minutes is None else minutes
        return [(one, whole * share) for one, share in FINE.items()]
    every = [one for one in STAGE_MINUTES if one not in ASIDE]
    return [
        (one, STAGE_MINUTES.get(one, 0.0) if minutes is None else minutes)
        for one in (every if stage == "all" else [stage])
    ]


def trained_for(work: Path, stage: str) -> float:
    """Minutes that a stage's checkpoint was trained for; 0 without one."""
    path = work / f"{stage}.pt"
    if not path.exists():
        return 0.0
    return float(torch.load(path, map_location="cpu", weights_only=True)["seconds"]) / 60


if __name__ == "__main__":
    main()
