"""Tests of training the autoencoder: drawings, its loss, further and adversarial training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.tiny_training import job_of, restore_some
from tools.portraits import draw_seed
from tools.training import drawings, sharpener, vae


def test_drawings_are_the_same_for_a_seed_and_some_are_parts_of_larger_ones() -> None:
    pictures = [drawings.drawing(seed) for seed in range(8)]
    assert {picture.shape for picture in pictures} == {(480, 384, 3)}
    np.testing.assert_array_equal(pictures[1], drawings.drawing(1))
    whole = [
        np.array_equal(picture, draw_seed(seed, (384, 480), False).image)
        for seed, picture in enumerate(pictures)
    ]
    assert 0 < sum(whole) < len(whole)


def test_a_patch_has_less_detail_blurred_and_as_much_elsewhere() -> None:
    x = torch.zeros(1, 3, 34, 34)
    x[..., 12] = 1.0
    moved, blurred = x.roll(2, dims=3), torch.nn.functional.avg_pool2d(x, 3, 1, 1)
    amount = vae.detail(x)
    assert amount.shape == (1, 3, 4, 4)
    torch.testing.assert_close(vae.detail(moved), amount)
    assert vae.detail(blurred).sum() < 0.5 * amount.sum()
    assert vae.detail(torch.ones(1, 3, 34, 34)).abs().max() == 0


def test_spots_are_counted_where_a_drawing_is_even_and_not_at_its_edges() -> None:
    drawn = torch.zeros(1, 3, 32, 32)
    drawn[..., 16:] = 1.0
    spotted, edged = drawn.clone(), drawn.clone()
    spotted[..., 8, 6] += 0.1  # ten columns away from the edge
    edged[..., 8, 15] += 0.1  # at the edge
    assert sharpener.unrest(drawn, drawn) == 0
    assert sharpener.unrest(edged, drawn) == 0
    assert sharpener.unrest(spotted, drawn) == pytest.approx(0.4 / 32**2)


def test_an_encoder_stays_as_it_is_where_decoders_and_latents_were_made_with_it(
    trained: Path,
) -> None:
    job = job_of(trained, 0.05)
    before = vae.load(job)
    vae.train(job)
    after = vae.load(job)
    assert after.config.scaling_factor == before.config.scaling_factor
    learned = after.state_dict()
    moved = {name for name, one in before.state_dict().items() if not one.equal(learned[name])}
    assert not {name for name in moved if name.startswith(("encoder.", "quant_conv."))}
    assert moved >= {"decoder.conv_in.weight", "decoder.conv_out.weight"}


def test_a_decoder_is_sharpened_and_its_encoder_stays_as_it_is(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = job_of(trained, 0.1)
    before = sharpener.load(job).state_dict()
    sharpener.train(job)
    assert capsys.readouterr().out.count("sharpener now") == 1
    after = sharpener.load(job).state_dict()
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    still = {name for name in before if name.startswith(("encoder.", "quant_conv."))}
    assert not moved & still
    assert moved >= {"decoder.conv_in.weight", "decoder.conv_out.weight"}


def test_the_more_is_repainted_the_more_it_misses_the_drawing(tmp_path: Path) -> None:
    restore_some(tmp_path, ("text", "vae", "decoder", "joint"))
    repainter = sharpener.Repainter(job_of(tmp_path))
    drawn = draw_seed(5, (96, 96), with_masks=False).image
    x = torch.from_numpy(drawn).permute(2, 0, 1)[None] / 127.5 - 1
    clean = repainter.vae.encode(x).latent_dist.mode()
    torch.manual_seed(0)
    off = [(repainter.latents(x, [5], begin, 2) - clean).square().mean() for begin in (1, 100, 600)]
    assert off == sorted(off)
    assert off[0] < 0.01 * clean.square().mean()


@pytest.mark.parametrize("size", [(16, 16), (20, 24)])
def test_crops_of_drawings_and_of_latents_show_the_same_place(size: tuple[int, int]) -> None:
    z = torch.rand(2, 4, *size)
    x = z[:, :3].repeat_interleave(8, 2).repeat_interleave(8, 3)
    pictures, latents = sharpener.crops(x, z, 5)
    assert pictures.shape == (5, 3, 128, 128)
    assert latents.shape == (5, 4, 16, 16)
    torch.testing.assert_close(pictures[:, :, ::8, ::8], latents[:, :3])
