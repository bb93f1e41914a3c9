"""Tests of the segmenter against the stock model, with the real classes at tiny size."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPSegForImageSegmentation, CLIPSegProcessor

from inference.mask.segmenter import Segmenter
from inference.picture.photo import Pixels
from tests.support import tiny_detectors, tiny_models

CPU = torch.device("cpu")
PHRASES = ("foreground", "a red hat", "x", "clothes", "the sky behind her")


@pytest.fixture(scope="module")
def processor(tmp_path_factory: pytest.TempPathFactory) -> CLIPSegProcessor:
    return tiny_detectors.clipseg_processor(tmp_path_factory.mktemp("clipseg"))


def picture(seed: int = 0, size: tuple[int, int] = (90, 70)) -> Pixels:
    """Noise over a gradient, so that all places differ."""
    width, height = size
    noise = np.random.default_rng(seed).integers(0, 128, (height, width, 3))
    return (noise + np.linspace(0, 127, width)[None, :, None]).astype(np.uint8)


def stock_logits(
    model: CLIPSegForImageSegmentation,
    processor: CLIPSegProcessor,
    pixels: Pixels,
    phrases: tuple[str, ...],
) -> np.ndarray:
    """Logits of the model's own forward; call it before a segmenter removes layers of the model."""
    image = Image.fromarray(pixels)
    inputs = processor(
        text=list(phrases), images=[image] * len(phrases), padding=True, return_tensors="pt"
    )
    with torch.inference_mode():
        logits = model(**inputs).logits
    return logits.reshape(len(phrases), *logits.shape[-2:]).numpy()


@pytest.mark.parametrize("complex_head", [False, True])
@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("size", [(90, 70), (64, 64), (33, 200)])
def test_the_heatmaps_are_those_of_the_stock_model(
    processor: CLIPSegProcessor, size: tuple[int, int], count: int, complex_head: bool
) -> None:
    model, pixels, phrases = (
        tiny_detectors.clipseg(complex_head=complex_head),
        picture(size=size),
        PHRASES[:count],
    )
    expected = stock_logits(model, processor, pixels, phrases)
    segmenter = Segmenter(model, processor, CPU)
    found = segmenter.segment(segmenter.encode_image(pixels), phrases)
    assert [heat.phrase for heat in found] == list(phrases)
    for heat, logits in zip(found, expected, strict=True):
        assert heat.logits.shape == (64, 64)
        assert heat.logits.dtype == np.float32
        np.testing.assert_allclose(heat.logits, logits, atol=1e-5)
        assert heat.peak == pytest.approx(1 / (1 + np.exp(-logits.max())), abs=1e-6)


def test_the_comparison_means_something(processor: CLIPSegProcessor) -> None:
    model = tiny_detectors.clipseg()
    one, other = (stock_logits(model, processor, picture(seed), PHRASES) for seed in (0, 1))
    assert 0.5 < one.std() < 20
    assert np.abs(one - other).max() > 0.1
    assert all(np.abs(one[0] - logits).max() > 0.1 for logits in one[1:])


def test_phrases_do_not_influence_each_other(processor: CLIPSegProcessor) -> None:
    segmenter = Segmenter(tiny_detectors.clipseg(), processor, CPU)
    seen = segmenter.encode_image(picture())
    together = segmenter.segment(seen, PHRASES)
    for phrase, heat in zip(PHRASES, together, strict=True):
        alone = segmenter.segment(seen, [phrase])[0]
        np.testing.assert_allclose(alone.logits, heat.logits, atol=1e-5)


def test_no_phrases_give_no_heatmaps(processor: CLIPSegProcessor) -> None:
    segmenter = Segmenter(tiny_detectors.clipseg(), processor, CPU)
    assert segmenter.segment(segmenter.encode_image(picture()), ()) == ()


def test_the_vision_tower_runs_once_and_only_as_far_as_the_decoder_reads(
    processor: CLIPSegProcessor,
) -> None:
    model = tiny_detectors.clipseg()
    runs = dict.fromkeys(range(tiny_detectors.VISION_LAYERS), 0)
    for i, layer in enumerate(model.clip.vision_model.encoder.layers):

        def count(_module: object, _inputs: object, _output: object, *, i: int = i) -> None:
            runs[i] += 1

        layer.register_forward_hook(count)
    segmenter = Segmenter(model, processor, CPU)
    seen = segmenter.encode_image(picture())
    for phrases in (PHRASES, PHRASES[:1], PHRASES[2:]):
        segmenter.segment(seen, phrases)
    needed = max(tiny_detectors.EXTRACTED) + 1
    assert needed < tiny_detectors.VISION_LAYERS
    assert runs == {i: int(i < needed) for i in range(tiny_detectors.VISION_LAYERS)}
    assert len(seen.layers) == len(tiny_detectors.EXTRACTED)
    assert all(layer.shape[0] == 1 for layer in seen.layers)


def test_heatmaps_carry_no_gradients(processor: CLIPSegProcessor) -> None:
    segmenter = Segmenter(tiny_detectors.clipseg(), processor, CPU)
    assert not any(layer.requires_grad for layer in segmenter.encode_image(picture()).layers)


@pytest.mark.parametrize("length", [74, 75, 76, 500])
def test_a_phrase_longer_than_the_text_encoder_reads_is_cut(
    processor: CLIPSegProcessor, length: int
) -> None:
    boundless = CLIPSegProcessor(
        image_processor=processor.image_processor, tokenizer=processor.tokenizer
    )
    boundless.tokenizer.model_max_length = int(1e30)
    segmenter = Segmenter(tiny_detectors.clipseg(), boundless, CPU)
    seen = segmenter.encode_image(picture())
    long = segmenter.segment(seen, ["y" * length, "hat"])[0]
    cut = segmenter.segment(seen, ["y" * min(length, 75)])[0]
    assert np.isfinite(long.logits).all()
    if length <= 75:
        np.testing.assert_allclose(long.logits, cut.logits, atol=1e-5)


@pytest.mark.parametrize("complex_head", [False, True])
def test_a_saved_model_is_loaded_and_finds_the_same(
    processor: CLIPSegProcessor, complex_head: bool, tmp_path: Path
) -> None:
    model = tiny_detectors.clipseg(complex_head=complex_head)
    expected = stock_logits(model, processor, picture(), PHRASES)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    segmenter = Segmenter.load(tmp_path, CPU)
    found = segmenter.segment(segmenter.encode_image(picture()), PHRASES)
    np.testing.assert_allclose([heat.logits for heat in found], expected, atol=1e-5)


def test_weights_of_half_precision_are_loaded_in_full(
    processor: CLIPSegProcessor, tmp_path: Path
) -> None:
    tiny_detectors.clipseg().half().save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    segmenter = Segmenter.load(tmp_path, CPU)
    seen = segmenter.encode_image(picture())
    assert {layer.dtype for layer in seen.layers} == {torch.float32}


@pytest.mark.parametrize(
    "settings",
    [
        {"image_processor_type": "ViTImageProcessor", "size": {"height": 64, "width": 64}},
        {"image_processor_type": "ViTFeatureExtractor", "size": {"height": 64, "width": 64}},
        {"feature_extractor_type": "ViTFeatureExtractor", "size": 64, "resample": 2},
    ],
    ids=lambda settings: str(settings["size"]),
)
def test_files_that_name_their_classes_as_of_old_are_read_without_warnings(
    settings: dict[str, object],
    processor: CLIPSegProcessor,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = tiny_detectors.clipseg()
    expected = stock_logits(model, processor, picture(), PHRASES)
    model.save_pretrained(tmp_path)
    tiny_models.save_tokenizer(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    library = logging.getLogger("transformers")
    library.addHandler(caplog.handler)
    try:
        segmenter = Segmenter.load(tmp_path, CPU)
    finally:
        library.removeHandler(caplog.handler)
    assert [record.getMessage() for record in caplog.records] == []
    found = segmenter.segment(segmenter.encode_image(picture()), PHRASES)
    np.testing.assert_allclose([heat.logits for heat in found], expected, atol=1e-5)
