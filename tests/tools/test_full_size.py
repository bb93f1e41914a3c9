"""Tests of the full-size trials: at tiny size end to end, and at full size without computing."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import torch
from transformers import CLIPTokenizer

from inference.catalog.catalog import Catalog
from inference.recipe.finish_settings import FinishSettings
from tools import full_size
from tools.full import adapters, networks, table
from tools.full.measuring import Bench, Measured, measure_all, read
from tools.full.published import FULL, TINY
from tools.full.rows import Row, rows_of
from tools.full.trial import Outcome
from tools.full.vocabulary import save_tokenizer

MEGABYTE = 1e6
ROWS = rows_of(Catalog.load(), full_size.FAMILY)


@pytest.fixture(autouse=True)
def no_package_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without MediaPipe's models, which would be downloaded; strokes make the mask."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def test_two_rows_at_tiny_size_from_the_repositories_to_the_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    document = tmp_path / "document.md"
    document.write_text(f"before\n{table.START}\nold\n{table.END}\nafter\n")
    monkeypatch.setattr(full_size, "DOCUMENT", document)
    only = ["control-depth", "checker"]
    assert full_size.main([str(tmp_path), "--tiny", "--save", "--only", *only]) == 0
    found = read(tmp_path / "tiny" / "results.json")
    assert list(found) == only
    for measured in found.values():
        assert measured.downloaded > 0
        assert measured.outcome.problem == ""
        assert measured.outcome.size == (512, 512)
        assert measured.outcome.peak > 100 * MEGABYTE
    text = document.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert "| style Photo | | | | | | | not tried |" in text
    assert "| control depth (ControlNet) | " in text
    assert text.split(table.START)[1].split(table.END)[0].strip() in capsys.readouterr().out
    assert not (tmp_path / "tiny" / "cache").exists()


def test_a_row_that_fails_says_why_and_does_not_stop_the_others(tmp_path: Path) -> None:
    nobody = Row(key="nobody", title="nobody's style", style="nobody", recipe={})
    missing = Row(key="missing", title="a package", style="photo", recipe={}, needs="no_package")
    bench = Bench(
        hub="http://127.0.0.1:9",
        cache=tmp_path,
        photo=full_size.PHOTO,
        small=Path(__file__).parents[2] / "inference" / "catalog" / "catalog.toml",
    )
    told: list[str] = []
    kept = tmp_path / "results.json"
    measure_all(bench, [nobody, missing], kept, lambda row, _measured: told.append(row.key))
    assert told == ["nobody", "missing"]
    text = table.markdown([nobody, missing], read(kept), "Somewhere.")
    assert "| nobody's style | | | | | | | **failed**: There is no style named 'nobody'" in text
    assert "| a package | | | | | | | not tried: no_package is not installed |" in text


@pytest.mark.parametrize(
    ("outcome", "last"),
    [
        (Outcome(size=(512, 640)), "| 512×640 | 0 |"),
        (
            Outcome(size=(512, 640), kept_pixels_changed=7, problem="7 kept pixels changed"),
            "| 512×640 | **7 kept pixels changed** |",
        ),
    ],
)
def test_the_end_of_a_line_says_whether_all_is_well(outcome: Outcome, last: str) -> None:
    row = ROWS[0]
    text = table.markdown([row], {row.key: Measured(downloaded=0, outcome=outcome)}, "")
    assert text.endswith(last)


def test_the_rows_cover_the_catalog_and_the_finishing_stages() -> None:
    catalog, family = Catalog.load(), full_size.FAMILY
    recipes = [row.recipe for row in ROWS]
    assert {row.style for row in ROWS} == {style.key for style in catalog.styles(family)}
    controls = {recipe["controlnet"] for recipe in recipes}
    assert controls - {None} == {control.key for control in catalog.controls(family)}
    prompts = " ".join(str(recipe["prompt"]) for recipe in recipes)
    assert all(f"<lora:{key}:" in prompts for key in catalog.family(family).loras)
    switches = {
        name for name, field in FinishSettings.model_fields.items() if field.annotation is bool
    }
    assert all(any(recipe.get(one) for recipe in recipes) for one in switches - {"protect"})
    assert len({row.key for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize(
    ("kind", "millions"),
    [
        ("unet", 859.521), ("controlnet", 361.279), ("vae", 83.654), ("text_encoder", 123.060),
        ("image_encoder", 632.077), ("segmenter", 150.75), ("depth", 24.785), ("enlarger", 12.24),
        ("rooms", 60.2), ("pose", 86.0), ("checker", 303.98),
    ],
)  # fmt: skip
def test_full_networks_have_as_many_weights_as_the_published_ones(
    kind: str, millions: float
) -> None:
    with torch.device("meta"):
        network = networks.build(kind, FULL.networks[kind])
    count = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    assert count == pytest.approx(millions, rel=2e-3)


@pytest.mark.parametrize(
    ("weights", "megabytes"),
    [
        (lambda: adapters.lora(FULL), 134.6),
        (lambda: adapters.ip_adapter(FULL, is_plus=False), 44.6),
        (lambda: adapters.ip_adapter(FULL, is_plus=True), 98.2),
    ],
    ids=["LoRA", "IP-Adapter", "IP-Adapter plus"],
)
def test_adapters_are_as_large_as_the_published_files(weights: object, megabytes: float) -> None:
    tensors = weights().values()  # type: ignore[operator]
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    assert size / MEGABYTE == pytest.approx(megabytes, rel=2e-3)


def test_both_sizes_have_the_same_networks() -> None:
    assert FULL.networks.keys() == TINY.networks.keys()
    assert FULL.processors.keys() == TINY.processors.keys()


def test_a_vocabulary_is_read_from_a_list_of_merges(tmp_path: Path) -> None:
    merges = gzip.compress(b'"version"\ng a\nr d\nga rd\ne n</w>\ngard en</w>\n')
    (tmp_path / "merges.gz").write_bytes(merges)
    save_tokenizer(tmp_path / "published", tmp_path / "merges.gz")
    save_tokenizer(tmp_path / "bytes", None)
    published, single = (
        CLIPTokenizer.from_pretrained(tmp_path / name) for name in ("published", "bytes")
    )
    assert published.tokenize("a garden") == ["a</w>", "garden</w>"]
    assert single.tokenize("a garden") == ["a</w>", "g", "a", "r", "d", "e", "n</w>"]
    unknown = single.convert_tokens_to_ids(single.unk_token)
    assert unknown not in single.convert_tokens_to_ids(single.tokenize("Ünïcöde ♥"))
    assert len(json.loads((tmp_path / "bytes" / "vocab.json").read_text())) == 514
