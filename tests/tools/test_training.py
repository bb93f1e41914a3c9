"""Tests of restoring training checkpoints from the embedded pack."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tools.training import export, restore
from tools.training.common import Job

PACK = Path(__file__).parents[2] / "assets" / "pack"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack exported from the checkpoints that were restored from the embedded pack."""
    folder = tmp_path_factory.mktemp("training")
    work, out = folder / "work", folder / "pack"
    work.mkdir()
    shutil.copytree(PACK, out)
    job = Job(minutes=0, threads=1, work=work, out=out)
    restore.train(job)
    for path in [*out.rglob("*.safetensors"), *out.rglob("*.json")]:
        path.unlink()
    export.train(job)
    return out


@pytest.mark.parametrize("pattern", ["*.safetensors", "*.json"])
def test_what_is_restored_is_exported_as_it_was(exported: Path, pattern: str) -> None:
    """Bit for bit, and each stage with the steps and minutes that it has learned."""
    shipped = {path.relative_to(PACK): path.read_bytes() for path in PACK.rglob(pattern)}
    again = {path.relative_to(exported): path.read_bytes() for path in exported.rglob(pattern)}
    for made_later in ("measured.json", "segmenter/familiarity.safetensors"):
        shipped.pop(Path(made_later), None)
    assert sorted(again) == sorted(shipped)
    assert [str(path) for path in shipped if again[path] != shipped[path]] == []


def test_a_checkpoint_that_is_there_is_kept(tmp_path: Path) -> None:
    """What was learned since is not overwritten."""
    shutil.copytree(PACK / "painter" / "tokenizer", tmp_path / "tokenizer")
    stages = json.loads((PACK / "training.json").read_text(encoding="utf-8"))
    for stage in stages:
        (tmp_path / f"{stage}.pt").write_bytes(b"mine")
    restore.train(Job(minutes=0, threads=1, work=tmp_path, out=PACK))
    assert {(tmp_path / f"{stage}.pt").read_bytes() for stage in stages} == {b"mine"}
