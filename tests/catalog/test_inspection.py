"""Tests of inspections: each kind of trouble with the hub, the index and the cache, as a table."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from huggingface_hub import close_session
from safetensors.torch import save_file

from inference.catalog import hub, hub_cache, hub_client
from inference.catalog.catalog import HubSource, LocalSource, Source, WheelSource
from inference.catalog.hub_client import HubListing, ask_hub
from inference.catalog.inspection import Inspection, inspect
from inference.catalog.weight_forms import WeightForm
from inference.errors import Cancelled, HubUnreachable, ModelUnavailable
from tests.support.hub_server import Fault, HubServer
from tests.support.weight_files import pickle_weights

FILE = "model.safetensors"
SOURCE = HubSource(repo="someone/small", files=("config.json", FILE), licence="mit")
GONE = "0123456789abcdef0123456789abcdef01234567"


@dataclass(frozen=True)
class Place:
    """A hub with one repository, the repository's folder, and the means of a test."""

    hub: HubServer
    folder: Path
    patch: pytest.MonkeyPatch

    def snapshot(self) -> Path:
        return hub_cache.snapshot_folder(SOURCE, self.hub.repos[SOURCE.repo].commit)


@pytest.fixture
def place(server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    folder = tmp_path / "small"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    save_file({"a": torch.arange(25_000.0)}, folder / FILE)
    server.add(SOURCE.repo, folder)
    monkeypatch.setattr(hub_client, "LISTING_TIMEOUTS_S", (0.3,))
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
    return Place(server, folder, monkeypatch)


def silent_index(package: str) -> None:
    raise HubUnreachable(f"The index does not answer, so {package} is not known.")


def ask(source: HubSource) -> HubListing:
    return ask_hub(source, lambda _: None)


def look(source: Source = SOURCE) -> Inspection:
    return inspect(source, ask, silent_index)


# --- arrangements: what is wrong -----------------------------------------------------------------


def nothing(place: Place) -> None:
    """All is well."""


def fetched(place: Place) -> None:
    hub.fetch(SOURCE)


def pickled(place: Place) -> None:
    pickle_weights(place.folder)


def file_missing(place: Place) -> None:
    (place.folder / FILE).unlink()


def fault(kind: Fault) -> Callable[[Place], None]:
    def arrange(place: Place) -> None:
        place.hub.fault = kind

    arrange.__name__ = kind.name.lower()
    return arrange


def gated_with_an_open_list(place: Place) -> None:
    place.hub.gated.add(SOURCE.repo)


def repository_missing(place: Place) -> None:
    place.hub.repos.clear()


def no_network(place: Place) -> None:
    close_session()  # the server goes on to answer where a connection is open
    place.hub.close()


def offline(place: Place) -> None:
    place.patch.setenv("HF_HUB_OFFLINE", "1")


def killed_in_a_download(place: Place) -> None:
    """As huggingface_hub leaves it: the part has a name that no later download knows."""
    with pytest.raises(Cancelled):
        hub.fetch(SOURCE, cancelled=lambda: (place.snapshot() / "config.json").exists())
    blobs = hub_cache.repo_folder(SOURCE) / "blobs"
    (blobs / f"{'0' * 64}.1a2b3c4d.incomplete").write_bytes(bytes(2_500_000))


def half_a_download(place: Place) -> None:
    place.hub.fault = Fault.CUT_OFF
    with pytest.raises(ModelUnavailable):
        hub.fetch(SOURCE)
    place.hub.fault = None


def cancelled(place: Place) -> None:
    with pytest.raises(Cancelled):
        hub.fetch(SOURCE, cancelled=lambda: (place.snapshot() / "config.json").exists())


def file_cut_short(place: Place) -> None:
    weights = (hub.fetch(SOURCE) / FILE).resolve()
    weights.write_bytes(weights.read_bytes()[:1000])


def file_deleted(place: Place) -> None:
    (hub.fetch(SOURCE) / FILE).unlink()


def file_damaged(place: Place) -> None:
    weights = (hub.fetch(SOURCE) / FILE).resolve()
    weights.write_bytes(bytes(weights.stat().st_size))


def fetched_then_no_network(place: Place) -> None:
    hub.fetch(SOURCE)
    no_network(place)


def fetched_then_offline(place: Place) -> None:
    hub.fetch(SOURCE)
    place.patch.setenv("HF_HUB_OFFLINE", "1")


def fetched_then_gated(place: Place) -> None:
    hub.fetch(SOURCE)
    place.hub.fault = Fault.GATED


def from_another_program_then_no_network(place: Place) -> None:
    folder = hub.fetch(SOURCE)
    shutil.rmtree(folder.parents[1] / "receipts")
    (folder.parents[1] / "refs").mkdir()
    (folder.parents[1] / "refs" / "main").write_text(folder.name)
    no_network(place)


@pytest.mark.parametrize(
    ("arrange", "problem"),
    [
        (file_missing, "has no file 'model.safetensors' at 'main': correct its entry"),
        (fault(Fault.GATED), "is closed: accept its terms .* set HF_TOKEN"),
        (gated_with_an_open_list, "is closed: accept its terms .* set HF_TOKEN"),
        (fault(Fault.UNAUTHORIZED), "does not exist on the hub or is private: .*HF_TOKEN"),
        (repository_missing, "does not exist on the hub or is private"),
        (fault(Fault.SERVER_ERROR), "answers with error 503, .*check the connection"),
        (fault(Fault.LOGIN_PAGE), "does not answer, .*check the connection"),
        (fault(Fault.SLOW), "does not answer, .*check the connection"),
        (no_network, "does not answer, .*check the connection"),
        (offline, "HF_HUB_OFFLINE is set: unset it"),
        (file_damaged, "is damaged in the model cache: delete the folder models--someone--small"),
    ],
)
def test_what_keeps_a_model_from_working_is_a_sentence(
    place: Place, arrange: Callable[[Place], None], problem: str
) -> None:
    arrange(place)
    found = look()
    assert found.name == SOURCE.repo
    assert found.licence == "mit"
    assert re.search(problem, found.problem), found.problem
    assert found.problem.endswith(".")


@pytest.mark.parametrize(
    ("arrange", "missing", "note"),
    [
        (nothing, {"config.json", FILE}, ""),
        (fetched, set(), ""),
        (half_a_download, {FILE}, ""),
        (killed_in_a_download, {FILE}, "was broken off left 2.5 MB of no use in the model cache"),
        (cancelled, {FILE}, ""),
        (file_cut_short, {FILE}, f"{FILE} is damaged in the model cache, and will be fetched ag"),
        (file_deleted, {FILE}, ""),
        (fetched_then_no_network, set(), "Only the model cache has it: .* does not answer"),
        (fetched_then_offline, set(), "Only the model cache has it: .*HF_HUB_OFFLINE"),
        (fetched_then_gated, set(), "Only the model cache has it: .* is closed"),
        (from_another_program_then_no_network, set(), "Only the model cache has it"),
    ],
)
def test_what_is_there_and_what_is_to_be_downloaded(
    place: Place, arrange: Callable[[Place], None], missing: set[str], note: str
) -> None:
    arrange(place)
    found = look()
    assert found.problem == ""
    assert {file.name for file in found.files} == {"config.json", FILE}
    assert {file.name for file in found.files if not file.is_cached} == missing
    size = sum((place.folder / name).stat().st_size for name in missing)
    assert found.bytes_missing == size
    assert (found.form, found.revision) == (WeightForm.SAFETENSORS, "main")
    assert bool(found.notes) == bool(note)
    assert all(re.search(note, one) for one in found.notes)


def test_what_is_promised_is_what_a_fetch_does(place: Place) -> None:
    promised = look()
    folder = hub.fetch(SOURCE)
    assert {file.name for file in promised.files} == {
        path.name for path in folder.iterdir() if path.is_file()
    }


def test_offline_nothing_is_asked(place: Place) -> None:
    offline(place)
    look()
    assert place.hub.requests == []


def test_a_look_downloads_nothing(place: Place) -> None:
    look()
    assert place.hub.downloads() == []


def test_another_form_is_told(place: Place) -> None:
    pickled(place)
    before = look()
    assert before.form == WeightForm.PICKLED
    assert {file.name for file in before.files} == {"config.json", "pytorch_model.bin"}
    hub.fetch(SOURCE)
    after = look()
    assert (after.form, after.bytes_missing) == (WeightForm.PICKLED, 0)
    assert {file.name for file in after.files} == {"config.json", FILE}


def test_a_revision_that_does_not_exist(place: Place) -> None:
    found = look(SOURCE.model_copy(update={"revision": "v9"}))
    assert "has no revision 'v9': correct its entry" in found.problem


@pytest.mark.parametrize("is_fetched", [False, True])
def test_a_commit_that_is_gone_is_told(place: Place, is_fetched: bool) -> None:
    pinned = SOURCE.model_copy(update={"revision": GONE})
    if is_fetched:
        hub.fetch(pinned)
    found = look(pinned)
    assert found.problem == ""
    assert found.revision == "main"
    assert found.notes == ("The commit 01234567 is gone, so the branch main is taken.",)


# --- folders and wheels --------------------------------------------------------------------------


def test_a_folder_is_looked_through(tmp_path: Path) -> None:
    save_file({"a": torch.ones(100)}, tmp_path / FILE)
    source = LocalSource(folder=tmp_path)
    whole = look(source)
    assert whole.problem == ""
    assert [file.name for file in whole.files] == [FILE]
    (tmp_path / FILE).write_bytes((tmp_path / FILE).read_bytes()[:-1])
    assert look(source).notes == (
        f"{FILE} in {tmp_path.name} is damaged: restore it if it is needed.",
    )
    gone = look(LocalSource(folder=tmp_path / "absent"))
    assert gone.problem == (
        "The model folder absent does not exist: restore it or choose another style."
    )


def test_an_index_is_asked_only_for_what_is_not_there(server: HubServer) -> None:
    source = WheelSource(package="tiny==1.0", files={"tiny/model.tflite": "0" * 64}, bytes=5_000)
    asked: list[str] = []
    found = inspect(source, ask, asked.append)
    assert asked == ["tiny==1.0"]
    assert (found.problem, found.bytes_missing) == ("", 5_000)
    assert "does not answer" in look(source).problem
