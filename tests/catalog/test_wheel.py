"""Tests of files out of Python wheels: real pip, and a package index on this machine."""

from __future__ import annotations

import os
import random
import re
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from inference.catalog import hub, wheel, wheel_client
from inference.catalog.catalog import Catalog, WheelSource
from inference.errors import (
    Cancelled,
    DamagedDownload,
    HubUnreachable,
    MissingModel,
    ModelUnavailable,
)
from tests.support.wheel_index import Fault, WheelIndex, sha256, tiny_wheel, use_alone

# Random bytes do not shrink in the wheel, so that half of it takes pip several reads.
MODEL = random.Random(0).randbytes(3_000_000)
POSE = b"TFL3 pose"
LICENCE = b"Do what you like."
FILES = {
    "tiny/models/face.tflite": MODEL,
    "tiny/pose.tflite": POSE,
    "tiny/unwanted.tflite": b"TFL3 unwanted",
    "tiny/__init__.py": b"raise SystemExit('this must not be imported')",
    "tiny-1.0.dist-info/LICENSE": LICENCE,
}
SOURCE = WheelSource(
    package="tiny==1.0",
    files={"tiny/models/face.tflite": sha256(MODEL), "tiny/pose.tflite": sha256(POSE)},
    licence_file="tiny-1.0.dist-info/LICENSE",
)
WHEEL = tiny_wheel(FILES)
KEPT = {"face.tflite": MODEL, "pose.tflite": POSE, "LICENSE": LICENCE}

# The tags of `wheel_client.OTHER_PLATFORM` may be this machine's own.
ELSEWHERE = "py3-none-win_arm64"


# --- fixtures -----------------------------------------------------------------------------------


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WheelIndex]:
    """An index with one wheel, the only one that pip knows; an empty cache and temporary folder."""
    with WheelIndex() as index:
        index.add(*WHEEL)
        use_alone(index, monkeypatch, tmp_path)
        yield index


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def assert_nothing_is_left(tmp_path: Path) -> None:
    assert not contents(tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob(".download-*"))
    assert not list((tmp_path / "temporary").iterdir())


def source(**changes: Any) -> WheelSource:
    return WheelSource.model_validate({**SOURCE.model_dump(), **changes})


def python(tmp_path: Path, start: str) -> str:
    """A Python that is started by `start`."""
    script = tmp_path / "python"
    script.write_text(f'#!/bin/sh\n{start.format(python=sys.executable)} "$@"\n')
    script.chmod(0o755)
    return str(script)


# --- what is taken out of a wheel ---------------------------------------------------------------


def test_only_the_named_files_are_kept_under_their_base_names(
    index: WheelIndex, tmp_path: Path
) -> None:
    folder = hub.fetch(SOURCE)
    assert folder == tmp_path / "cache" / "wheels" / "tiny-1.0"
    assert contents(folder) == KEPT
    assert [name for name in contents(tmp_path / "cache") if "tiny-1.0/" not in name] == [
        f"wheels/receipts/{path.name}" for path in (folder.parent / "receipts").iterdir()
    ]
    assert not list((tmp_path / "temporary").iterdir())
    assert "tiny" not in sys.modules


@pytest.mark.parametrize(
    ("announced", "total"),
    [(None, "done"), (9_000_000, 9_000_000), (1, "done")],
    ids=["not announced", "more than there is", "less than there is"],
)
def test_progress_grows_to_the_whole(
    index: WheelIndex, announced: int | None, total: int | str
) -> None:
    seen: list[hub.DownloadProgress] = []
    hub.fetch(source(bytes=announced), progress=seen.append)
    done = [one.bytes_done for one in seen]
    assert done == sorted(done)
    assert done[0] == 0
    assert seen[-1].bytes_done == seen[-1].bytes_total >= len(MODEL)
    assert {one.file for one in seen} == {"tiny==1.0"}
    for one in seen:
        assert one.bytes_total == (
            max(one.bytes_done, announced or 0) if total == "done" else total
        )


def test_a_wheel_without_a_licence_file_gives_the_files_alone(index: WheelIndex) -> None:
    assert set(contents(hub.fetch(source(licence_file=None)))) == {"face.tflite", "pose.tflite"}


def test_a_wheel_for_another_platform_will_do(
    index: WheelIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.wheels.clear()
    index.add(*tiny_wheel(FILES, tag=ELSEWHERE))
    with pytest.raises(MissingModel, match=r"has no wheel of tiny==1\.0"):
        hub.fetch(SOURCE)
    monkeypatch.setattr(wheel_client, "OTHER_PLATFORM", ("--platform=win_arm64",))
    assert contents(hub.fetch(SOURCE)) == KEPT


def test_rules_for_what_is_installed_do_not_hold_for_what_is_only_read(
    index: WheelIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "constraints.txt").write_text("tiny==2.0\n")
    monkeypatch.setenv("PIP_CONSTRAINT", str(tmp_path / "constraints.txt"))
    monkeypatch.setenv("PIP_REQUIRE_VIRTUALENV", "1")
    assert contents(hub.fetch(SOURCE)) == KEPT


# --- the cache ----------------------------------------------------------------------------------


def test_a_second_fetch_needs_no_index(index: WheelIndex) -> None:
    assert not hub.is_ready(SOURCE)
    first = hub.fetch(SOURCE)
    index.close()
    assert hub.is_ready(SOURCE)
    assert hub.fetch(SOURCE) == first


def test_files_that_only_look_changed_need_no_index(index: WheelIndex) -> None:
    folder = hub.fetch(SOURCE)
    index.close()
    os.utime(folder / "pose.tflite", (1, 1))
    assert not hub.is_ready(SOURCE)
    assert hub.fetch(SOURCE) == folder
    assert hub.is_ready(SOURCE)


@pytest.mark.parametrize("name", sorted(KEPT))
def test_a_file_that_is_gone_is_fetched_again(index: WheelIndex, name: str) -> None:
    folder = hub.fetch(SOURCE)
    (folder / name).unlink()
    assert not hub.is_ready(SOURCE)
    assert contents(hub.fetch(SOURCE)) == KEPT


def test_a_file_that_was_changed_is_fetched_again(index: WheelIndex) -> None:
    model = hub.fetch(SOURCE) / "face.tflite"
    model.write_bytes(bytes(len(MODEL)))
    assert contents(hub.fetch(SOURCE)) == KEPT


def test_two_sources_may_share_a_package(index: WheelIndex) -> None:
    part = source(files={"tiny/pose.tflite": sha256(POSE)}, licence_file=None)
    folder = hub.fetch(part)
    assert set(contents(folder)) == {"pose.tflite"}
    assert not hub.is_ready(SOURCE)
    assert contents(hub.fetch(SOURCE)) == KEPT
    assert hub.is_ready(part)


def test_two_at_once_get_the_same_folder(index: WheelIndex) -> None:
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(hub.fetch, [SOURCE, SOURCE])
    assert first == second
    assert contents(first) == KEPT
    assert hub.is_ready(SOURCE)


# --- faults -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "error", "sentence"),
    [
        ({"package": "tiny==9.9"}, MissingModel, r"has no wheel of tiny==9\.9: correct its entry"),
        ({"package": "absent==1"}, MissingModel, "has no wheel of absent==1: correct its entry"),
        (
            {"files": {"tiny/absent.tflite": "0" * 64}},
            MissingModel,
            r"tiny==1\.0 has no file 'tiny/absent\.tflite': correct its entry",
        ),
        (
            {"licence_file": "tiny/ABSENT"},
            MissingModel,
            r"tiny==1\.0 has no file 'tiny/ABSENT': correct its entry",
        ),
        (
            {"files": {"tiny/pose.tflite": "0" * 64}},
            DamagedDownload,
            r"pose\.tflite of tiny==1\.0 is not the file that the catalog names: try again later",
        ),
    ],
    ids=["version", "package", "file", "licence", "hash"],
)
def test_what_the_index_does_not_have(
    index: WheelIndex,
    tmp_path: Path,
    changes: Mapping[str, Any],
    error: type[ModelUnavailable],
    sentence: str,
) -> None:
    with pytest.raises(error, match=sentence) as caught:
        hub.fetch(source(**changes))
    assert re.fullmatch(r"[^\n]+\.", str(caught.value))
    assert_nothing_is_left(tmp_path)


def spoilt(data: bytes) -> bytes:
    """The wheel with other bytes in the middle, which are those of its largest file."""
    middle = len(data) // 2
    return data[:middle] + bytes(100) + data[middle + 100 :]


@pytest.mark.parametrize(
    "wheel",
    [
        b"<html>Welcome to the cafe</html>",
        WHEEL[1][:9999],
        spoilt(WHEEL[1]),
    ],
    ids=["no zip", "cut short", "other bytes"],
)
def test_a_damaged_wheel_becomes_a_sentence(
    index: WheelIndex, tmp_path: Path, wheel: bytes
) -> None:
    index.add(WHEEL[0], wheel)
    with pytest.raises(DamagedDownload, match=r"tiny==1\.0 arrived damaged: check the connection"):
        hub.fetch(SOURCE)
    assert_nothing_is_left(tmp_path)


@pytest.mark.parametrize(
    ("fault", "error", "sentence"),
    [
        (Fault.SERVER_ERROR, HubUnreachable, r"does not answer, so tiny==1\.0 cannot be downl"),
        (Fault.CUTS_A_WHEEL_OFF, DamagedDownload, r"tiny==1\.0 arrived damaged: check the conn"),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else None,
)
def test_a_fault_of_the_index_becomes_a_sentence(
    index: WheelIndex, fault: Fault, error: type[ModelUnavailable], sentence: str
) -> None:
    index.fault = fault
    with pytest.raises(error, match=sentence):
        hub.fetch(SOURCE)
    index.fault = None
    assert contents(hub.fetch(SOURCE)) == KEPT


def test_no_index_at_all_is_known_soon(index: WheelIndex, tmp_path: Path) -> None:
    index.close()
    with pytest.raises(HubUnreachable, match=r"does not answer.*check the connection and try aga"):
        hub.fetch(SOURCE)
    assert_nothing_is_left(tmp_path)


@pytest.mark.parametrize("name", ["HF_HUB_OFFLINE", "PIP_NO_INDEX"])
def test_offline_mode_asks_nothing(
    index: WheelIndex, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(
        HubUnreachable, match=rf"tiny==1\.0 is not downloaded yet and {name} is set"
    ):
        hub.fetch(SOURCE)
    assert index.requests == []


@pytest.mark.parametrize(
    ("start", "sentence"),
    [
        ("exec {python} -E -S", "pip is missing, so .*: run python -m ensurepip, then try again"),
        ("ulimit -f 1000; exec {python}", r"tiny==1\.0 cannot be saved \(File too large\): make"),
        ("exit 3;", r"pip does not download tiny==1\.0: run pip download tiny==1\.0 to see why"),
    ],
    ids=["no pip", "disk full", "pip fails"],
)
def test_a_fault_of_this_machine_becomes_a_sentence(
    index: WheelIndex,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    start: str,
    sentence: str,
) -> None:
    monkeypatch.setattr(sys, "executable", python(tmp_path, start))
    with pytest.raises(ModelUnavailable, match=sentence) as caught:
        hub.fetch(SOURCE)
    assert type(caught.value) is ModelUnavailable
    assert_nothing_is_left(tmp_path)


def test_a_python_that_does_not_start_becomes_a_sentence(
    index: WheelIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "absent"))
    with pytest.raises(ModelUnavailable, match=r"pip cannot be started \(No such file.*check this"):
        hub.fetch(SOURCE)


def test_a_cache_that_cannot_be_written_becomes_a_sentence(
    index: WheelIndex, tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("a file in the cache's place")
    with pytest.raises(ModelUnavailable, match=r"tiny==1\.0 cannot be saved \(Not a directory\)"):
        hub.fetch(SOURCE)


def test_a_file_that_is_too_large_is_not_taken_out(
    index: WheelIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheel, "MAX_FILE_BYTES", 2 << 20)
    with pytest.raises(ModelUnavailable, match=r"tiny/models/face\.tflite .* larger than 2 MB"):
        hub.fetch(SOURCE)
    assert_nothing_is_left(tmp_path)


# --- cancelling ---------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [Fault.STALLS, Fault.STALLS_IN_A_WHEEL], ids=lambda f: f.name)
def test_cancel_ends_pip_at_once_and_leaves_nothing(
    index: WheelIndex, tmp_path: Path, fault: Fault
) -> None:
    index.fault = fault
    pressed = threading.Event()
    seen: list[int] = []
    times: list[float] = []

    def press_where_it_stands_still(progress: hub.DownloadProgress) -> None:
        seen.append(progress.bytes_done)
        arrived = fault is Fault.STALLS or progress.bytes_done > 0
        if index.stalled.is_set() and arrived and not pressed.is_set():
            pressed.set()
            times.append(time.monotonic())

    with pytest.raises(Cancelled, match="start it again"):
        hub.fetch(SOURCE, progress=press_where_it_stands_still, cancelled=pressed.is_set)
    # At most one more look and a kill; pip on its own would wait for a minute.
    assert time.monotonic() - times[0] < 10
    assert index.hung_up.wait(10)
    assert (max(seen) > 0) == (fault is Fault.STALLS_IN_A_WHEEL)
    assert_nothing_is_left(tmp_path)
    assert not hub.is_ready(SOURCE)


# --- the schema ---------------------------------------------------------------------------------

HASH = "0" * 64


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"package": "tiny"}, "match pattern"),
        ({"package": "tiny>=1.0"}, "match pattern"),
        ({"package": "tiny==1.*"}, "match pattern"),
        ({"package": "tiny==1.0 other"}, "match pattern"),
        ({"package": "--pre==1.0"}, "match pattern"),
        ({"package": "../tiny==1.0"}, "match pattern"),
        ({"package": "tiny==1.0/x"}, "match pattern"),
        ({"package": "tiny==1.0\n"}, "match pattern"),
        ({"files": {}}, "at least 1 item"),
        ({"files": {"a/x.tflite": HASH, "b/x.tflite": HASH}}, "two files .* base name 'x.tflite'"),
        ({"files": {"a/x.tflite": HASH, "b/X.tflite": HASH}}, "two files .* base name 'x.tflite'"),
        (
            {"files": {"a/x.txt": HASH}, "licence_file": "b/x.txt"},
            "two files .* base name 'x.txt'",
        ),
        ({"files": {"a/x.tflite": "0" * 63}}, "match pattern"),
        ({"files": {"a/x.tflite": "g" * 64}}, "match pattern"),
        ({"files": {"a/x.tflite": "sha256:" + HASH}}, "match pattern"),
        ({"files": {"a/x.py": HASH}}, "'a/x.py' does not end in one of .*tflite"),
        ({"files": {"a/x.task": HASH}}, "'a/x.task' does not end in one of"),
        ({"files": {"a/x.bin": HASH}}, "'a/x.bin' does not end in one of"),
        ({"files": {"../x.tflite": HASH}}, "match pattern"),
        ({"files": {"a/../x.tflite": HASH}}, "match pattern"),
        ({"files": {"/x.tflite": HASH}}, "match pattern"),
        ({"files": {"a\\x.tflite": HASH}}, "match pattern"),
        ({"files": {"a/*.tflite": HASH}}, "match pattern"),
        ({"licence_file": "../LICENSE"}, "match pattern"),
        ({"bytes": 0}, "greater than 0"),
        ({"revision": "main"}, "not permitted"),
    ],
)
def test_a_mistake_in_the_entry_is_refused(changes: Mapping[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        source(**changes)


@pytest.mark.parametrize("digits", ["ab" * 32, "AB" * 32])
def test_a_hash_may_be_in_either_case(digits: str) -> None:
    assert source(files={"x.tflite": digits}).files == {"x.tflite": "ab" * 32}


# --- asking without downloading -----------------------------------------------------------------


def test_an_index_is_asked_for_a_version_and_nothing_is_downloaded(index: WheelIndex) -> None:
    wheel_client.ask_index("tiny==1.0", seconds=30)
    with pytest.raises(MissingModel, match=r"has no wheel of tiny==2\.0: correct its entry"):
        wheel_client.ask_index("tiny==2.0", seconds=30)
    with pytest.raises(MissingModel, match=r"has no wheel of none-such==1\.0"):
        wheel_client.ask_index("none-such==1.0", seconds=30)
    assert not [path for path in index.requests if path.startswith("/files/")]


def test_a_wheel_for_another_platform_is_found(index: WheelIndex) -> None:
    index.wheels.clear()
    index.add(*tiny_wheel(FILES, tag="cp311-cp311-manylinux_2_28_x86_64"))
    wheel_client.ask_index("tiny==1.0", seconds=30)
    index.wheels.clear()
    index.add(*tiny_wheel(FILES, tag=ELSEWHERE))
    with pytest.raises(MissingModel):
        wheel_client.ask_index("tiny==1.0", seconds=30)


@pytest.mark.parametrize("fault", [Fault.SERVER_ERROR, Fault.STALLS])
def test_an_index_that_does_not_answer_is_left(index: WheelIndex, fault: Fault) -> None:
    index.fault = fault
    with pytest.raises(HubUnreachable, match="index does not answer"):
        wheel_client.ask_index("tiny==1.0", seconds=6)


def test_offline_no_index_is_asked(index: WheelIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(HubUnreachable, match="HF_HUB_OFFLINE is set: unset it"):
        wheel_client.ask_index("tiny==1.0", seconds=30)
    assert index.requests == []


# --- the built-in source ------------------------------------------------------------------------


def detectors_of(family: str) -> WheelSource:
    photo = Catalog.load().family(family).photo
    assert photo is not None
    assert isinstance(photo.detectors, WheelSource)
    return photo.detectors


@pytest.mark.parametrize("family", ["pack", "sd15"])
def test_each_family_has_the_models_for_photographs(family: str) -> None:
    assert set(detectors_of(family).names.values()) == {
        "LICENSE",
        "face_detection_short_range.tflite",
        "face_landmark.tflite",
        "pose_detection.tflite",
        "pose_landmark_full.tflite",
        "selfie_segmentation.tflite",
    }


def test_the_real_wheel_has_the_files_that_the_catalog_names(photo_models: Path) -> None:
    source = detectors_of("pack")
    assert set(contents(photo_models)) == set(source.names.values())
    for path, digits in source.files.items():
        data = (photo_models / source.names[path]).read_bytes()
        assert (data[4:8], sha256(data)) == (b"TFL3", digits)
