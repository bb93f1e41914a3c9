"""Tiny models with random weights, in the file layout of the real repositories.

Each folder also holds files of the real one that must not be downloaded: pickles, whole
checkpoints, a safety checker. Such files contain UNWANTED.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import PNDMScheduler, StableDiffusionInpaintPipeline
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from peft import LoraConfig, get_peft_model_state_dict
from safetensors.torch import save_file
from transformers import (
    CLIPConfig,
    CLIPSegConfig,
    CLIPSegForImageSegmentation,
    CLIPVisionModelWithProjection,
    ConvNextConfig,
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    Dinov2Config,
    SamConfig,
    SamModel,
    Swin2SRConfig,
    Swin2SRForImageSuperResolution,
    UperNetConfig,
    UperNetForSemanticSegmentation,
    VitPoseBackboneConfig,
    VitPoseConfig,
    VitPoseForPoseEstimation,
)

from tests.support import tiny_models
from tests.support.weight_files import save_single_file

LORA_FILE = "pytorch_lora_weights.safetensors"
UNWANTED = b"must not be downloaded"


def save_unwanted(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(UNWANTED)


def save_pipeline(folder: Path, *, half_too: bool, channels: int = 4) -> None:
    """Stable Diffusion 1.5; `half_too` if the repository has .fp16 weights beside the full ones."""
    models = {
        "unet": tiny_models.unet(channels),
        "vae": tiny_models.vae(),
        "text_encoder": tiny_models.text_encoder(),
    }
    for name, model in models.items():
        model.save_pretrained(folder / name)
        if half_too:
            model.half().save_pretrained(folder / name, variant="fp16")
    PNDMScheduler(skip_prk_steps=True, steps_offset=1).save_pretrained(folder / "scheduler")
    tiny_models.save_tokenizer(folder / "tokenizer")
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
    model = tiny_models.controlnet()
    model.save_pretrained(folder)
    model.half().save_pretrained(folder, variant="fp16")
    save_unwanted(folder, "diffusion_pytorch_model.bin", "diffusion_pytorch_model.fp16.bin")


def save_lora(
    folder: Path, *, seed: int = 0, text_too: bool = False, file: str = LORA_FILE
) -> None:
    """A LoRA for the pipeline with a visible effect; `text_too` if it changes the text encoder."""
    torch.manual_seed(seed)
    unet, encoder = tiny_models.unet(), tiny_models.text_encoder()
    on_unet = LoraConfig(
        r=4, target_modules=["to_q", "to_k", "to_v", "to_out.0", "conv1"], init_lora_weights=False
    )
    unet.add_adapter(on_unet)
    encoder.add_adapter(
        LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    )
    texts = get_peft_model_state_dict(encoder) if text_too else None
    StableDiffusionInpaintPipeline.save_lora_weights(
        folder,
        unet_lora_layers=get_peft_model_state_dict(unet),
        text_encoder_lora_layers=texts,
        weight_name=file,
    )
    save_unwanted(folder, "pytorch_lora_weights.bin")


def save_vae(folder: Path) -> None:
    tiny_models.vae().save_pretrained(folder)
    save_unwanted(folder, "diffusion_pytorch_model.bin")


def save_segmenter(folder: Path) -> None:
    narrow = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2}
    config = CLIPSegConfig(
        text_config={
            **narrow,
            "num_hidden_layers": 1,
            "vocab_size": len(tiny_models.WORDS),
            **tiny_models.SPECIAL_IDS,
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
    tiny_models.save_tokenizer(folder)
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


def save_point_segmenter(folder: Path, *, side: int = 64) -> None:
    config = SamConfig(
        vision_config={
            "hidden_size": 16, "output_channels": 8, "num_hidden_layers": 1, "mlp_dim": 16,
            "num_attention_heads": 2, "image_size": side, "window_size": 2,
            "global_attn_indexes": [0], "num_pos_feats": 4,
        },
        prompt_encoder_config={
            "hidden_size": 8, "image_size": side, "patch_size": 16, "mask_input_channels": 4,
        },
        mask_decoder_config={
            "hidden_size": 8, "mlp_dim": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
            "iou_head_hidden_dim": 8,
        },
    )  # fmt: skip
    model = SamModel(config)
    for parameter in model.parameters():
        if parameter.dim() > 1:  # the class's own start gives the same answer everywhere
            torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    published = json.loads((folder / "config.json").read_text())
    for part in ("vision_config", "prompt_encoder_config", "mask_decoder_config"):
        published[part]["model_type"] = ""  # as in the repository
    (folder / "config.json").write_text(json.dumps(published))
    processor = {
        "image_processor_type": "SamImageProcessor", "processor_class": "SamProcessor",
        "size": {"longest_edge": side}, "pad_size": {"height": side, "width": side},
    }  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))


def save_enlarger(folder: Path, *, scale: int = 4) -> None:
    config = Swin2SRConfig(
        embed_dim=8,
        depths=[2],
        num_heads=[2],
        mlp_ratio=2.0,
        drop_path_rate=0.0,
        upscale=scale,
        initializer_range=0.04,
    )
    Swin2SRForImageSuperResolution(config).save_pretrained(folder)
    processor = {"image_processor_type": "Swin2SRImageProcessor", "do_pad": True, "pad_size": 8}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    save_unwanted(folder, "pytorch_model.bin")


def save_depth_estimator(folder: Path) -> None:
    backbone = Dinov2Config(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        mlp_ratio=2,
        image_size=56,
        patch_size=14,
        out_features=["stage1", "stage2"],
        reshape_hidden_states=False,
    )
    config = DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=16,
        neck_hidden_sizes=[8, 16],
        reassemble_factors=[4, 2],
        fusion_hidden_size=8,
        head_hidden_size=4,
    )
    model = DepthAnythingForDepthEstimation(config)
    for parameter in model.parameters():  # the class's own start gives a flat picture
        if parameter.dim() > 1:
            torch.nn.init.xavier_normal_(parameter, gain=2)
    model.save_pretrained(folder)
    processor = {
        "image_processor_type": "DPTImageProcessor",
        "size": {"height": 56, "width": 56},
        "keep_aspect_ratio": True,
        "ensure_multiple_of": 14,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))


def save_room_segmenter(folder: Path) -> None:
    backbone = ConvNextConfig(
        hidden_sizes=[8, 8, 8, 8],
        depths=[1, 1, 1, 1],
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    config = UperNetConfig(
        backbone_config=backbone, hidden_size=16, num_labels=150, auxiliary_in_channels=8
    )
    UperNetForSemanticSegmentation(config).save_pretrained(folder)
    processor = {
        "image_processor_type": "SegformerImageProcessor",
        "size": {"height": 64, "width": 64},
        "do_reduce_labels": True,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    save_unwanted(folder, "pytorch_model.bin")


def save_safety_checker(folder: Path) -> None:
    """A checker that flags nothing; as on the hub, the vision tower is nested a level deeper."""
    torch.manual_seed(0)
    narrow = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2}
    config = CLIPConfig(
        vision_config={**narrow, **heads, "image_size": 32, "patch_size": 16},
        text_config={**narrow, **heads},
        projection_dim=16,
    )
    model = StableDiffusionSafetyChecker(config)
    weights = model.state_dict() | {
        name: torch.randn(getattr(model, name).shape)
        for name in ("concept_embeds", "special_care_embeds")
    }
    # No cosine is above these, so that nothing is flagged.
    for name in ("concept_embeds_weights", "special_care_embeds_weights"):
        weights[name] = torch.full_like(weights[name], 2.0)
    model.save_pretrained(folder)
    tower = "vision_model."
    save_file(
        {
            name.replace(tower, tower * 2, 1) if name.startswith(tower) else name: value.clone()
            for name, value in weights.items()
        },
        folder / "model.safetensors",
    )
    processor = {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": 32},
        "crop_size": {"height": 32, "width": 32},
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    save_unwanted(folder, "pytorch_model.bin")


def save_ip_adapter(file: Path, *, parts: bool, seed: int = 0) -> None:
    """An IP-Adapter for `tiny.unet`; with `parts` one that uses embeddings of patches ("plus")."""
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(tiny_models.ip_adapter(parts=parts, seed=seed), file)


def save_image_encoder(folder: Path) -> None:
    """An image encoder as in IP-Adapter's repository: without a preprocessor config."""
    torch.manual_seed(0)
    CLIPVisionModelWithProjection(tiny_models.vision_config()).save_pretrained(folder)
    save_unwanted(folder, "pytorch_model.bin")


def _ip_adapters(folder: Path) -> None:
    save_image_encoder(folder / "models" / "image_encoder")
    for name in ("ip-adapter", "ip-adapter-plus", "ip-adapter-plus-face"):
        file = folder / "models" / f"{name}_sd15.safetensors"
        save_ip_adapter(file, parts="plus" in name, seed=len(name))
        save_unwanted(folder, f"models/{name}_sd15.bin")


def _composition(folder: Path) -> None:
    save_ip_adapter(folder / "ip_plus_composition_sd15.safetensors", parts=True, seed=9)
    save_unwanted(folder, "ip_plus_composition_sdxl.safetensors")


def _full(folder: Path) -> None:
    save_pipeline(folder, half_too=False)


def _full_with_twin(folder: Path) -> None:
    save_pipeline(folder, half_too=False)
    save_single_file(folder / INPAINTING_FILE, channels=9)


def _inpainting(folder: Path) -> None:
    save_pipeline(folder, half_too=True, channels=9)


def _full_and_half(folder: Path) -> None:
    save_pipeline(folder, half_too=True)


INPAINTING_FILE = "Realistic_Vision_V5.1_fp16-no-ema-inpainting.safetensors"
CONTROLNETS = (
    "v11p_sd15_openpose", "v11p_sd15_canny", "v11f1p_sd15_depth", "v11p_sd15_lineart",
    "v11p_sd15_mlsd", "v11p_sd15_softedge", "v11f1e_sd15_tile", "v11p_sd15_seg",
    "v11p_sd15_inpaint",
)  # fmt: skip

#: Writer of the repository of each name.
LAYOUTS: dict[str, Callable[[Path], None]] = {
    "SG161222/Realistic_Vision_V5.1_noVAE": _full_with_twin,
    "Lykon/dreamshaper-8": _full_and_half,
    "nitrosocke/Nitro-Diffusion": _full,
    "jinaai/flat-2d-animerge": _full_and_half,
    "stable-diffusion-v1-5/stable-diffusion-v1-5": _full_and_half,
    "stable-diffusion-v1-5/stable-diffusion-inpainting": _inpainting,
    "stabilityai/sd-vae-ft-mse": save_vae,
    **{f"lllyasviel/control_{name}": save_controlnet for name in CONTROLNETS},
    "monster-labs/control_v1p_sd15_qrcode_monster": save_controlnet,
    "h94/IP-Adapter": _ip_adapters,
    "ostris/ip-composition-adapter": _composition,
    "depth-anything/Depth-Anything-V2-Small-hf": save_depth_estimator,
    "openmmlab/upernet-convnext-tiny": save_room_segmenter,
    "CompVis/stable-diffusion-safety-checker": save_safety_checker,
    "CIDAS/clipseg-rd64-refined": save_segmenter,
    "nielsr/slimsam-77-uniform": save_point_segmenter,
    "usyd-community/vitpose-base-simple": save_pose_finder,
    "caidas/swin2SR-classical-sr-x4-64": save_enlarger,
}
