"""Tests of the doctor: its verdict, its exit status, and that it tells nothing private."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from huggingface_hub import close_session
from safetensors.torch import save_file

from inference.__main__ import EXIT_FAILURE, EXIT_OK, EXIT_USAGE, main
from inference.catalog import hub_client
from inference.catalog.catalog import Catalog, HubSource
from inference.catalog.hub import fetch
from inference.catalog.hub_client import HubListing
from inference.errors import HubUnreachable, MissingModel, ModelUnavailable
from inference.runtime.device import Device
from inference.studio import doctor
from inference.studio.doctor import _PatientAsk, examine
from inference.studio.health_report import Report, size_text, without_paths
from tests.support.hub_server import Fault, HubServer

CATALOG = Catalog.load()
PHOTO = CATALOG.style("photo")


def look(key: str = "photo", catalog: Catalog = CATALOG) -> Report:
    return examine(catalog, Device.cpu(), (catalog.style(key),))


def ask(*arguments: str) -> tuple[int, str, str]:
    """Exit status and output of `python -m inference doctor`."""
    out, err = io.StringIO(), io.StringIO()
    return main(["doctor", *arguments], out, err), out.getvalue(), err.getvalue()


# --- the verdict --------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [style.key for style in CATALOG.styles("sd15")])
def test_a_whole_hub_is_fine_and_nothing_is_downloaded(whole_hub: HubServer, key: str) -> None:
    report = look(key)
    assert report.problems == ()
    assert "will work here, after" in report.verdicts()[0]
    assert whole_hub.downloads() == []
    needed = [part for part in report.styles[0].parts if part.is_needed]
    assert all(part.inspection.files and part.inspection.licence for part in needed)


def test_an_extra_that_is_not_there_is_told_and_does_not_count(whole_hub: HubServer) -> None:
    report = look()
    parts = {part.title: part for part in report.styles[0].parts}
    assert "does not exist on the hub" in parts["LoRA TCD"].inspection.problem
    assert not parts["LoRA TCD"].is_needed
    assert report.problems == ()


def test_a_needed_model_that_is_not_there_counts(whole_hub: HubServer) -> None:
    del whole_hub.repos[PHOTO.base.repo]
    report = look()
    assert len(report.problems) == 1
    assert f"{PHOTO.base.repo} does not exist on the hub" in report.problems[0]
    assert report.verdicts() == ("Photo will not work: 1 of its models are not available.",)


def test_only_the_default_style_decides(whole_hub: HubServer) -> None:
    del whole_hub.repos[PHOTO.base.repo]
    styles = (PHOTO, CATALOG.style("flat"))
    assert examine(CATALOG, Device.cpu(), styles, "flat").problems == ()
    assert examine(CATALOG, Device.cpu(), styles, "photo").problems
    assert examine(CATALOG, Device.cpu(), styles).problems


def test_shared_models_are_asked_for_once(whole_hub: HubServer) -> None:
    examine(CATALOG, Device.cpu(), CATALOG.styles("sd15"))
    asked = [
        path for _, path in whole_hub.requests if CATALOG.family("sd15").segmenter.repo in path
    ]
    assert len(asked) == 1


def test_a_dead_hub_is_not_asked_for_every_model(
    whole_hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_client, "LISTING_TIMEOUTS_S", (0.3, 0.6))
    whole_hub.fault = Fault.SLOW
    report = look()
    assert len(whole_hub.requests) < len(report.styles[0].parts) / 2
    assert all("check the connection" in problem for problem in report.problems)
    assert len(report.problems) == sum(part.is_needed for part in report.styles[0].parts)


def test_a_hub_that_keeps_everybody_waiting_is_left(
    whole_hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_client, "LISTING_TIMEOUTS_S", (600.0,))
    monkeypatch.setattr(doctor, "PATIENCE_S", 0.5)
    whole_hub.fault = Fault.SLOW
    assert "Nothing was heard of" in look().problems[0]
    whole_hub.close()


def test_after_two_silences_a_hub_is_not_asked_again() -> None:
    asked: list[str] = []

    def silent(source: HubSource) -> HubListing:
        asked.append(source.repo)
        raise HubUnreachable("It does not answer.")

    patient = _PatientAsk(silent)
    for number in range(5):
        with pytest.raises(HubUnreachable):
            patient(HubSource(repo=f"someone/{number}", files=("config.json",)))
    assert asked == ["someone/0", "someone/1"]


def test_refusals_are_no_silence() -> None:
    def refuse(source: HubSource) -> HubListing:
        raise MissingModel("It is not there.")

    patient = _PatientAsk(refuse)
    for _ in range(5):
        with pytest.raises(MissingModel):
            patient(HubSource(repo="someone/small", files=("config.json",)))


def test_without_network_what_is_downloaded_is_enough(whole_hub: HubServer) -> None:
    for part in look().styles[0].parts:
        if part.is_needed:
            fetch(
                next(
                    one.source for one in doctor.parts_of(CATALOG, PHOTO) if one.title == part.title
                )
            )
    close_session()
    whole_hub.close()
    report = look()
    assert report.problems == ()
    assert report.verdicts() == ("Photo will work here.",)


# --- the disk -----------------------------------------------------------------------------------


@pytest.fixture
def tiny_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file system of one megabyte with the model cache on it; needs the right to mount."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount here")
    if done.returncode:
        pytest.skip("mounting is not allowed here")
    monkeypatch.setenv("HF_HUB_CACHE", str(disk / "cache"))
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


MINE = """
[styles.big]
title = "Big"
family = "pack"
base = { repo = "someone/big", files = ["model.safetensors"] }
"""


@pytest.fixture
def big(server: HubServer, tmp_path: Path) -> Catalog:
    """A catalog with a style whose checkpoint has two megabytes."""
    (tmp_path / "big").mkdir()
    save_file({"a": torch.ones(500_000)}, tmp_path / "big" / "model.safetensors")
    server.add("someone/big", tmp_path / "big")
    (tmp_path / "mine.toml").write_text(MINE)
    return Catalog.load(tmp_path / "mine.toml")


def test_a_full_disk_is_known_before_the_download(big: Catalog, tiny_disk: Path) -> None:
    report = look("big", big)
    assert len(report.problems) == 1
    assert (
        "2.0 MB of models are missing and only 1.0 MB are free for them: make room, or set"
        in (report.problems[0])
    )
    with pytest.raises(ModelUnavailable, match=r"cannot be saved \(No space left"):
        fetch(big.style("big").base)
    assert list((tiny_disk / "cache").rglob("*.incomplete")) == []


def test_with_room_there_is_no_problem(big: Catalog, tmp_path: Path) -> None:
    report = look("big", big)
    assert report.problems == ()
    size = (tmp_path / "big" / "model.safetensors").stat().st_size
    assert report.styles[0].bytes_missing == size


# --- the command --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ((), EXIT_OK, "Drawn (the default) will work here."),
        (("--style", "ink"), EXIT_OK, "Ink will work here."),
        (("--style", "photo"), EXIT_FAILURE, "does not answer"),
        (("--json", "--style", "ink"), EXIT_OK, '"problems": []'),
    ],
)
def test_the_exit_status_says_whether_it_will_work(
    server: HubServer, tiny_catalog: Path, arguments: tuple[str, ...], status: int, words: str
) -> None:
    server.close()
    done, out, _ = ask("--catalog", str(tiny_catalog), *arguments)
    assert (done, words in out) == (status, True), out


def test_a_style_that_does_not_exist_is_a_sentence() -> None:
    status, out, err = ask("--style", "unheard")
    assert (status, out) == (EXIT_USAGE, "")
    assert "There is no style named 'unheard': choose one of drawn" in err


def test_the_other_command_is_as_before(tmp_path: Path) -> None:
    assert (
        main(
            [str(tmp_path / "doctor"), "photo.png", "-o", "out"],
            io.StringIO(),
            err := io.StringIO(),
        )
        == EXIT_USAGE
    )
    assert "cannot be read" in err.getvalue()


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_report_tells_neither_secrets_nor_paths(
    whole_hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: list[str]
) -> None:
    home = tmp_path / "home" / "jane"
    home.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("HF_HOME", str(home / "cache"))
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("HF_ENDPOINT", whole_hub.url.replace("//", "//jane:password@"))
    _, out, _ = ask("--style", "photo", *form)
    assert "with a token" in out
    assert "~/cache/hub" in out
    for private in ("jane", "password", "hf_secret", str(tmp_path)):
        assert private not in out


def test_json_has_every_file(whole_hub: HubServer) -> None:
    _, out, _ = ask("--style", "photo", "--json")
    (style,) = json.loads(out)["styles"]
    unet = "unet/diffusion_pytorch_model.safetensors"
    files = {file["name"]: file for part in style["parts"] for file in part["inspection"]["files"]}
    assert files[unet]["bytes"] > 0
    assert files[unet]["is_cached"] is False


def test_a_trial_paints_and_measures_each_stage(tiny_catalog: Path) -> None:
    status, out, _ = ask("--catalog", str(tiny_catalog), "--style", "drawn", "--load", "--json")
    assert status == EXIT_OK, out
    (trial,) = json.loads(out)["trials"]
    stages = {stage["title"]: stage for stage in trial["stages"]}
    assert {"Loading models", "Finding the words", "Painting"} <= stages.keys()
    assert all(stage["seconds"] >= 0 and stage["peak"] > 1e8 for stage in stages.values())


def test_a_trial_that_fails_is_a_problem(tiny_catalog: Path, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    lines = tiny_catalog.read_text().replace(
        'base = { folder = "painter" }\nloras = { ink = 1.0 }',
        f'base = {{ folder = "{tmp_path}/broken" }}',
    )
    mine = tiny_catalog.with_name("broken.toml")
    mine.write_text(lines)
    status, out, _ = ask("--catalog", str(mine), "--style", "ink", "--load")
    assert status == EXIT_FAILURE
    assert "Ink, two steps" in out


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0.0 kB"),
        (1_259, "1.3 kB"),
        (999_000, "999.0 kB"),
        (1_048_576, "1.0 MB"),
        (3.4e9, "3.4 GB"),
    ],
)
def test_a_size_is_told_in_a_fitting_unit(count: float, text: str) -> None:
    assert size_text(count) == text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("make room in /srv/models/hub.", "make room in …/hub."),
        ("at the model cache /home/someone/.cache/hub; 3 MB", "at the model cache …/hub; 3 MB"),
        (r"make room in C:\Users\jane\cache.", "make room in …/cache."),
        ("SG161222/Realistic_Vision_V5.1_noVAE has no file 'unet/config.json'", None),
        ("unet/diffusion_pytorch_model.safetensors", None),
        ("see https://example.org/a/b/c", None),
        ("2 of 3 and/or 4", None),
    ],
)  # fmt: skip
def test_of_a_path_only_the_last_name_is_left(text: str, told: str | None) -> None:
    assert without_paths(text) == (text if told is None else told)
