"""Makes training checkpoints from the exported pack, so that a new clone can continue training.

Stages that train the same model one after the other get the same checkpoint. Parts that a pack does
not contain start untrained: optimizer states, the linear heads of text and image encoder, and the
decoder's critic. Existing checkpoints are not changed.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from diffusers import ModelMixin, UNet2DConditionModel
from peft.utils import set_peft_model_state_dict
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from tools.training import (
    adapter,
    decoder,
    depth,
    encoder,
    enlarger,
    lora,
    pair,
    parser,
    pose,
    rooms,
    segmenter,
    sharpener,
    text,
)  # fmt: skip
from tools.training import tokenizer as tokens
from tools.training import vae as autoencoder
from tools.training.common import Job

M = TypeVar("M", bound=ModelMixin | PreTrainedModel)
V = TypeVar("V", autoencoder.Passage, decoder.Rendering, sharpener.Contest)


def _filled(model: M, folder: Path) -> M:
    """`model` with the weights of a folder, loaded by its own class, which maps their names."""
    model.load_state_dict(type(model).from_pretrained(folder).state_dict())
    return model


def _file(path: Path) -> dict[str, Tensor]:
    """The weights of a file in float32."""
    return {name: weight.float() for name, weight in load_file(path).items()}


def _text(job: Job) -> nn.Module:
    model = text.Reader(text.build_text_encoder(tokens.load(job)))
    _filled(model.encoder, job.out / "painter/text_encoder")
    return model


def _vae(job: Job, model: V) -> V:
    """A stage's model with the pack's autoencoder."""
    _filled(model.vae, job.out / "painter/vae")
    return model


def _unet(job: Job) -> UNet2DConditionModel:
    return _filled(pair.build_unet(), job.out / "painter/unet")


def _joint(job: Job) -> pair.Pair:
    model = pair.Pair()
    _filled(model.unet, job.out / "painter/unet")
    _filled(model.controlnet, job.out / "controlnet")
    return model


def _encoder(job: Job) -> nn.Module:
    model = encoder.Seer()
    _filled(model.encoder, job.out / "ip-adapter/image_encoder")
    return model


def _adapter(job: Job) -> nn.Module:
    model = adapter.Seeing()
    model.load_state_dict({**model.state_dict(), **_joint(job).state_dict()})
    _filled(model.encoder, job.out / "ip-adapter/image_encoder")
    parts: dict[str, dict[str, Tensor]] = {"image_proj": {}, "ip_adapter": {}}
    for name, weight in _file(job.out / "ip-adapter/ip-adapter.safetensors").items():
        part, _, rest = name.partition(".")
        parts[part][rest] = weight
    model.put_on(parts)
    return model


def _lora(job: Job, style: str) -> nn.Module:
    unet = lora.build(job)
    weights = _file(job.out / f"lora-{style}/pytorch_lora_weights.safetensors")
    inner = {name.removeprefix("unet."): weight for name, weight in weights.items()}
    set_peft_model_state_dict(unet, inner)
    return unet


def _save(job: Job, stage: str, model: nn.Module, trained: dict[str, float]) -> None:
    state = {
        "model": model.state_dict(),
        "average": model.state_dict(),
        "step": int(trained["steps"]),
        "seconds": 60 * trained["minutes"],
    }
    torch.save(state, job.work / f"{stage}.pt")


def train(job: Job) -> None:
    """Write the missing checkpoints, in the stages' order of dependency."""
    if not (job.work / "tokenizer").exists():
        shutil.copytree(job.out / "painter/tokenizer", job.work / "tokenizer")
    history = json.loads((job.out / "training.json").read_text("utf-8"))
    models: dict[str, Callable[[], nn.Module]] = {
        "text": lambda: _text(job),
        "vae": lambda: _vae(job, autoencoder.Passage()),
        "decoder": lambda: _vae(job, decoder.Rendering()),
        "sharpener": lambda: _vae(job, sharpener.Contest()),
        "segmenter": lambda: _filled(
            segmenter.build_segmenter(tokens.load(job)), job.out / "segmenter"
        ),
        "parser": lambda: parser.restored(job.out / "parser"),
        "pose": lambda: _filled(pose.build_pose(), job.out / "pose"),
        "depth": lambda: _filled(depth.build_depth(), job.out / "depth"),
        "rooms": lambda: _filled(rooms.build_rooms(), job.out / "rooms"),
        "painter": lambda: _unet(job),
        "joint": lambda: _joint(job),
        "encoder": lambda: _encoder(job),
        "adapter": lambda: _adapter(job),
        "lora-ink": lambda: _lora(job, "ink"),
        "lora-soft": lambda: _lora(job, "soft"),
        "enlarger": lambda: _filled(enlarger.build_enlarger(), job.out / "enlarger"),
    }
    for stage, build in models.items():
        # A pack may be older than a stage.
        if stage in history and not (job.work / f"{stage}.pt").exists():
            _save(job, stage, build(), history[stage])
            print(f"restored {stage}")
