"""Tests of folders on Ray: three nodes on this machine, with tiny models."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference import Studio
from inference.__main__ import EXIT_USAGE, main
from inference.catalog.catalog import Catalog
from inference.cluster.connection import Resources
from inference.cluster.folder_job import PainterSize
from inference.cluster.places import Places
from inference.cluster.requirement import keep_others_out
from inference.errors import MasqueradeError
from inference.picture.image_files import save_png
from inference.recipe.prompt_block import parse
from inference.studio.batch import pictures, run
from tests.studio.test_batch import halved
from tests.support.page_server import wait_until
from tests.support.ray_cluster import PHOTO_PAINTER, ROOT, command, done, kill_a_node, ray_cluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with ray_cluster() as cluster:
        yield cluster


def photos_in(folder: Path, count: int) -> Path:
    folder.mkdir()
    for seed in range(count):
        pixels = np.random.default_rng(seed).integers(0, 256, (120, 96, 3), dtype=np.uint8)
        save_png(pixels, folder / f"{seed}.png")
    return folder


@pytest.fixture(scope="module")
def studio(tiny_catalog: Path) -> Studio:
    return Studio(catalog=Catalog.load(tiny_catalog), style="drawn")


@pytest.fixture
def recipe(studio: Studio, tmp_path: Path) -> Path:
    """A recipe that keeps half of a picture of noise."""
    threshold, path = halved(studio).mask_threshold, tmp_path / "recipe.txt"
    path.write_text(f'a garden\nsteps=2\nseed=5\nmask_negative=""\nmask_threshold={threshold}')
    return path


def test_a_folder_is_painted_as_on_one_machine_though_a_node_is_killed_and_gone_on_with(
    cluster: Any, recipe: Path, studio: Studio, tiny_catalog: Path, tmp_path: Path
) -> None:
    photos, out = photos_in(tmp_path / "photos", 10), tmp_path / "out"
    (photos / "b.jpg").write_bytes(b"no picture")
    more = ("--style", "drawn", "--catalog", tiny_catalog, "--cpus-per-painter", "1")
    process = command(recipe, photos, "-o", out, "--ray", cluster.address, *more)
    wait_until(lambda: out.is_dir() and len(list(out.iterdir())) >= 3, 120)
    kill_a_node(cluster, PHOTO_PAINTER)
    status, told, remarks = done(process, 180)
    assert status == 1, remarks
    # Ray itself writes a remark on the node between the lines.
    assert told.count("kept pixels changed: 0") == 10
    assert remarks.splitlines()[-2:] == [
        "1 of 11 photos failed:",
        f"  {photos / 'b.jpg'}  This file is no picture we can read: choose a JPEG or PNG.",
    ]
    alone = tmp_path / "alone"
    block = parse(recipe.read_text()).recipe.model_copy(update={"style": "drawn"})
    assert list(run(studio, block, pictures([photos]), alone))
    names = sorted(path.name for path in alone.iterdir())
    assert names == sorted(path.name for path in out.iterdir()) == [f"{k}.png" for k in range(10)]
    for name in names:
        assert (out / name).read_bytes() == (alone / name).read_bytes(), name

    # The second time, what is there stays, and addresses of filesystems work as paths do.
    (out / "2.png").unlink()
    times = {name: (out / name).stat().st_mtime_ns for name in names if name != "2.png"}
    far = (photos.as_uri(), "-o", out.as_uri(), "--ray", cluster.address)
    status, told, _ = done(command(recipe, *far, *more))
    assert status == 1
    assert told.count("skipped") == 9
    assert (out / "2.png").read_bytes() == (alone / "2.png").read_bytes()
    assert times == {name: (out / name).stat().st_mtime_ns for name in times}
    assert sorted(path.name for path in out.iterdir()) == names


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("photos", "-o", "out", "--ray", "127.0.0.1:1"), "There is no Ray cluster at 127.0.0.1:1"),
        (("nowhere", "-o", "out", "--ray"), "There is no file nowhere"),
        (("ftp://host/photos", "-o", "out", "--ray"), "ftp://host/photos cannot be reached"),
        (("photos", "-o", "photos", "--ray"), "The photos themselves are in"),
    ],
    ids=["no cluster", "no photos", "no filesystem", "no other folder"],
)
def test_what_cannot_be_done_is_said(
    arguments: tuple[str, ...], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # else it is set for this whole process
    photos_in(tmp_path / "photos", 1)
    (tmp_path / "recipe.txt").write_text("a garden")
    given = [str(tmp_path / one) if one in ("photos", "out") else one for one in arguments]
    stdout, stderr = io.StringIO(), io.StringIO()
    assert main([str(tmp_path / "recipe.txt"), *given], stdout, stderr) == EXIT_USAGE
    assert stdout.getvalue() == ""
    assert sentence in stderr.getvalue()


def test_without_ray_the_command_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "recipe.txt").write_text("a garden")
    code = (
        "import sys; sys.modules['ray'] = None; from inference.__main__ import main; "
        "sys.exit(main(sys.argv[1:], sys.stdout, sys.stderr))"
    )
    for given in ([str(tmp_path / "recipe.txt"), "photos", "-o", "out", "--ray"], ["serve"]):
        ended = subprocess.run(
            [sys.executable, "-c", code, *given], cwd=ROOT, capture_output=True, text=True
        )
        assert ended.returncode == 2
        assert "requirements-ray.txt" in ended.stderr


@pytest.mark.parametrize(
    ("cpus", "gpus", "each", "photos", "expected"),
    [
        (8, 0, 2, 100, (2, 0, 4)),
        (8, 0, 2, 3, (2, 0, 3)),
        (3, 0, 4, 100, (4, 0, 1)),
        (64, 4, 2, 100, (1, 1, 4)),
        (64, 4, 2, 2, (1, 1, 2)),
    ],
)
def test_there_is_a_painter_for_each_gpu_or_for_some_processors(
    cpus: int, gpus: int, each: int, photos: int, expected: tuple[int, int, int]
) -> None:
    size = PainterSize.fitting(Resources(cpus=cpus, gpus=gpus), each, photos)
    assert (size.cpus, size.gpus, size.count) == expected


def test_places_are_found_by_path_and_by_address(tmp_path: Path) -> None:
    folder = photos_in(tmp_path / "photos", 2)
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "notes.txt").write_text("")
    places = Places()
    near, far = places.photos([str(folder)]), places.photos([folder.as_uri()])
    assert [one.path for one in near] == [one.path for one in far]
    assert [one.path for one in far] == [str(folder / "0.png"), str(folder / "1.png")]
    assert far[0].address == f"{folder.as_uri()}/0.png"
    assert places.photos([str(folder), far[0].address]) == near
    assert far[0].read() == (folder / "0.png").read_bytes()
    out = places.at((tmp_path / "new" / "out").as_uri())
    assert out.names() == set()
    out.file("a.png").write(b"one")
    assert out.names() == {"a.png"}
    with pytest.raises(MasqueradeError, match=r"b\.png cannot be read"):
        out.file("b.png").read()


@pytest.mark.parametrize(
    ("address", "before", "is_closed"),
    [("local", {}, True), ("head:6379", {}, False), ("local", {"RAY_AUTH_MODE": "x"}, False)],
)
def test_the_ports_of_a_ray_of_our_own_ask_for_a_token(
    address: str, before: dict[str, str], is_closed: bool
) -> None:
    surroundings, others = dict(before), dict[str, str]()
    keep_others_out(address, surroundings)
    assert (surroundings != before) == is_closed
    if is_closed:
        keep_others_out(address, others)
        assert surroundings["RAY_AUTH_MODE"] == "token"
        assert len(surroundings["RAY_AUTH_TOKEN"]) == 64
        assert surroundings["RAY_AUTH_TOKEN"] != others["RAY_AUTH_TOKEN"]
