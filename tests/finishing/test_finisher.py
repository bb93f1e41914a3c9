"""Tests of the finishing stages and their combinations, with the real classes at tiny size."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import closing
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from inference import Photo, Progress, Recipe, Result, Studio
from inference.catalog.catalog import Catalog
from inference.errors import InvalidPhoto, InvalidRecipe, MissingModel
from inference.finishing.face_regions import find_faces
from inference.finishing.face_restorer import FaceRestorer
from inference.finishing.film_grain import measure
from inference.finishing.finisher import Finished, Finisher
from inference.mask.heatmap import Heatmap
from inference.mask.inpaint_crop import InpaintCrop
from inference.picture.compositing import resize
from inference.picture.progress import Stage
from tests.studio.test_studio import halved, photo, result_of
from tests.support.hub_repositories import save_image_encoder, save_ip_adapter
from tests.support.tiny_detectors import save_graph
from tests.support.tiny_models import without

STAGES = {
    "super_resolution": (True, Stage.ENLARGING),
    "hires_fix": (True, Stage.REFINING),
    "inpaint_faces": (True, Stage.FACES),
    "face_correct": (True, Stage.CORRECTING),
    "film_grain": (True, Stage.GRAIN),
    "color_grading": ("Film Velvia", Stage.GRADING),
}
ALL = {name: value for name, (value, _) in STAGES.items()}
# No stage, single stages, all but one, all, and all pairs, because stages may affect each other.
COMBINATIONS = [
    {name: ALL[name] for name in names}
    for count in (0, 1, 2, len(STAGES) - 1, len(STAGES))
    for names in combinations(STAGES, count)
]


@pytest.fixture(scope="module")
def studio(tiny_catalog: Path) -> Studio:
    return Studio(catalog=Catalog.load(tiny_catalog), style="drawn")


def painted(studio: Studio, picture: Photo, **fields: object) -> Result:
    return result_of(studio.paint(picture, halved(studio, picture, **fields)))


# --- kept means kept ----------------------------------------------------------------------------


@pytest.mark.parametrize("stages", COMBINATIONS, ids=lambda stages: " ".join(stages) or "none")
def test_no_stage_and_no_combination_touches_what_is_kept(
    studio: Studio, stages: dict[str, object]
) -> None:
    result = painted(studio, photo(), **stages)
    kept = result.mask == 0
    assert 0 < kept.sum() < kept.size
    assert result.kept_pixels_changed == 0
    np.testing.assert_array_equal(result.images[0][kept], result.original[kept])


@pytest.mark.parametrize("stage", [one for one in STAGES if "face" not in one])
def test_without_protection_a_stage_may_change_it_and_the_count_says_so(
    studio: Studio, stage: str
) -> None:
    result = painted(studio, photo(), **{stage: ALL[stage]}, protect=False)
    assert result.kept_pixels_changed > 0.5 * result.kept_pixels


def test_without_protection_and_without_stages_it_is_kept_all_the_same(studio: Studio) -> None:
    assert painted(studio, photo(), protect=False).kept_pixels_changed == 0


@pytest.mark.parametrize("stage", [one for one in STAGES if "face" not in one])
def test_each_stage_changes_what_is_repainted(studio: Studio, stage: str) -> None:
    picture = photo(200, 240)
    plain, finished = (painted(studio, picture, **one) for one in ({}, {stage: ALL[stage]}))
    inside = plain.mask == 255
    assert (plain.images[0][inside] != finished.images[0][inside]).any(axis=1).mean() > 0.3


# --- sizes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("photo_size", "stages", "size"),
    [
        ((96, 120), {}, (96, 120)),
        # The tiny enlarger doubles; the painting of 56 by 72 pixels fills the photo.
        ((96, 120), {"super_resolution": True}, (115, 144)),
        ((96, 120), {"hires_fix": True}, (115, 144)),
        ((96, 120), {"super_resolution": True, "hires_fix": True}, (115, 144)),
        ((480, 600), {"super_resolution": True}, (480, 600)),
        ((96, 120), {"super_resolution": True, "w": 64, "h": 64}, (128, 128)),
    ],
    ids=str,
)
def test_the_picture_grows_where_the_painting_has_more_pixels_than_the_photo(
    studio: Studio,
    photo_size: tuple[int, int],
    stages: dict[str, object],
    size: tuple[int, int],
) -> None:
    picture = photo(*photo_size)
    result = painted(studio, picture, **stages)
    assert result.images[0].shape[1::-1] == size
    assert result.mask.shape == size[::-1]
    if "w" not in stages:
        np.testing.assert_array_equal(result.original, resize(picture.pixels, size))


def returned(work: Generator[Progress, None, Finished]) -> Finished:
    """The return value of a generator."""
    while True:
        try:
            next(work)
        except StopIteration as done:
            return done.value


# --- stages -------------------------------------------------------------------------------------


def test_the_stages_come_in_their_order_and_say_how_far_they_are(studio: Studio) -> None:
    picture = photo(seed=2)
    events = list(studio.paint(picture, halved(studio, picture, num_images=2, **ALL)))
    progress = [event for event in events if isinstance(event, Progress)]
    order = list(dict.fromkeys(event.stage for event in progress))
    finishing = [stage for stage in order if stage not in (
        Stage.LOADING, Stage.MASK, Stage.CONTROL, Stage.ENCODING, Stage.PAINTING,
        Stage.DECODING)]  # fmt: skip
    assert finishing == [
        Stage.ENLARGING, Stage.REFINING, Stage.FINISHING, Stage.FACES, Stage.CORRECTING,
        Stage.GRAIN, Stage.GRADING,
    ]  # fmt: skip
    refining = [event for event in progress if event.stage is Stage.REFINING]
    assert {event.detail for event in refining} == {"picture 1 of 2", "picture 2 of 2"}
    assert [event.step for event in refining if event.step] == [1, 1]  # 40 % of three steps


@pytest.mark.parametrize("stage", [Stage.ENLARGING, Stage.REFINING, Stage.FACES, Stage.GRADING])
def test_closing_in_any_stage_lets_the_next_job_run(studio: Studio, stage: Stage) -> None:
    picture = photo(seed=3)
    with closing(studio.paint(picture, halved(studio, picture, **ALL))) as events:
        assert any(isinstance(event, Progress) and event.stage is stage for event in events)
    assert painted(studio, picture).kept_pixels_changed == 0


def test_refining_at_strength_0_changes_nothing(studio: Studio) -> None:
    fields = {"super_resolution": True, "mask_feather": 0}
    plain = painted(studio, photo(), **fields)
    again = painted(studio, photo(), **fields, hires_fix=True, hires_denoising_strength=0)
    np.testing.assert_array_equal(plain.images[0], again.images[0])


def test_picture_k_is_finished_as_it_would_be_alone(studio: Studio) -> None:
    together = painted(studio, photo(), num_images=2, **ALL)
    alone = painted(studio, photo(), seed=together.recipe.seed + 1, **ALL)
    difference = together.images[1].astype(int) - alone.images[0].astype(int)
    assert np.abs(difference).mean() < 1


@pytest.mark.parametrize(
    ("amount", "size", "short_side", "pixels"),
    [
        (8.0, 2.0, 256, 1.0),
        (16.0, 4.0, 256, 2.0),
        (24.0, 6.0, 256, 3.0),
        (16.0, 2.0, 512, 2.0),
        (16.0, 2.0, 768, 3.0),
        (16.0, 0.1, 256, 1.0),  # finer than a pixel
    ],
)
def test_grain_is_as_much_and_as_coarse_as_asked_for(
    studio: Studio, amount: float, size: float, short_side: int, pixels: float
) -> None:
    """Its size is in pixels of a picture whose short side is 512."""
    smooth = Photo.of(np.full((short_side * 5 // 4, short_side, 3), 128, dtype=np.uint8))
    disc = {"mask_prompt": "", "mask_invert": False, "mask_strokes": "+4000:5000,5000"}
    recipe = Recipe.parse({"seed": 5, "denoising_strength": 0, "film_grain": True, **disc,
                           "film_grain_amount": amount, "film_grain_size": size})  # fmt: skip
    result = result_of(studio.paint(smooth, recipe))
    found = measure(result.images[0], result.mask == 255)
    assert found.amount == pytest.approx(amount, rel=0.15)
    assert found.size == pytest.approx(pixels, rel=0.2)


def test_a_family_without_an_enlarger_is_told_before_anything_is_painted(
    tiny_catalog: Path,
) -> None:
    studio = Studio(catalog=without(Catalog.load(tiny_catalog), "enlarger"), style="drawn")
    picture = photo()
    recipe = halved(studio, picture, super_resolution=True)
    seen: list[Progress | Result] = []
    with pytest.raises(MissingModel, match="no enlarger"):
        seen.extend(studio.paint(picture, recipe))
    assert not [event for event in seen if event.stage is Stage.PAINTING]


# --- faces --------------------------------------------------------------------------------------


def faces_at(*spots: tuple[int, int]) -> Heatmap:
    """Scores of discs with a radius of 20 in a map of 200 by 200."""
    y, x = np.mgrid[:200, :200]
    near = np.min([np.hypot(x - one[0], y - one[1]) for one in spots], axis=0)
    return Heatmap(phrase="face", logits=np.where(near < 20, 5, -5).astype(np.float32))


@pytest.mark.parametrize(
    ("spots", "kept", "count"),
    [
        ([(100, 100)], slice(0, 0), 1),
        ([(50, 60), (150, 60)], slice(0, 0), 2),
        ([(50, 60), (150, 60)], slice(0, 400), 1),
        ([(100, 100)], slice(0, 800), 0),
        ([(-500, 0)], slice(0, 0), 0),
    ],
)
def test_faces_are_told_apart_and_kept_ones_left_alone(
    spots: list[tuple[int, int]], kept: slice, count: int
) -> None:
    reach = np.full((800, 800), 255, dtype=np.uint8)
    reach[:, kept] = 0
    faces = find_faces(faces_at(*spots), reach, 64)
    assert len(faces) == count
    for face in faces:
        assert face.size == (64, 64)
        whole = np.zeros_like(reach)
        whole[face.box.slices] = face.at(face.box.size)
        middle = np.argwhere(whole > 128).mean(axis=0)[::-1] / 4
        assert min(np.hypot(*(middle - spot)) for spot in spots) < 3
        assert 150 < face.box.size[0] < 400


# --- likeness -----------------------------------------------------------------------------------

WITH_FACE = """
[families.pack.face]
title = "Face"
source = { folder = "adapters" }
[families.pack.face.adapter]
file = "face.safetensors"
encoder_folder = "encoder"
encoder = { folder = "adapters" }
"""


@pytest.fixture(scope="module")
def with_face(tiny_catalog: Path) -> Studio:
    """A studio whose models include the IP-Adapter for faces."""
    folder = tiny_catalog.parent
    save_ip_adapter(folder / "adapters" / "face.safetensors", parts=True, seed=3)
    save_image_encoder(folder / "adapters" / "encoder")
    (folder / "face.toml").write_text(tiny_catalog.read_text() + WITH_FACE)
    return Studio(catalog=Catalog.load(folder / "face.toml"), style="drawn")


def in_the_middle(_photo: Photo, _word: str) -> Heatmap:
    """Heatmap with a face in the middle of every picture, because random weights find none."""
    y, x = np.mgrid[:64, :64]
    disc = np.where(np.hypot(x - 32, y - 32) < 12, 5, -5).astype(np.float32)
    return Heatmap(phrase="face", logits=disc)


@pytest.mark.parametrize(
    ("stage", "same"), [("face_swap", False), ("face_correct", True), ("inpaint_faces", True)]
)
def test_the_likeness_decides_how_a_face_is_painted_and_only_there(
    with_face: Studio, stage: str, same: bool
) -> None:
    picture = photo()
    recipe = halved(with_face, picture, protect=False, **{stage: True})
    selection = with_face.select(picture, recipe)
    place = InpaintCrop.around_mask(selection, recipe, min_side=max(picture.size))
    painter = with_face.models().checkpoints.painter(
        with_face.style(), ("face",), lambda one: one.folder
    )
    images = []
    for seed in (1, 2):
        finisher = Finisher(
            recipe=recipe, native=64, paint=painter.paint,
            enlarger=lambda: pytest.fail("not asked"), find=in_the_middle,
            keypoints=lambda *_: pytest.fail("not asked"),
            restorer=lambda: None, posed=lambda *_: pytest.fail("not asked"),
            likeness=photo(40, 40, seed).pixels,
        )  # fmt: skip
        finished = returned(finisher.run((picture.pixels,), place))
        changed = (finished.images[0] != picture.pixels).any(axis=2)
        assert changed[60, 48]
        assert not changed[:20].any()
        assert not changed[-20:].any()
        images.append(finished.images[0])
    assert (images[0] == images[1]).all() == same


def test_a_photo_without_a_face_is_told_before_anything_is_painted(with_face: Studio) -> None:
    picture = photo(seed=9)
    nowhere = np.full((64, 64), -5, dtype=np.float32)
    with_face._selector.finder._heat.keep(
        repr(("pack", picture.digest, "face")), Heatmap(phrase="face", logits=nowhere)
    )
    with pytest.raises(InvalidPhoto, match="no face to take a likeness from"):
        painted(with_face, picture, face_swap=True)


def test_a_style_without_a_model_for_likeness_says_so(tiny_catalog: Path) -> None:
    studio = Studio(catalog=without(Catalog.load(tiny_catalog), "face"), style="drawn")
    with pytest.raises(InvalidRecipe, match=r"\(face_swap\): the style .* has no model for it"):
        painted(studio, photo(), face_swap=True)


# --- correction ---------------------------------------------------------------------------------


@pytest.mark.parametrize("protect", [True, False])
def test_a_restorer_corrects_the_face_and_nothing_else(
    with_face: Studio, tmp_path: Path, protect: bool
) -> None:
    picture = photo()
    # So soft an edge that more than half of the face may be repainted.
    soft = {"mask_feather": 55}
    recipe = halved(with_face, picture, protect=protect, face_correct=True, **soft)
    place = InpaintCrop.around_mask(with_face.select(picture, recipe), recipe, max(picture.size))
    joints = np.zeros((17, 3), dtype=np.float32)
    joints[:3] = (48, 66, 1), (54, 56, 1), (42, 56, 1)
    finisher = Finisher(
        recipe=recipe,
        native=64,
        paint=with_face.models()
        .checkpoints.painter(with_face.style(), (), lambda one: one.folder)
        .paint,
        enlarger=lambda: pytest.fail("not asked"),
        find=in_the_middle,
        keypoints=lambda *_: joints,
        restorer=lambda: FaceRestorer.load(save_graph(tmp_path, "Mul", -1.0)),
        posed=lambda *_: pytest.fail("not asked"),
    )
    corrected = returned(finisher.run((picture.pixels,), place)).images[0]
    changed = (corrected != picture.pixels).any(axis=2)
    open_to_painting = place.alpha > 0
    assert changed[56:64, 44:52][open_to_painting[56:64, 44:52] | (not protect)].all()
    assert not changed[:20].any()
    assert not changed[-20:].any()
    assert not (changed & ~open_to_painting).any() or not protect


RESTORER = """
[families.pack.restorer]
folder = "restorer"
licence = "apache-2.0"
attribution = "a test"
"""


def test_without_its_package_the_result_says_how_to_have_faces_restored(
    tiny_catalog: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = tiny_catalog.parent / "restorer.toml"
    catalog.write_text(tiny_catalog.read_text() + RESTORER)
    save_graph(tiny_catalog.parent / "restorer", "Identity")
    studio = Studio(catalog=Catalog.load(catalog), style="drawn")
    assert painted(studio, photo(), face_correct=True).notes == ()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert "pip install onnxruntime" in painted(studio, photo(), face_correct=True).notes[0]
    assert painted(studio, photo()).notes == ()
