"""Tests of batch processing and of the command line, with tiny models."""

from __future__ import annotations

import io
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest

from inference import Photo, Progress, Recipe, Studio
from inference.__main__ import main
from inference.catalog.catalog import Catalog
from inference.errors import InvalidRecipe, MasqueradeError, MissingModel
from inference.picture.image_files import save_png
from inference.picture.photo import Pixels
from inference.studio.batch import Outcome, pictures, run, targets_of

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "assets" / "examples"


@pytest.fixture(scope="module")
def studio(tiny_catalog: Path) -> Studio:
    return Studio(catalog=Catalog.load(tiny_catalog), style="drawn")


def noise(seed: int, size: tuple[int, int] = (96, 120)) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of three photos, the middle one damaged, and of other files."""
    photos = tmp_path / "photos"
    (photos / "more").mkdir(parents=True)
    for place, seed in (("c.png", 1), ("a.PNG", 2), ("more/d.png", 3), (".hidden.png", 4)):
        save_png(noise(seed), photos / place)
    (photos / "b.jpg").write_bytes(b"no picture")
    (photos / "notes.txt").write_text("no photo")
    return photos


def halved(studio: Studio, **fields: object) -> Recipe:
    """A recipe that selects about half of a noise picture; random weights give scores near 0.5."""
    heat = studio._selector.finder.heatmaps(Photo.of(noise(1)), ("foreground",), "pack")[0]
    score = float(1 / (1 + np.exp(-np.median(heat.logits))))
    base = {"prompt": "a garden", "steps": 2, "seed": 5, "mask_negative": "", "style": "drawn"}
    return Recipe(**{**base, "mask_threshold": score, **fields})


def outcomes(events: Iterable[Progress | Outcome]) -> list[Outcome]:
    return [event for event in events if isinstance(event, Outcome)]


def read(path: Path) -> Pixels:
    return Photo.open(path).pixels


def block_of(recipe: Recipe, path: Path, *more: str) -> Path:
    lines = [recipe.prompt, f"steps={recipe.steps}", f"mask_threshold={recipe.mask_threshold}"]
    lines += ["seed=5", 'mask_negative=""', *more]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_pictures_of_folders_come_by_name_and_files_as_given(folder: Path) -> None:
    found = pictures([folder / "more" / "d.png", folder, folder / "c.png"])
    assert [path.name for path in found] == ["d.png", "a.PNG", "b.jpg", "c.png"]


@pytest.mark.parametrize(
    ("name", "sentence"), [("nowhere", "no file .*nowhere"), ("empty", "no picture to paint")]
)
def test_where_there_is_no_picture(tmp_path: Path, name: str, sentence: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(MasqueradeError, match=sentence):
        pictures([tmp_path / name])


@pytest.mark.parametrize(
    ("photos", "count", "files"),
    [
        (["me.jpg"], 1, [["me.png"]]),
        (["me.jpg"], 3, [["me.png", "me-2.png", "me-3.png"]]),
        (["me.jpg", "me.png"], 1, [["me.png"], ["me-png.png"]]),
        (["me.jpg", "ME.jpg"], 1, [["me.png"], ["ME-jpg.png"]]),
        (["a/me.jpg", "b/me.jpg", "c/me.jpg"], 1, [["me.png"], ["me-jpg.png"], ["me-jpg-2.png"]]),
        (["me.jpg", "me-2.jpg"], 1, [["me.png"], ["me-2.png"]]),
        (
            ["me.jpg", "me-2.jpg"],
            2,
            [["me.png", "me-2.png"], ["me-2-jpg.png", "me-2-jpg-2.png"]],
        ),
    ],
    ids=str,
)
def test_each_photo_has_files_of_its_own(
    photos: list[str], count: int, files: list[list[str]]
) -> None:
    plan = targets_of([Path(photo) for photo in photos], count, Path("out"))
    assert [[target.as_posix() for target in targets] for _, targets in plan] == [
        [f"out/{name}" for name in names] for names in files
    ]


def test_each_photo_is_painted_with_a_mask_of_its_own(
    studio: Studio, folder: Path, tmp_path: Path
) -> None:
    out, photos = tmp_path / "deep" / "out", [folder / "a.PNG", folder / "c.png"]
    recipe = halved(studio, mask_strokes="+2000:5000,5000")
    events = list(run(studio, recipe, photos, out))
    done = outcomes(events)
    assert [outcome.photo for outcome in done] == photos
    for outcome in done:
        assert outcome.files == (out / f"{outcome.photo.stem}.png",)
        assert (outcome.error, outcome.seed, outcome.kept_pixels_changed) == ("", 5, 0)
        assert outcome.seconds > 0
        alone = Recipe(**{**recipe.model_dump(), "mask_strokes": ()})
        *_, result = studio.paint(Photo.open(outcome.photo), alone)
        np.testing.assert_array_equal(read(outcome.files[0]), result.images[0])
    assert any(isinstance(event, Progress) and event.step == 2 for event in events)
    assert sorted(path.name for path in out.iterdir()) == ["a.png", "c.png"]


def test_a_failure_is_named_and_the_rest_goes_on(
    studio: Studio, folder: Path, tmp_path: Path
) -> None:
    done = outcomes(run(studio, halved(studio), pictures([folder]), tmp_path / "out"))
    assert [bool(outcome.error) for outcome in done] == [False, True, False]
    assert "no picture we can read" in done[1].error
    assert done[1].files == ()


def test_several_images_are_numbered(studio: Studio, folder: Path, tmp_path: Path) -> None:
    recipe = halved(studio, num_images=2)
    (outcome,) = outcomes(run(studio, recipe, [folder / "c.png"], tmp_path / "out"))
    assert [path.name for path in outcome.files] == ["c.png", "c-2.png"]
    first, second = map(read, outcome.files)
    assert (first != second).any()


def test_what_is_there_stays_unless_it_may_be_replaced(
    studio: Studio, folder: Path, tmp_path: Path
) -> None:
    out, photos = tmp_path / "out", [folder / "c.png"]
    out.mkdir()
    (out / "c.png").write_bytes(b"precious")

    def go(overwrite: bool, count: int) -> Outcome:
        recipe = halved(studio, num_images=count)
        return outcomes(run(studio, recipe, photos, out, overwrite=overwrite))[0]

    skipped = go(overwrite=False, count=1)
    assert (skipped.files, skipped.left, skipped.seed) == ((), (out / "c.png",), None)
    more = go(overwrite=False, count=2)
    assert (more.files, more.left) == ((out / "c-2.png",), (out / "c.png",))
    assert (out / "c.png").read_bytes() == b"precious"
    replaced = go(overwrite=True, count=2)
    assert (replaced.files, replaced.left) == ((out / "c.png", out / "c-2.png"), ())
    assert read(out / "c.png").shape == (120, 96, 3)


def test_the_photos_own_folder_is_not_written_to(studio: Studio, folder: Path) -> None:
    with pytest.raises(MasqueradeError, match="choose another folder"):
        next(run(studio, halved(studio), [folder / "c.png"], folder / "more" / ".."))


def test_a_place_that_cannot_be_written_to(studio: Studio, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(MasqueradeError, match="cannot be made: choose another"):
        next(run(studio, halved(studio), [folder / "c.png"], folder / "notes.txt"))
    out = tmp_path / "out"
    (out / "c.png").mkdir(parents=True)
    photos = [folder / "c.png", folder / "a.PNG"]
    taken, written = outcomes(run(studio, halved(studio), photos, out, overwrite=True))
    assert "c.png cannot be written" in taken.error
    assert written.files == (out / "a.png",)
    assert sorted(path.name for path in out.iterdir()) == ["a.png", "c.png"]


@pytest.mark.parametrize(
    ("fields", "error"),
    [({"style": "oil"}, MissingModel), ({"controlnet": "spine"}, InvalidRecipe)],
)
def test_what_suits_no_photo_ends_it(
    studio: Studio, folder: Path, tmp_path: Path, fields: dict[str, str], error: type[Exception]
) -> None:
    recipe = halved(studio).model_copy(update=fields)
    with pytest.raises(error):
        list(run(studio, recipe, [folder / "c.png"], tmp_path / "out"))


def test_closing_cancels_and_leaves_no_file(studio: Studio, folder: Path, tmp_path: Path) -> None:
    work = run(studio, halved(studio, steps=9), [folder / "c.png"], tmp_path / "out")
    while not (isinstance(event := next(work), Progress) and event.step == 1):
        pass
    work.close()
    assert list((tmp_path / "out").iterdir()) == []
    assert studio._job_lock.acquire(timeout=1), "the painter is free again"
    studio._job_lock.release()


def command(*arguments: object) -> tuple[int, list[str], str]:
    """Run the command; returns exit status, lines on stdout, and stderr."""
    out, err = io.StringIO(), io.StringIO()
    status = main([str(one) for one in arguments], out, err)
    return status, out.getvalue().splitlines(), err.getvalue()


def test_the_command_tells_a_note_of_several_photos_once(
    studio: Studio, tiny_catalog: Path, folder: Path, tmp_path: Path
) -> None:
    (folder / "b.jpg").unlink()
    recipe = halved(studio, prompt="a" * 75 + " garden")
    written = block_of(recipe, tmp_path / "recipe.txt", "use_lpw=false")
    status, lines, notes = command(
        written, folder, "-o", tmp_path / "out", "--style", "drawn", "--catalog", tiny_catalog
    )
    assert (status, len(lines)) == (0, 2)
    assert notes == "Too long, so not read: «garden».\n"


def test_the_command_writes_a_line_for_each_photo(
    studio: Studio, tiny_catalog: Path, folder: Path, tmp_path: Path
) -> None:
    recipe = block_of(halved(studio), tmp_path / "recipe.txt", "face_swop=true")
    arguments = (recipe, folder, "-o", tmp_path / "out", "--style", "drawn")
    status, lines, notes = command(*arguments, "--catalog", tiny_catalog)
    assert status == 1
    assert notes == "Not known, left out: face_swop\n"
    assert [line.split(": ")[0] for line in lines] == [
        str(folder / name) for name in ("a.PNG", "b.jpg", "c.png")
    ]
    for line in (lines[0], lines[2]):
        assert " s, seed 5, kept pixels changed: 0, " in line
    assert lines[0].endswith(str(tmp_path / "out" / "a.png"))
    assert lines[1].endswith("This file is no picture we can read: choose a JPEG or PNG.")

    (folder / "b.jpg").unlink()
    status, lines, _ = command(*arguments, "--catalog", tiny_catalog)
    assert status == 0
    assert all("skipped, there is" in line and "--overwrite" in line for line in lines)
    status, lines, _ = command(*arguments, "--catalog", tiny_catalog, "--overwrite")
    assert status == 0
    assert all("kept pixels changed: 0" in line for line in lines)


def test_a_picture_that_was_painted_here_is_a_recipe_too(
    studio: Studio, tiny_catalog: Path, folder: Path, tmp_path: Path
) -> None:
    """Replayed on the same photo, with a fresh mask, it gives the same picture."""
    photo, first = folder / "c.png", tmp_path / "first"
    (outcome,) = outcomes(run(studio, halved(studio, seed=9), [photo], first))
    again = ("-o", tmp_path / "again", "--catalog", tiny_catalog)
    status, lines, notes = command(outcome.files[0], photo, *again)
    assert (status, notes) == (0, "")
    assert "seed 9, kept pixels changed: 0" in lines[0]
    np.testing.assert_array_equal(read(tmp_path / "again" / "c.png"), read(outcome.files[0]))


@pytest.mark.parametrize(
    ("recipe", "arguments", "sentence"),
    [
        ("steps=99", (), "Steps (steps): takes a whole number from 1 to 50"),
        ("steps=2\nsteps=3", (), "stands twice"),
        (None, (), "cannot be read: give a text file in UTF-8"),
        (b"\xff\xfe\x00", (), "cannot be read: give a text file in UTF-8, or a picture"),
        ("x" * 50_000, (), "shorten it"),
        ("a garden", ("--style", "oil"), "choose one of drawn"),
        ("a garden\nstyle=oil", (), "choose one of drawn"),
        ("a garden", ("--catalog", "nowhere.toml"), "nowhere.toml"),
        ("a garden", ("nowhere.jpg",), "There is no file nowhere.jpg"),
        ("a garden", ("-o", "PHOTOS"), "choose another folder"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_misuse_has_status_2_and_a_sentence(
    tmp_path: Path,
    folder: Path,
    recipe: str | bytes | None,
    arguments: tuple[str, ...],
    sentence: str,
) -> None:
    path = tmp_path / "recipe.txt"
    if recipe is not None:
        path.write_bytes(recipe.encode() if isinstance(recipe, str) else recipe)
    given = [str(folder) if one == "PHOTOS" else one for one in arguments]
    status, lines, notes = command(path, folder, "-o", tmp_path / "out", *given)
    assert (status, lines) == (2, [])
    assert sentence in notes
    assert notes.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("arguments", [(), ("recipe.txt", "photos"), ("--what",)], ids=str)
def test_wrong_arguments_have_status_2(arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments, io.StringIO(), io.StringIO())
    assert stopped.value.code == 2


def test_a_file_name_cannot_write_on_the_terminal(tmp_path: Path) -> None:
    photo, recipe = tmp_path / "a\n\x1b[2Jb.jpg", tmp_path / "recipe.txt"
    photo.write_bytes(b"no picture")
    recipe.write_text("a garden")
    status, lines, _ = command(recipe, photo, "-o", tmp_path / "out", "--style", "drawn")
    assert status == 1
    assert len(lines) == 1
    assert lines[0].isprintable()


def test_importing_the_command_loads_no_model_library() -> None:
    code = "import sys, inference.__main__; print({'torch', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"


def started(out: Path, recipe: Path, stderr: int) -> subprocess.Popen[str]:
    arguments = [
        recipe,
        EXAMPLES / "beach.png",
        EXAMPLES / "snow.png",
        "-o",
        out,
        "--style",
        "drawn",
    ]

    def as_in_a_terminal() -> None:
        # A test run in the background ignores Ctrl+C, which subprocesses would inherit.
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    return subprocess.Popen(
        [sys.executable, "-m", "inference", *map(str, arguments)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=stderr, text=True,
        preexec_fn=as_in_a_terminal,
    )  # fmt: skip


def test_a_folder_is_painted_with_the_embedded_pack(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.txt"
    chatty = "scheduler=dpm++sde_karras\ncontrolnets=pose ipadapter\n"  # libraries warn of these
    recipe.write_text(f"a portrait, space\nsteps=2\nseed=7\n{chatty}")
    work = started(tmp_path / "out", recipe, subprocess.PIPE)
    lines, errors = work.communicate()
    assert (work.returncode, errors) == (0, "")
    lines = lines.splitlines()
    assert ["seed 7, kept pixels changed: 0" in line for line in lines] == [True, True]
    for name in ("beach.png", "snow.png"):
        before, after = read(EXAMPLES / name), read(tmp_path / "out" / name)
        assert after.shape == before.shape
        assert 0.05 < (after != before).any(axis=2).mean() < 0.95


def test_ctrl_c_stops_within_a_step_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    recipe, out = tmp_path / "recipe.txt", tmp_path / "out"
    recipe.write_text("space\nsteps=16\nseed=7\n")
    terminal, stderr = pty.openpty()
    work = started(out, recipe, stderr)
    os.close(stderr)
    shown = b""
    while "2 of 2, snow.png: Painting · step 1 of 16".encode() not in shown:
        shown += os.read(terminal, 4096)
    work.send_signal(signal.SIGINT)
    lines = str(work.communicate()[0]).splitlines()
    while chunk := rest_of(terminal):
        shown += chunk
    assert work.returncode == 130
    assert "1 of 2, beach.png: Painting · step 16 of 16".encode() in shown
    assert b"step 16 of 16" not in shown.split(b"2 of 2")[-1]
    assert b"Stopped" in shown
    assert b"Traceback" not in shown
    assert [Path(line.split(": ")[0]).name for line in lines] == ["beach.png"]
    assert [path.name for path in out.iterdir()] == ["beach.png"]
    assert cv2.imread(str(out / "beach.png")) is not None


def rest_of(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # the other end is closed
        return b""
