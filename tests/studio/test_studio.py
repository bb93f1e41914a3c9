"""End-to-end tests of the studio at tiny size, from photo and recipe to the result."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from inference import Photo, Progress, Recipe, Result, Studio
from inference.catalog.catalog import Catalog, HubSource, Lora
from inference.catalog.hub import fetch
from inference.errors import HubUnreachable, InvalidRecipe, MissingModel, WordsNotFound
from inference.picture.progress import Stage
from tests.support.hub_repositories import save_lora
from tests.support.hub_server import HubServer

# Random weights find every word with a score near 1/2; the threshold splits the picture.
RECIPE = {"prompt": "a garden", "steps": 3, "seed": 5, "mask_negative": "", "mask_feather": 6}
HOLE = "-2000:5000,5000"


@pytest.fixture(scope="module")
def catalog(tiny_catalog: Path) -> Catalog:
    return Catalog.load(tiny_catalog)


@pytest.fixture(scope="module")
def studio(catalog: Catalog) -> Studio:
    return Studio(catalog=catalog, style="drawn")


def photo(width: int = 96, height: int = 120, seed: int = 0) -> Photo:
    random = np.random.default_rng(seed)
    return Photo.of(random.integers(0, 256, (height, width, 3), dtype=np.uint8))


def halved(studio: Studio, picture: Photo, **fields: object) -> Recipe:
    """A recipe whose threshold selects about half of the picture."""
    heat = studio._selector.finder.heatmaps(picture, ("foreground",), "pack")[0]
    score = 1 / (1 + np.exp(-np.median(heat.logits)))
    return Recipe(**{**RECIPE, "mask_threshold": float(np.clip(score, 0.05, 0.95)), **fields})


def result_of(events: Iterable[Progress | Result]) -> Result:
    *_, last = events
    assert isinstance(last, Result)
    return last


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({}, (96, 120)),
        ({"mask_invert": False}, (96, 120)),
        ({"mask_feather": 0}, (96, 120)),
        ({"controlnet": None}, (96, 120)),
        ({"controlnet": "canny"}, (96, 120)),
        ({"ar": "1:1"}, (96, 96)),
        ({"ar": "16:9"}, (96, 54)),
        ({"w": 128, "h": 64}, (128, 64)),
        ({"num_images": 2}, (96, 120)),
        ({"denoising_strength": 0.0}, (96, 120)),
        ({"mask_edges": "matte"}, (96, 120)),
        ({"mask_edges": "matte", "hires_fix": True, "ar": "16:9"}, (176, 99)),
    ],
    ids=str,
)
def test_kept_pixels_are_the_uploads_own(
    studio: Studio, fields: dict[str, object], size: tuple[int, int]
) -> None:
    picture = photo()
    result = result_of(studio.paint(picture, halved(studio, picture, **fields)))
    kept = result.mask == 0
    assert 0 < kept.sum() < kept.size
    assert result.kept_pixels == kept.sum()
    assert result.kept_pixels_changed == 0
    assert result.edge_pixels == ((result.mask > 0) & (result.mask < 255)).sum()
    assert len(result.images) == fields.get("num_images", 1)
    for image in result.images:
        assert image.shape[1::-1] == size
        np.testing.assert_array_equal(image[kept], result.original[kept])
    if "w" not in fields and "ar" not in fields:
        np.testing.assert_array_equal(result.original, picture.pixels)


def test_the_masked_part_is_repainted(studio: Studio) -> None:
    picture = photo()
    result = result_of(studio.paint(picture, halved(studio, picture, mask_feather=0)))
    repainted = result.mask == 255
    assert (result.images[0][repainted] != result.original[repainted]).mean() > 0.9


def test_every_stage_is_reported_in_order(studio: Studio) -> None:
    picture = photo(seed=1)
    events = list(studio.paint(picture, halved(studio, picture, denoising_strength=1.0)))
    stages = list(dict.fromkeys(e.stage for e in events if isinstance(e, Progress)))
    assert stages == [
        Stage.LOADING, Stage.MASK, Stage.CONTROL, Stage.ENCODING, Stage.PAINTING, Stage.DECODING,
        Stage.FINISHING,
    ]  # fmt: skip
    painting = [e for e in events if isinstance(e, Progress) and e.stage is Stage.PAINTING]
    assert [(e.step, e.steps) for e in painting] == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert painting[1].preview is not None
    assert any(e.control_map is not None for e in events if isinstance(e, Progress))
    assert set(events[-1].seconds) == {"loading", "mask", "control", "painting", "finishing"}


def test_a_random_seed_is_reported_and_repeats_the_picture(studio: Studio) -> None:
    picture = photo()
    first = result_of(studio.paint(picture, halved(studio, picture, seed=None)))
    assert first.recipe.seed is not None
    for _ in range(3):
        again = result_of(studio.paint(picture, first.recipe))
        np.testing.assert_array_equal(first.images[0], again.images[0])


@pytest.mark.parametrize(
    ("fields", "error", "sentence"),
    [
        ({"mask_prompt": "", "mask_threshold": 0.5}, WordsNotFound, "other words"),
        ({"style": "oil"}, MissingModel, "choose one of drawn"),
        ({"controlnet": "spine"}, InvalidRecipe, "one of pose, canny"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_said_before_painting(
    studio: Studio, fields: dict[str, object], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        list(studio.paint(photo(), Recipe(**{**RECIPE, **fields})))
    assert studio._job_lock.acquire(timeout=1), "the painter is free again"
    studio._job_lock.release()


def test_closing_cancels_and_the_next_job_gives_the_undisturbed_picture(studio: Studio) -> None:
    picture = photo()
    recipe = halved(studio, picture, denoising_strength=1.0)
    undisturbed = result_of(studio.paint(picture, recipe))
    job = studio.paint(picture, recipe)
    for event in job:
        if isinstance(event, Progress) and event.stage is Stage.PAINTING:
            break
    job.close()
    assert not studio._job_lock.locked()
    np.testing.assert_array_equal(
        result_of(studio.paint(picture, recipe)).images[0], undisturbed.images[0]
    )


def test_one_job_paints_at_a_time_and_the_other_says_that_it_waits(studio: Studio) -> None:
    picture = photo()
    recipe = halved(studio, picture)
    first = studio.paint(picture, recipe)
    while not studio._job_lock.locked():
        next(first)
    second = studio.paint(picture, recipe)
    assert [next(second).stage for _ in range(3)][1:] == [Stage.WAITING] * 2
    results: list[Result] = []
    waiting = threading.Thread(target=lambda: results.append(result_of(second)))
    waiting.start()
    result_of(first)
    waiting.join(timeout=60)
    assert len(results) == 1


def test_a_cancelled_wait_leaves_the_painter_to_the_running_job(studio: Studio) -> None:
    picture = photo()
    first = studio.paint(picture, halved(studio, picture))
    while not studio._job_lock.locked():
        next(first)
    second = studio.paint(picture, halved(studio, picture))
    next(second), next(second)
    second.close()
    assert studio._job_lock.locked()
    first.close()
    del first
    gc.collect()
    assert not studio._job_lock.locked()


# --- styles that share a base -------------------------------------------------------------------


def test_styles_that_differ_in_loras_share_a_base_and_leave_no_trace(studio: Studio) -> None:
    picture = photo()
    models = studio.models()
    base = models.checkpoints.painter(studio.style(), (), fetch)
    turns = ["drawn", "ink", "drawn", "words", "ink", "words", "drawn"]
    seen: dict[str, Result] = {}
    for style in turns:
        result = result_of(studio.paint(picture, halved(studio, picture, style=style)))
        seen.setdefault(style, result)
        np.testing.assert_array_equal(result.images[0], seen[style].images[0])
    assert models.checkpoints.painter(studio.style("ink"), (), fetch) is base
    pictures = {one.images[0].tobytes() for one in seen.values()}
    assert len(pictures) == len(seen) == 3


def test_the_trigger_words_of_a_lora_open_the_prompt(catalog: Catalog, studio: Studio) -> None:
    pack = catalog.family("pack")
    mute = pack.loras["words"].model_copy(update={"trigger_words": ""})
    pack = pack.model_copy(update={"loras": {**pack.loras, "words": mute}})
    families = {**catalog.family_by_key, "pack": pack}
    silent = Studio(catalog=catalog.model_copy(update={"family_by_key": families}))
    picture = photo()

    def painted(studio: Studio, prompt: str) -> bytes:
        recipe = halved(studio, picture, style="words", prompt=prompt)
        return result_of(studio.paint(picture, recipe)).images[0].tobytes()

    assert painted(studio, "a garden") == painted(silent, "in words, a garden")
    assert painted(studio, "a garden") != painted(silent, "a garden")


@pytest.mark.parametrize(
    ("field", "of_style", "other"),
    [("cfg_scale", 2.5, 4.0), ("control_mode", "unbalanced", "balanced")],
)
def test_a_style_has_settings_and_the_recipe_goes_before_them(
    studio: Studio, field: str, of_style: object, other: object
) -> None:
    picture = photo()
    left_out, same, different = (
        result_of(studio.paint(picture, halved(studio, picture, style="words", **fields))).images[0]
        for fields in ({}, {field: of_style}, {field: other})
    )
    np.testing.assert_array_equal(left_out, same)
    assert (left_out != different).any()


# --- the real models' whole set, from a local server that speaks the hub's protocol ------------


@pytest.mark.parametrize("style", ["photo", "painting", "cartoon", "flat"])
def test_a_full_size_style_downloads_with_progress_and_paints(
    catalog: Catalog, whole_hub: HubServer, style: str
) -> None:
    small = catalog.style(style).model_copy(update={"native_size": 64})
    styles = {**catalog.style_by_key, style: small}
    studio = Studio(catalog=catalog.model_copy(update={"style_by_key": styles}))
    recipe = Recipe(**RECIPE, style=style, mask_threshold=0.05, mask_strokes=HOLE)
    events = list(studio.paint(photo(), recipe))
    assert any("MB" in e.detail for e in events if isinstance(e, Progress))
    assert isinstance(events[-1], Result)
    assert events[-1].recipe.style == style
    assert whole_hub.downloads()


def test_a_lora_from_the_hub_is_downloaded_once_and_changes_the_picture(
    catalog: Catalog, whole_hub: HubServer, tmp_path: Path
) -> None:
    save_lora(tmp_path / "oil", file="oil.safetensors")
    whole_hub.add("someone/oil", tmp_path / "oil")
    source = HubSource(repo="someone/oil", files=("oil.safetensors",))
    oil = Lora(key="oil", family="sd15", title="Oil", source=source, file="oil.safetensors")
    sd15 = catalog.family("sd15").model_copy(update={"loras": {"oil": oil}})
    plain = catalog.style("cartoon").model_copy(update={"native_size": 64})
    with_lora = plain.model_copy(update={"key": "oil", "loras": {"oil": 1.0}})
    studio = Studio(
        catalog=Catalog(
            family_by_key=catalog.family_by_key | {"sd15": sd15},
            style_by_key=catalog.style_by_key | {"cartoon": plain, "oil": with_lora},
        )
    )
    recipe = Recipe(**RECIPE, mask_threshold=0.05, mask_strokes=HOLE, controlnet=None)
    painted = [
        result_of(studio.paint(photo(), recipe.model_copy(update={"style": style}))).images[0]
        for style in ("cartoon", "oil", "cartoon", "oil")
    ]
    assert (painted[0] != painted[1]).any()
    np.testing.assert_array_equal(painted[0], painted[2])
    np.testing.assert_array_equal(painted[1], painted[3])
    fetched = [path for path in whole_hub.downloads() if "someone/oil" in path]
    assert [path.rsplit("/", 1)[1] for path in fetched] == ["oil.safetensors"]


def test_with_the_hub_down_it_says_so_and_goes_on_with_the_pack(
    catalog: Catalog, whole_hub: HubServer
) -> None:
    whole_hub.close()
    studio = Studio(catalog=catalog, style="photo")
    with pytest.raises(HubUnreachable, match="connection"):
        list(studio.paint(photo(), Recipe(**RECIPE)))
    list(studio.warm_up())
    assert studio.style().family == "pack"
    assert "connection" in studio.fallback_reason
    picture = photo()
    assert result_of(studio.paint(picture, halved(studio, picture))).recipe.style == "drawn"


def test_nothing_is_computed_twice_for_the_same_photo(studio: Studio) -> None:
    picture = photo(seed=3)
    recipe = halved(studio, picture, steps=2, denoising_strength=1.0)
    calls: list[str] = []
    models = studio.models()
    painter = models.checkpoints.painter(studio.style(), ("pose",), lambda source: source.folder)
    segmenter = models.segmenter("pack", lambda source: source.folder)
    estimator = models.pose("pack", lambda source: source.folder)
    watched = {
        "vision tower": segmenter._model.clip.vision_model,
        "decoder": segmenter._model.decoder,
        "pose": estimator._model,
        "text encoder": painter._pipe.text_encoder,
        "image encoder": painter._pipe.vae.encoder,
    }
    hooks = [
        module.register_forward_hook(lambda *_, name=name: calls.append(name))
        for name, module in watched.items()
    ]
    result_of(studio.paint(picture, recipe))
    assert {"pose", "image encoder"} <= set(calls)
    calls.clear()
    result_of(studio.paint(picture, recipe.model_copy(update={"seed": 9, "cfg_scale": 2.0})))
    assert calls == []
    for hook in hooks:
        hook.remove()


@pytest.mark.parametrize(
    ("field", "edges", "changes"),
    [
        ("color_match", "soft", True),
        ("light_wrap", "matte", True),
        ("light_wrap", "soft", False),
    ],
)
def test_light_changes_what_is_painted_or_partly_kept_and_nothing_else(
    studio: Studio, field: str, edges: str, *, changes: bool
) -> None:
    picture = photo()

    def paint(strength: float) -> Result:
        fields = {"color_match": 0, "light_wrap": 0, "mask_edges": edges} | {field: strength}
        return result_of(studio.paint(picture, halved(studio, picture, **fields)))

    without, with_it = paint(0), paint(1)
    differs = (without.images[0] != with_it.images[0]).any(axis=2)
    assert differs.any() == changes
    assert with_it.kept_pixels_changed == 0
    if field == "light_wrap":
        assert not differs[with_it.mask == 255].any()
