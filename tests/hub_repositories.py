"""Tiny models with random weights, in the file layout of the real repositories.

Each folder also holds what the real one holds and nobody wants: pickles, whole checkpoints, a
safety checker. Such files contain UNWANTED.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from diffusers import PNDMScheduler
from transformers import (
    CLIPSegConfig,
    CLIPSegForImageSegmentation,
    VitPoseBackboneConfig,
    VitPoseConfig,
    VitPoseForPoseEstimation,
)

from tests import tiny

UNWANTED = b"must not be downloaded"


def save_unwanted(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(UNWANTED)


def save_pipeline(folder: Path, *, half_too: bool) -> None:
    """Stable Diffusion 1.5; `half_too` where the repository has .fp16 weights beside the full."""
    models = {"unet": tiny.unet(), "vae": tiny.vae(), "text_encoder": tiny.text_encoder()}
    for name, model in models.items():
        model.save_pretrained(folder / name)
        if half_too:
            model.half().save_pretrained(folder / name, variant="fp16")
    PNDMScheduler(skip_prk_steps=True, steps_offset=1).save_pretrained(folder / "scheduler")
    tiny.save_tokenizer(folder / "tokenizer")
    index = {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": "0.21.0",
        "unet": ("diffusers", "UNet2DConditionModel"),
        "vae": ("diffusers", "AutoencoderKL"),
        "scheduler": ("diffusers", "PNDMScheduler"),
        "text_encoder": ("transformers", "CLIPTextModel"),
        "tokenizer": ("transformers", "CLIPTokenizer"),
        "feature_extractor": ("transformers", "CLIPImageProcessor"),
        "safety_checker": ("stable_diffusion", "StableDiffusionSafetyChecker"),
    }
    (folder / "model_index.json").write_text(json.dumps(index))
    save_unwanted(
        folder,
        "unet/diffusion_pytorch_model.bin",
        "unet/diffusion_pytorch_model.non_ema.safetensors",
        "text_encoder/pytorch_model.bin",
        "safety_checker/model.safetensors",
        "whole-pruned.safetensors",
        "whole.ckpt",
        "README.md",
    )


def save_controlnet(folder: Path) -> None:
    model = tiny.controlnet()
    model.save_pretrained(folder)
    model.half().save_pretrained(folder, variant="fp16")
    save_unwanted(folder, "diffusion_pytorch_model.bin", "diffusion_pytorch_model.fp16.bin")


def save_vae(folder: Path) -> None:
    tiny.vae().save_pretrained(folder)
    save_unwanted(folder, "diffusion_pytorch_model.bin")


def save_segmenter(folder: Path) -> None:
    narrow = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2}
    config = CLIPSegConfig(
        text_config={
            **narrow,
            "num_hidden_layers": 1,
            "vocab_size": len(tiny.WORDS),
            **tiny.SPECIAL_IDS,
        },
        vision_config={**narrow, "num_hidden_layers": 2, "image_size": 32, "patch_size": 16},
        projection_dim=16,
        reduce_dim=8,
        extract_layers=[0, 1],
        decoder_num_attention_heads=2,
        decoder_intermediate_size=16,
    )
    CLIPSegForImageSegmentation(config).save_pretrained(folder)
    processor = {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    tiny.save_tokenizer(folder)
    save_unwanted(folder, "pytorch_model.bin")


def save_pose_finder(folder: Path) -> None:
    backbone = VitPoseBackboneConfig(
        image_size=[32, 32],
        patch_size=[16, 16],
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        out_indices=[1],
    )
    VitPoseForPoseEstimation(
        VitPoseConfig(backbone_config=backbone, num_labels=17)
    ).save_pretrained(folder)
    processor = {
        "image_processor_type": "VitPoseImageProcessor",
        "size": {"height": 32, "width": 32},
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))


def _full(folder: Path) -> None:
    save_pipeline(folder, half_too=False)


def _full_and_half(folder: Path) -> None:
    save_pipeline(folder, half_too=True)


#: What is on the hub under each name.
LAYOUTS: dict[str, Callable[[Path], None]] = {
    "SG161222/Realistic_Vision_V5.1_noVAE": _full,
    "Lykon/dreamshaper-8": _full_and_half,
    "nitrosocke/Nitro-Diffusion": _full,
    "jinaai/flat-2d-animerge": _full_and_half,
    "stable-diffusion-v1-5/stable-diffusion-v1-5": _full_and_half,
    "stabilityai/sd-vae-ft-mse": save_vae,
    "lllyasviel/control_v11p_sd15_openpose": save_controlnet,
    "lllyasviel/control_v11p_sd15_canny": save_controlnet,
    "CIDAS/clipseg-rd64-refined": save_segmenter,
    "usyd-community/vitpose-base-simple": save_pose_finder,
}
