"""Tests of downloads: the whole built-in catalog from a local hub, the cache, and failures."""

from __future__ import annotations

import re
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, ControlNetModel, StableDiffusionControlNetInpaintPipeline
from transformers import (
    CLIPSegForImageSegmentation,
    CLIPSegProcessor,
    CLIPTokenizer,
    VitPoseForPoseEstimation,
)

from inference.catalog import hub, hub_client
from inference.catalog.catalog import Catalog, HubSource, LocalSource, Source, Style
from inference.catalog.download import Activity
from inference.errors import (
    Cancelled,
    DamagedDownload,
    HubUnreachable,
    MissingModel,
    ModelUnavailable,
)
from inference.serving.form import style_menu
from tests.conftest import hub_sources
from tests.support.hub_repositories import UNWANTED
from tests.support.hub_server import Fault, HubServer

CATALOG = Catalog.load()
SD15 = CATALOG.family("sd15")
WEIGHTS = "diffusion_pytorch_model.safetensors"
SMALL = HubSource(repo="someone/small", files=("config.json", WEIGHTS))


# --- fixtures -----------------------------------------------------------------------------------


@pytest.fixture
def small(server: HubServer, tmp_path: Path) -> HubServer:
    """The hub with one repository: a config and 100 kB of weights."""
    folder = tmp_path / "small"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / WEIGHTS).write_bytes(bytes(range(250)) * 400)
    server.add(SMALL.repo, folder)
    return server


def files_in(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


# --- what a user gets ---------------------------------------------------------------------------


@pytest.mark.parametrize("source", hub_sources(), ids=lambda source: source.repo)
def test_fetches_exactly_what_the_catalog_names(whole_hub: HubServer, source: HubSource) -> None:
    seen: list[hub.DownloadProgress] = []
    folder = hub.fetch(source, progress=seen.append)
    asked, seen = seen[0], seen[1:]
    assert (asked.file, asked.activity) == (source.repo, Activity.ASKING)

    fetched = files_in(folder)
    assert all(name.endswith((".safetensors", ".json", ".txt")) for name in fetched)
    assert not [name for name in fetched if "safety" in name or "non_ema" in name]
    assert not any(UNWANTED in (folder / name).read_bytes() for name in fetched)
    assert not [n for n in fetched if ".fp16" in n and n.replace(".fp16", "") in fetched]

    size = sum((folder / name).stat().st_size for name in fetched)
    assert {p.bytes_total for p in seen} == {size}
    done = [p.bytes_done for p in seen]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, size)
    assert {p.file for p in seen} == fetched


@pytest.mark.parametrize("style", CATALOG.styles("sd15"), ids=lambda style: style.key)
def test_a_style_loads_from_the_fetched_folders(whole_hub: HubServer, style: Style) -> None:
    base = hub.fetch(style.base)
    control = hub.fetch(CATALOG.control("sd15", "pose").source)
    parts = {}
    if style.vae is not None:
        parts["vae"] = AutoencoderKL.from_pretrained(hub.fetch(style.vae))
    controlnet = ControlNetModel.from_pretrained(
        control, variant=hub.weights_variant(control), dtype=torch.float32
    )
    whole_hub.close()

    pipe = StableDiffusionControlNetInpaintPipeline.from_pretrained(
        base,
        controlnet=controlnet,
        variant=hub.weights_variant(base),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
        dtype=torch.float32,
        **parts,
    )
    assert pipe.unet.config.in_channels == 4
    assert pipe.unet.dtype == pipe.text_encoder.dtype == torch.float32
    assert pipe.tokenizer("a cab").input_ids[0] == pipe.tokenizer.bos_token_id


def test_the_menu_says_which_styles_are_yet_to_be_downloaded(whole_hub: HubServer) -> None:
    def titles() -> list[str]:
        return [title for title, key in style_menu(CATALOG) if key in ("drawn", "photo", "flat")]

    assert titles() == ["Drawn", "Photo · download", "Flat · download"]
    hub.fetch(CATALOG.style("photo").base)
    assert titles() == ["Drawn", "Photo", "Flat · download"]


def test_segmenter_and_pose_finder_load_from_the_fetched_folders(whole_hub: HubServer) -> None:
    segmenter, pose = hub.fetch(SD15.segmenter), hub.fetch(SD15.pose)
    whole_hub.close()
    assert CLIPSegForImageSegmentation.from_pretrained(segmenter).config.reduce_dim == 8
    assert CLIPSegProcessor.from_pretrained(segmenter).tokenizer.model_max_length == 77
    assert VitPoseForPoseEstimation.from_pretrained(pose).num_parameters() > 0


def test_configs_of_single_file_checkpoints_come_without_weights(whole_hub: HubServer) -> None:
    folder = hub.fetch(SD15.configs)
    assert CLIPTokenizer.from_pretrained(folder / "tokenizer").model_max_length == 77
    assert not list(folder.rglob("*.safetensors"))


# --- the cache ----------------------------------------------------------------------------------


def test_a_second_fetch_asks_the_hub_nothing(small: HubServer) -> None:
    assert not hub.is_ready(SMALL)
    first = hub.fetch(SMALL)
    assert hub.is_ready(SMALL)
    small.requests.clear()
    assert hub.fetch(SMALL) == first
    assert small.requests == []


def test_two_at_once_get_the_same_folder(small: HubServer) -> None:
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(hub.fetch, [SMALL, SMALL])
    assert first == second
    assert files_in(first) == set(SMALL.files)


def test_files_of_another_program_are_used_when_the_hub_is_down(small: HubServer) -> None:
    folder = hub.fetch(SMALL)
    shutil.rmtree(folder.parents[1] / "receipts")
    (folder.parents[1] / "refs").mkdir()
    (folder.parents[1] / "refs" / "main").write_text(folder.name)
    small.close()
    assert hub.fetch(SMALL) == folder


def test_only_the_missing_file_is_downloaded_again(small: HubServer) -> None:
    folder = hub.fetch(SMALL)
    (folder / "config.json").resolve().unlink()
    (folder / "config.json").unlink()
    small.requests.clear()
    hub.fetch(SMALL)
    assert [path.rsplit("/", 1)[1] for path in small.downloads()] == ["config.json"]


def test_a_file_cut_short_on_disk_is_downloaded_again(small: HubServer) -> None:
    weights = hub.fetch(SMALL) / WEIGHTS
    weights.resolve().write_bytes(b"half")
    assert (hub.fetch(SMALL) / WEIGHTS).stat().st_size == 100_000


# --- faults -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "error", "sentence"),
    [
        (Fault.SERVER_ERROR, HubUnreachable, "answers with error 503.*check the connection"),
        (Fault.LOGIN_PAGE, HubUnreachable, "does not answer.*check the connection"),
        (Fault.SLOW, HubUnreachable, "does not answer.*built-in pack"),
        (Fault.UNAUTHORIZED, MissingModel, "does not exist on the hub or is private.*HF_TOKEN"),
        (Fault.GATED, MissingModel, "is closed: accept its terms.*HF_TOKEN"),
        (Fault.CUT_OFF, DamagedDownload, "was cut short: check the connection"),
        (Fault.STARTS_OVER, DamagedDownload, "was cut short: check the connection"),
        (Fault.TOO_SHORT, DamagedDownload, "was cut short: check the connection"),
        (Fault.WRONG_BYTES, DamagedDownload, "arrived damaged twice: try again later"),
        (Fault.DIES_AFTER_LISTING, HubUnreachable, "answers with error 503.*built-in pack"),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else None,
)
def test_a_fault_of_the_hub_becomes_a_sentence(
    small: HubServer,
    monkeypatch: pytest.MonkeyPatch,
    fault: Fault,
    error: type[ModelUnavailable],
    sentence: str,
) -> None:
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
    monkeypatch.setattr(hub_client, "ANSWER_TIMEOUT_S", 0.3)
    monkeypatch.setattr(hub_client, "LISTING_TIMEOUTS_S", (0.3,))
    small.fault = fault
    with pytest.raises(error, match=sentence) as caught:
        hub.fetch(SMALL)
    assert SMALL.repo in str(caught.value)
    assert re.fullmatch(r"[^\n]+\.", str(caught.value))

    small.fault = None
    assert files_in(hub.fetch(SMALL)) == set(SMALL.files)


def test_no_hub_at_all_is_known_at_once(small: HubServer) -> None:
    small.close()
    with pytest.raises(HubUnreachable, match="does not answer"):
        hub.fetch(SMALL)


def test_offline_mode_asks_nothing(small: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(HubUnreachable, match="HF_HUB_OFFLINE is set: unset it"):
        hub.fetch(SMALL)
    assert small.requests == []


def test_one_damaged_transfer_is_repeated(small: HubServer) -> None:
    small.fault, small.fault_count = Fault.WRONG_BYTES, 1
    folder = hub.fetch(SMALL)
    assert (folder / WEIGHTS).read_bytes()[0] == 0
    assert [path.rsplit("/", 1)[1] for path in small.downloads()].count(WEIGHTS) == 2


def test_a_slow_hub_is_asked_again(small: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_client, "LISTING_TIMEOUTS_S", (0.3, 0.3, 60.0))
    small.fault, small.fault_count = Fault.SLOW, 2
    seen: list[hub.DownloadProgress] = []
    hub.fetch(SMALL, progress=seen.append)
    asked = [(one.file, one.activity) for one in seen[:3]]
    assert asked == [
        (SMALL.repo, one) for one in (Activity.ASKING, Activity.WAITING, Activity.WAITING)
    ]
    assert seen[3].activity is Activity.DOWNLOADING


def test_a_cancelled_download_does_not_wait_for_a_slow_hub(
    small: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_client, "LISTING_TIMEOUTS_S", (0.3, 60.0))
    small.fault, small.fault_count = Fault.SLOW, 1
    seen: list[hub.DownloadProgress] = []
    with pytest.raises(Cancelled):
        hub.fetch(SMALL, progress=seen.append, cancelled=lambda: bool(seen))
    assert len([path for _, path in small.requests if "/api/" in path]) == 1


def test_one_broken_transfer_is_resumed(small: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
    small.fault, small.fault_count = Fault.CUT_OFF, 1
    seen: list[hub.DownloadProgress] = []
    folder = hub.fetch(SMALL, progress=seen.append)
    assert (folder / WEIGHTS).read_bytes() == bytes(range(250)) * 400
    assert seen[-1].bytes_done == seen[-1].bytes_total


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (SMALL.model_copy(update={"repo": "no/such"}), "no/such does not exist on the hub"),
        (SMALL.model_copy(update={"revision": "v9"}), "has no revision 'v9': correct its entry"),
        (SMALL.model_copy(update={"files": ("unet/config.json",)}), "has no file 'unet/config.js"),
        (LocalSource(folder=Path("/no/such/folder")), "folder /no/such/folder does not exist: re"),
    ],
    ids=["repository", "revision", "file", "folder"],
)
def test_what_does_not_exist(small: HubServer, source: Source, sentence: str) -> None:
    with pytest.raises(MissingModel, match=sentence):
        hub.fetch(source)


def test_a_local_folder_is_itself(tmp_path: Path) -> None:
    assert hub.fetch(LocalSource(folder=tmp_path)) == tmp_path
    assert hub.is_ready(LocalSource(folder=tmp_path))
    assert not hub.is_ready(LocalSource(folder=tmp_path / "absent"))


def test_cancel_stops_within_a_file_and_the_next_fetch_completes(small: HubServer) -> None:
    pressed = threading.Event()

    def press_in_the_weights(progress: hub.DownloadProgress) -> None:
        if progress.file == WEIGHTS:
            pressed.set()

    with pytest.raises(Cancelled, match="choose the style again"):
        hub.fetch(SMALL, progress=press_in_the_weights, cancelled=pressed.is_set)
    assert not hub.is_ready(SMALL)
    small.requests.clear()
    hub.fetch(SMALL)
    assert [path.rsplit("/", 1)[1] for path in small.downloads()] == [WEIGHTS]
