"""The real detector classes at tiny size with random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from transformers import (
    CLIPSegConfig,
    CLIPSegForImageSegmentation,
    CLIPSegProcessor,
    VitPoseBackboneConfig,
    VitPoseConfig,
    VitPoseForPoseEstimation,
)
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil
from transformers.models.vitpose.image_processing_pil_vitpose import VitPoseImageProcessorPil

from tests.support import tiny_models

WIDTH = 32
SIDE = 64
VISION_LAYERS = 5
EXTRACTED = (0, 2, 3)
POSE_SIZE = {"height": 64, "width": 48}


def clipseg(*, complex_head: bool = False, spread: float = 2.0) -> CLIPSegForImageSegmentation:
    """A CLIPSeg whose logits have a standard deviation of about `spread`."""
    torch.manual_seed(0)
    narrow = {"hidden_size": WIDTH, "intermediate_size": WIDTH, "num_attention_heads": 2}
    text = {"num_hidden_layers": 2, "vocab_size": len(tiny_models.WORDS), **tiny_models.SPECIAL_IDS}
    vision = {"num_hidden_layers": VISION_LAYERS, "image_size": SIDE, "patch_size": 16}
    config = CLIPSegConfig(
        text_config=narrow | text,
        vision_config=narrow | vision,
        projection_dim=16,
        reduce_dim=16,
        extract_layers=list(EXTRACTED),
        decoder_num_attention_heads=2,
        decoder_intermediate_size=WIDTH,
        use_complex_transposed_convolution=complex_head,
    )
    model = CLIPSegForImageSegmentation(config).eval()
    _make_lively(model, spread)
    return model


def _make_lively(model: CLIPSegForImageSegmentation, spread: float) -> None:
    """Set random weights with which the logits depend on both the picture and the words.

    With the class's own initialization the logits are ±500 for any input.
    """
    for module in model.decoder.modules():
        if isinstance(module, (nn.Linear, nn.LayerNorm, nn.Conv2d, nn.ConvTranspose2d)):
            module.reset_parameters()
    nn.init.normal_(model.clip.text_model.embeddings.token_embedding.weight, std=0.5)
    nn.init.normal_(model.clip.vision_model.embeddings.patch_embedding.weight, std=0.1)
    for film in (model.decoder.film_mul, model.decoder.film_add):
        nn.init.normal_(film.weight, std=1.0)
    last = list(model.decoder.transposed_convolution.modules())[-1]
    assert isinstance(last, nn.ConvTranspose2d)
    with torch.no_grad():
        logits = model(
            pixel_values=torch.randn(4, 3, SIDE, SIDE), conditional_embeddings=torch.randn(4, 16)
        ).logits
        last.weight *= spread / logits.std()
        last.bias.zero_()


def clipseg_processor(folder: Path) -> CLIPSegProcessor:
    """CLIPSeg's processor, with a tokenizer that splits every word into letters."""
    images = ViTImageProcessorPil(size={"height": SIDE, "width": SIDE})
    return CLIPSegProcessor(
        image_processor=images, tokenizer=tiny_models.tokenizer(folder / "tokenizer")
    )


def vitpose() -> VitPoseForPoseEstimation:
    """A ViTPose for the 17 COCO key points."""
    torch.manual_seed(0)
    backbone = VitPoseBackboneConfig(
        image_size=[POSE_SIZE["height"], POSE_SIZE["width"]],
        patch_size=[16, 16],
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        out_indices=[2],
    )
    config = VitPoseConfig(backbone_config=backbone, num_labels=17)
    return VitPoseForPoseEstimation(config).eval()


def vitpose_processor() -> VitPoseImageProcessorPil:
    """ViTPose's processor."""
    return VitPoseImageProcessorPil(size=POSE_SIZE)


def save_graph(folder: Path, operator: str, *constants: float, side: int | str = 512) -> Path:
    """A model of one operator on (1, 3, side, side); see the ONNX operator list."""
    folder.mkdir(exist_ok=True)
    shape = [1, 3, side, side]
    names = [f"constant{k}" for k in range(len(constants))]
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node(operator, ["face", *names], ["restored"])],
            "restorer",
            [helper.make_tensor_value_info("face", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("restored", TensorProto.FLOAT, shape)],
            [
                numpy_helper.from_array(np.array(value, dtype=np.float32), name)
                for name, value in zip(names, constants, strict=True)
            ],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    onnx.save(model, folder / "model.onnx")
    return folder
