"""Tests of the forms of weights: which one is taken, and that all give the same model."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from inference.catalog import hub, hub_cache
from inference.catalog.catalog import HubSource
from inference.catalog.download import DownloadProgress
from inference.catalog.hub_client import HubFile, HubListing, cache_folder
from inference.catalog.weight_forms import WeightForm, choose
from inference.errors import HubUnreachable, MissingModel, MissingRevision, ModelUnavailable
from tests.support.hub_server import HubServer
from tests.support.weight_files import pickle_weights

REPO, FILE, HALF = "someone/old", "diffusion_pytorch_model", "diffusion_pytorch_model.fp16"
GONE = "0123456789abcdef0123456789abcdef01234567"
SOURCE = HubSource(
    repo=REPO,
    files=("config.json", f"unet/{FILE}.safetensors", "text_encoder/model.safetensors"),
    conversion="refs/pr/7",
    single_file="whole.safetensors",
)
UNET, TEXT = f"unet/{FILE}", "text_encoder/model"


def listing(*names: str) -> HubListing:
    return HubListing(
        commit="c0", files=tuple(HubFile(name=name, size=1, sha256=None) for name in names)
    )


# Each row: files at the branch main, files in the conversion branch, form, branch, files taken.
FORMS: list[tuple[list[str], list[str], WeightForm, str, set[str]]] = [
    (
        ["config.json", f"{UNET}.safetensors", f"{TEXT}.safetensors", "whole.safetensors"],
        [],
        WeightForm.SAFETENSORS, "main",
        {"config.json", f"{UNET}.safetensors", f"{TEXT}.safetensors"},
    ),
    (
        ["config.json", f"{UNET}.safetensors", f"{UNET}.fp16.safetensors", f"{TEXT}.safetensors"],
        [],
        WeightForm.HALF, "main",
        {"config.json", f"{UNET}.fp16.safetensors", f"{TEXT}.safetensors"},
    ),
    (
        ["config.json", f"{UNET}.bin", "text_encoder/pytorch_model.bin", "whole.safetensors"],
        ["config.json", f"{UNET}.safetensors", f"{TEXT}.safetensors"],
        WeightForm.CONVERSION, "refs/pr/7",
        {"config.json", f"{UNET}.safetensors", f"{TEXT}.safetensors"},
    ),
    (
        ["config.json", f"{UNET}.bin", "text_encoder/pytorch_model.bin", "whole.safetensors"],
        ["config.json", f"{UNET}.safetensors"],
        WeightForm.SINGLE_FILE, "main",
        {"config.json", "whole.safetensors"},
    ),
    (
        ["whole.safetensors"], [],
        WeightForm.SINGLE_FILE, "main",
        {"whole.safetensors"},
    ),
    (
        ["config.json", f"{UNET}.bin", "text_encoder/pytorch_model.bin", "whole.ckpt"], [],
        WeightForm.PICKLED, "main",
        {"config.json", f"{UNET}.bin", "text_encoder/pytorch_model.bin"},
    ),
    (
        ["config.json", f"{UNET}.bin", f"{UNET}.fp16.bin", f"{TEXT}.safetensors"], [],
        WeightForm.PICKLED, "main",
        {"config.json", f"{UNET}.fp16.bin", f"{TEXT}.safetensors"},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("main", "branch", "form", "revision", "taken"), FORMS)
def test_the_first_form_that_a_repository_has_is_taken(
    main: list[str], branch: list[str], form: WeightForm, revision: str, taken: set[str]
) -> None:
    def ask(source: HubSource) -> HubListing:
        return listing(*(main if source.revision == "main" else branch))

    choice = choose(SOURCE, ask)
    assert (choice.form, choice.revision) == (form, revision)
    assert {file.name for file in choice.listing.files} == taken


def test_pickles_are_kept_under_the_names_that_loaders_look_for() -> None:
    names = ("config.json", f"{UNET}.fp16.bin", "text_encoder/pytorch_model.bin")
    assert dict(choose(SOURCE, lambda _: listing(*names)).conversions) == {
        f"{UNET}.fp16.bin": f"{UNET}.fp16.safetensors",
        "text_encoder/pytorch_model.bin": f"{TEXT}.safetensors",
    }


@pytest.mark.parametrize(
    "names",
    [
        ["config.json", f"{UNET}.safetensors"],
        ["config.json", f"{UNET}.ckpt", "text_encoder/model.pt", "whole.ckpt"],
        [f"{UNET}.bin", "text_encoder/pytorch_model.bin"],
    ],
    ids=["no text encoder", "formats that are not read", "no config"],
)
def test_a_repository_without_any_form_is_refused(names: list[str]) -> None:
    with pytest.raises(MissingModel, match="has no file"):
        choose(SOURCE, lambda _: listing(*names))


def test_a_conversion_branch_is_asked_only_where_it_is_needed() -> None:
    asked: list[str] = []

    def ask(source: HubSource) -> HubListing:
        asked.append(source.revision)
        return listing("config.json", f"{UNET}.safetensors", f"{TEXT}.safetensors")

    choose(SOURCE, ask)
    assert asked == ["main"]


@pytest.mark.parametrize(("revision", "asked"), [(GONE, [GONE, "main"]), ("v9", ["v9"])])
def test_only_a_commit_that_is_gone_is_replaced_by_main(revision: str, asked: list[str]) -> None:
    seen: list[str] = []

    def ask(source: HubSource) -> HubListing:
        seen.append(source.revision)
        if source.revision != "main":
            raise MissingRevision("It is gone.")
        return listing("config.json", f"{UNET}.safetensors", f"{TEXT}.safetensors")

    pinned = SOURCE.model_copy(update={"revision": revision})
    if "main" in asked:
        assert choose(pinned, ask).revision == "main"
    else:
        with pytest.raises(MissingRevision):
            choose(pinned, ask)
    assert seen == asked


# --- through the hub and the cache --------------------------------------------------------------


def told(source: HubSource) -> tuple[WeightForm, str]:
    """Form and revision of what is in the cache."""
    kept = hub_cache.kept(source)
    assert kept is not None
    return kept.form, kept.revision


def weights() -> dict[str, torch.Tensor]:
    return {"conv.weight": torch.arange(600.0).reshape(20, 30), "conv.bias": torch.ones(20)}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a config and two files of weights."""
    folder = tmp_path / "repository"
    for name in (UNET, TEXT):
        (folder / name).parent.mkdir(parents=True)
        save_file(weights(), folder / f"{name}.safetensors")
    (folder / "config.json").write_text("{}")
    return folder


def plain(folder: Path) -> None:
    """Leave the repository as it is."""


def single(folder: Path) -> None:
    """Leave only one file with the whole checkpoint."""
    (folder / f"{UNET}.safetensors").rename(folder / "whole.safetensors")
    shutil.rmtree(folder / "text_encoder")


@pytest.mark.parametrize(
    ("change", "form", "kept"),
    [
        (plain, WeightForm.SAFETENSORS, {f"{UNET}.safetensors", f"{TEXT}.safetensors"}),
        (single, WeightForm.SINGLE_FILE, {"whole.safetensors"}),
        (pickle_weights, WeightForm.PICKLED, {f"{UNET}.safetensors", f"{TEXT}.safetensors"}),
    ],
    ids=["safetensors", "single file", "pickles"],
)
def test_every_form_is_fetched_once_and_told(
    server: HubServer,
    repository: Path,
    change: Callable[[Path], None],
    form: WeightForm,
    kept: set[str],
) -> None:
    change(repository)
    server.add(REPO, repository)
    seen: list[DownloadProgress] = []
    folder = hub.fetch(SOURCE, progress=seen.append)
    assert told(SOURCE) == (form, "main")
    assert {p.relative_to(folder).as_posix() for p in folder.rglob("*.*")} == {"config.json", *kept}
    for name in kept:
        held = load_file(folder / name)
        assert all(torch.equal(held[key], value) for key, value in weights().items())
    assert (hub.single_file(SOURCE, folder) is not None) == (form is WeightForm.SINGLE_FILE)
    assert seen[-1].bytes_done == seen[-1].bytes_total

    server.close()
    assert hub.is_ready(SOURCE)
    assert hub.fetch(SOURCE) == folder


def test_a_conversion_branch_gives_the_whole_folder(server: HubServer, repository: Path) -> None:
    converted = repository.with_name("converted")
    shutil.copytree(repository, converted)
    pickle_weights(repository)
    server.add(REPO, repository)
    server.add_branch(REPO, "refs/pr/7", converted)
    folder = hub.fetch(SOURCE)
    assert told(SOURCE) == (WeightForm.CONVERSION, "refs/pr/7")
    assert not [path for path in server.downloads() if path.endswith(".bin")]
    assert (folder / "config.json").is_file()
    server.close()
    assert hub.fetch(SOURCE) == folder


def test_converted_pickles_need_no_network_even_without_their_receipt(
    server: HubServer, repository: Path
) -> None:
    pickle_weights(repository)
    server.add(REPO, repository)
    folder = hub.fetch(SOURCE)
    shutil.rmtree(folder.parents[1] / "receipts")
    server.requests.clear()
    assert hub.fetch(SOURCE) == folder
    assert not [path for path in server.downloads() if path.endswith(".bin")]


def test_a_pickle_is_deleted_once_it_is_converted_unless_it_was_there(
    server: HubServer, repository: Path
) -> None:
    pickle_weights(repository)
    server.add(REPO, repository)
    folder = hub.fetch(SOURCE)
    blobs = folder.parents[1] / "blobs"
    assert [path for path in blobs.iterdir() if path.stat().st_size > 1000] == []

    (folder / f"{UNET}.safetensors").unlink()
    shutil.copy(repository / f"{UNET}.bin", folder / f"{UNET}.bin")  # as another program has it
    server.requests.clear()
    hub.fetch(SOURCE)
    assert (folder / f"{UNET}.bin").is_file()
    assert (folder / f"{UNET}.safetensors").is_file()


def test_a_damaged_conversion_is_made_again(server: HubServer, repository: Path) -> None:
    pickle_weights(repository)
    server.add(REPO, repository)
    file = hub.fetch(SOURCE) / f"{UNET}.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    assert not hub.is_ready(SOURCE)
    assert load_file(hub.fetch(SOURCE) / f"{UNET}.safetensors")["conv.bias"].sum() == 20


def test_a_pinned_commit_that_is_gone_is_told(server: HubServer, repository: Path) -> None:
    server.add(REPO, repository)
    pinned = SOURCE.model_copy(update={"revision": GONE})
    hub.fetch(pinned)
    assert told(pinned) == (WeightForm.SAFETENSORS, "main")
    server.close()
    assert hub.is_ready(pinned)


def test_what_other_programs_left_in_any_form_is_used_without_network(
    server: HubServer, repository: Path
) -> None:
    pickle_weights(repository)
    server.add(REPO, repository)
    commit = server.repos[REPO].commit
    server.close()
    snapshot = Path(cache_folder()) / f"models--{REPO.replace('/', '--')}" / "snapshots" / commit
    shutil.copytree(repository, snapshot)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text(commit)
    folder = hub.fetch(SOURCE)
    assert load_file(folder / f"{TEXT}.safetensors")["conv.bias"].sum() == 20


def test_without_network_and_cache_the_hub_is_named(server: HubServer) -> None:
    server.close()
    with pytest.raises(HubUnreachable):
        hub.fetch(SOURCE)
    assert hub_cache.kept(SOURCE) is None


def test_a_pickle_that_is_refused_leaves_nothing_behind(
    server: HubServer, repository: Path
) -> None:
    pickle_weights(repository)
    torch.save({"weights": "none"}, repository / f"{UNET}.bin")
    server.add(REPO, repository)
    with pytest.raises(ModelUnavailable, match=rf"{FILE}.bin of {REPO} was refused"):
        hub.fetch(SOURCE)
    assert hub_cache.kept(SOURCE) is None
    assert not hub.is_ready(SOURCE)
    assert not list(cache_folder().rglob(f"{FILE}*.safetensors*"))
