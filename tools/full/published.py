"""Published configurations of the networks of the family `sd15`, and tiny ones of the same kinds.

Each is the difference from the defaults of its class in diffusers or transformers. Sources: the
`config.json` of the repositories that `inference/catalog/catalog.toml` names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Config: TypeAlias = Mapping[str, Any]

_IDS = {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}
_IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
_CLIP = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
_RESCALED = {"do_rescale": True, "rescale_factor": 1 / 255}
_SCALED = {**_RESCALED, "do_resize": True}


@dataclass(frozen=True, kw_only=True)
class Shapes:
    """Configurations of all networks of the family at one size, by the kind of network.

    Attributes:
        networks: the arguments of each network's config or class.
        processors: the `preprocessor_config.json` of those that have one.
        lora_rank: rank of the LoRAs.
        image_tokens: number of tokens of a «plus» IP-Adapter.
        heads: number of attention heads, of 64 numbers each, in its resampler.
    """

    networks: Mapping[str, Config] = field(repr=False)
    processors: Mapping[str, Config] = field(repr=False)
    lora_rank: int
    image_tokens: int
    heads: int


_PROCESSORS: Mapping[str, Config] = {
    "segmenter": {
        **_SCALED, **_IMAGENET, "do_normalize": True, "image_processor_type": "ViTImageProcessor",
        "resample": 2, "size": {"height": 352, "width": 352},
    },
    "point_segmenter": {
        **_RESCALED, **_IMAGENET, "do_normalize": True, "do_pad": True, "do_resize": True,
        "image_processor_type": "SamImageProcessor", "resample": 2, "size": {"longest_edge": 1024},
        "pad_size": {"height": 1024, "width": 1024},
    },
    "pose": {
        **_RESCALED, **_IMAGENET, "do_normalize": True, "do_affine_transform": True,
        "image_processor_type": "VitPoseImageProcessor", "size": {"height": 256, "width": 192},
    },
    "depth": {
        **_SCALED, **_IMAGENET, "do_normalize": True, "do_pad": False,
        "image_processor_type": "DPTImageProcessor", "ensure_multiple_of": 14,
        "keep_aspect_ratio": True, "resample": 3, "size": {"height": 518, "width": 518},
    },
    "rooms": {
        **_SCALED, **_IMAGENET, "do_normalize": True, "do_reduce_labels": True,
        "image_processor_type": "SegformerImageProcessor", "resample": 2,
        "size": {"height": 512, "width": 512},
    },
    "enlarger": {
        **_RESCALED, "image_processor_type": "Swin2SRImageProcessor", "do_pad": True,
        "pad_size": 8,
    },
    "checker": {
        **_CLIP, "image_processor_type": "CLIPImageProcessor", "do_resize": True,
        "do_center_crop": True, "do_normalize": True, "resample": 3, "size": 224, "crop_size": 224,
    },
}  # fmt: skip

FULL = Shapes(
    networks={
        "unet": {
            "sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8,
            "block_out_channels": (320, 640, 1280, 1280),
        },
        "controlnet": {"cross_attention_dim": 768, "attention_head_dim": 8},
        "vae": {
            "block_out_channels": (128, 256, 512, 512), "layers_per_block": 2,
            "latent_channels": 4, "sample_size": 256,
        },
        "text_encoder": {
            "vocab_size": 49408, "hidden_size": 768, "intermediate_size": 3072,
            "num_hidden_layers": 12, "num_attention_heads": 12, "projection_dim": 768, **_IDS,
        },
        "image_encoder": {
            "hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32,
            "num_attention_heads": 16, "image_size": 224, "patch_size": 14,
            "projection_dim": 1024, "hidden_act": "gelu",
        },
        "segmenter": {
            "use_complex_transposed_convolution": True, "reduce_dim": 64,
            "text_config": _IDS, "vision_config": {"patch_size": 16},
        },
        "point_segmenter": {
            "vision_config": {"hidden_size": 168, "mlp_dim": 696, "initializer_range": 0.02}
        },
        "pose": {"backbone": {"out_indices": [12]}, "num_labels": 17, "use_simple_decoder": True},
        "depth": {
            "backbone": {
                "hidden_size": 384, "num_attention_heads": 6, "num_hidden_layers": 12,
                "image_size": 518, "patch_size": 14, "reshape_hidden_states": False,
                "out_features": ["stage3", "stage6", "stage9", "stage12"],
            },
            "reassemble_hidden_size": 384, "neck_hidden_sizes": [48, 96, 192, 384],
            "fusion_hidden_size": 64, "head_hidden_size": 32, "patch_size": 14,
        },
        "rooms": {
            "backbone": {
                "hidden_sizes": [96, 192, 384, 768], "depths": [3, 3, 9, 3],
                "out_features": ["stage1", "stage2", "stage3", "stage4"],
            },
            "hidden_size": 512, "auxiliary_in_channels": 384, "num_labels": 150,
        },
        "enlarger": {
            "image_size": 64, "embed_dim": 180, "depths": [6] * 6, "num_heads": [6] * 6,
            "window_size": 8, "mlp_ratio": 2.0, "upscale": 4, "upsampler": "pixelshuffle",
        },
        "checker": {
            "vision_config": {
                "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24,
                "num_attention_heads": 16, "image_size": 224, "patch_size": 14,
            },
            "projection_dim": 768,
        },
    },
    processors=_PROCESSORS,
    lora_rank=64,
    image_tokens=16,
    heads=12,
)  # fmt: skip

_NARROW = {"hidden_size": 32, "intermediate_size": 32, "num_attention_heads": 2}
_TINY_UNET: Config = {
    "block_out_channels": (16, 32), "layers_per_block": 1, "cross_attention_dim": 64,
    "attention_head_dim": 4, "norm_num_groups": 4,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
}  # fmt: skip
_TINY_VISION = {**_NARROW, "num_hidden_layers": 2, "image_size": 32, "patch_size": 16}

TINY = Shapes(
    networks={
        "unet": {
            **_TINY_UNET, "sample_size": 64, "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D")
        },
        "controlnet": {**_TINY_UNET, "conditioning_embedding_out_channels": (8, 8, 16, 16)},
        "vae": {"block_out_channels": (8, 8, 16, 16), "latent_channels": 4, "norm_num_groups": 4},
        "text_encoder": {
            **_NARROW, **_IDS, "hidden_size": 64, "vocab_size": 514, "num_hidden_layers": 2
        },
        "image_encoder": {**_TINY_VISION, "projection_dim": 24, "hidden_act": "gelu"},
        "segmenter": {
            "use_complex_transposed_convolution": True, "reduce_dim": 8, "projection_dim": 16,
            "text_config": {**_NARROW, **_IDS, "vocab_size": 514, "num_hidden_layers": 1},
            "vision_config": _TINY_VISION, "extract_layers": [0, 1],
            "decoder_num_attention_heads": 2, "decoder_intermediate_size": 16,
        },
        "point_segmenter": {
            "vision_config": {
                "hidden_size": 16, "output_channels": 8, "num_hidden_layers": 1, "mlp_dim": 16,
                "num_attention_heads": 2, "image_size": 64, "window_size": 2,
                "global_attn_indexes": [0], "num_pos_feats": 4, "initializer_range": 0.02,
            },
            "prompt_encoder_config": {
                "hidden_size": 8, "image_size": 64, "patch_size": 16, "mask_input_channels": 4
            },
            "mask_decoder_config": {
                "hidden_size": 8, "mlp_dim": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
                "iou_head_hidden_dim": 8,
            },
        },
        "pose": {
            "backbone": {
                "image_size": [256, 192], "patch_size": [16, 16], "hidden_size": 16,
                "num_hidden_layers": 1, "num_attention_heads": 2, "out_indices": [1],
            },
            "num_labels": 17, "use_simple_decoder": True,
        },
        "depth": {
            "backbone": {
                "hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 2,
                "mlp_ratio": 2, "image_size": 56, "patch_size": 14,
                "reshape_hidden_states": False, "out_features": ["stage1", "stage2"],
            },
            "reassemble_hidden_size": 16, "neck_hidden_sizes": [8, 16], "patch_size": 14,
            "reassemble_factors": [4, 2], "fusion_hidden_size": 8, "head_hidden_size": 4,
        },
        "rooms": {
            "backbone": {
                "hidden_sizes": [8] * 4, "depths": [1] * 4,
                "out_features": ["stage1", "stage2", "stage3", "stage4"],
            },
            "hidden_size": 16, "auxiliary_in_channels": 8, "num_labels": 150,
        },
        "enlarger": {
            "embed_dim": 8, "depths": [2], "num_heads": [2], "mlp_ratio": 2.0, "upscale": 4
        },
        "checker": {
            "vision_config": _TINY_VISION, "projection_dim": 16,
            "text_config": {**_NARROW, "num_hidden_layers": 1},
        },
    },
    processors={
        **_PROCESSORS,
        "segmenter": {**_PROCESSORS["segmenter"], "size": {"height": 32, "width": 32}},
        "point_segmenter": {
            **_PROCESSORS["point_segmenter"], "size": {"longest_edge": 64},
            "pad_size": {"height": 64, "width": 64},
        },
        "depth": {**_PROCESSORS["depth"], "size": {"height": 56, "width": 56}},
        "checker": {**_PROCESSORS["checker"], "size": 32, "crop_size": 32},
    },
    lora_rank=4,
    image_tokens=3,
    heads=1,
)  # fmt: skip
