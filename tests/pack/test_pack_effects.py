"""Tests of the effect of each finishing and painting field, measured on the embedded pack.

All figures are computed from pictures of `Studio.paint`; a field without effect fails its test. The
portraits, prompts and measures are those of `tools/eval_pack.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import cv2
import numpy as np
import pytest
import torch

from inference import Photo, Progress, Recipe, Result, Studio
from inference.catalog.catalog import Catalog
from inference.finishing.color_grading import LOOKS
from inference.finishing.film_grain import Grain, add
from inference.painting.multi_diffusion import windows_of
from inference.picture.compositing import resize
from inference.picture.geometry import LATENT_FACTOR
from inference.picture.photo import Pixels
from inference.picture.progress import Stage
from inference.recipe.recipe import SCHEDULERS
from tools.evaluation import prompt
from tools.evaluation.bench import Bench, Painting, sitter
from tools.evaluation.enlarging import psnr
from tools.portraits.spec import COLOURS

# Side of the square whose area is painted: half of the pack's own, which is enough for the effects
# and takes a quarter of the time.
NATIVE = 192
WIDTH, HEIGHT = 384, 480  # of the portrait that is painted on
SMALL = 192, 240  # the same portrait with fewer pixels than an enlarged painting has
STEPS = 4
# Largest jump at a window's border, in medians. Measured: 1.15; without fading weights 1.25,
# without overlap 1.7, between tiles that are refined independently 10.
SEAMLESS = 1.2

Paint = Callable[..., Result]


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    styles = tmp_path_factory.mktemp("catalog") / "half.toml"
    styles.write_text(f"[styles.drawn]\nnative_size = {NATIVE}\n", encoding="utf-8")
    return Studio(catalog=Catalog.load(styles), style="drawn")


@pytest.fixture(scope="module")
def bench(studio: Studio) -> Bench:
    return Bench(studio)


@pytest.fixture(scope="module")
def paint(studio: Studio) -> Paint:
    """Paints a portrait with a prompt of the evaluation, each recipe once; `small`: small photo."""
    photos = [sitter(0).image, resize(sitter(0).image, SMALL)]
    done: dict[str, Result] = {}

    def paint(*, small: bool = False, **fields: object) -> Result:
        recipe = prompt.recipe(0, **{"steps": STEPS, **fields})
        key = f"{small} {recipe.model_dump_json()}"
        if key not in done:
            done[key] = result_of(studio, Photo.of(photos[small]), recipe)
        return done[key]

    return paint


def result_of(
    studio: Studio, photo: Photo, recipe: Recipe, mask_image: Photo | None = None
) -> Result:
    *_, result = studio.paint(photo, recipe, mask_image)
    assert isinstance(result, Result)
    return result


def repainted(result: Result, inset: int = 0) -> np.ndarray:
    """Repainted pixels, (H, W) bool, at least `inset` pixels away from kept ones."""
    kept = (result.mask < 255).astype(np.uint8)
    return cv2.dilate(kept, np.ones((2 * inset + 1,) * 2, np.uint8)) == 0


def sharpness(picture: Pixels, where: np.ndarray) -> float:
    """Mean energy of the gradient, in squared levels per pixel."""
    down, across = np.gradient(picture.astype(np.float64).mean(axis=2))
    return float((down**2 + across**2)[where].mean())


def distance(result: Result, other: Pixels) -> float:
    """Mean absolute difference in the repainted part, in levels; `other` may be smaller."""
    other = resize(other, result.images[0].shape[1::-1])
    gap = np.abs(result.images[0].astype(np.float64) - other)
    return float(gap[repainted(result)].mean())


# --- enlarge ------------------------------------------------------------------------------------


def test_enlarging_brings_back_what_painting_at_the_packs_size_lost(paint: Paint) -> None:
    """At strength 0 the painting is the photo made smaller, and the photo tells what is missing."""
    plain, enlarged = (paint(denoising_strength=0, super_resolution=on) for on in (False, True))
    assert enlarged.images[0].shape == plain.images[0].shape == (HEIGHT, WIDTH, 3)
    where = repainted(plain, inset=8)
    truth, *both = (one[where] for one in (plain.original, plain.images[0], enlarged.images[0]))
    without, with_enlarger = (psnr(one, truth) for one in both)
    assert with_enlarger > without + 1
    sharp, sharper = (sharpness(one.images[0], where) for one in (plain, enlarged))
    assert sharper > 1.05 * sharp


def test_enlarging_makes_a_small_picture_as_large_as_the_painting(paint: Paint) -> None:
    """192 × 240 is painted at 168 × 216 or so; twice that is 1.8 times the photo's height."""
    assert paint(small=True).images[0].shape == (240, 192, 3)
    assert paint(small=True, super_resolution=True).images[0].shape == (432, 346, 3)


# --- refine -------------------------------------------------------------------------------------


def test_refining_leads_the_farther_away_the_stronger_it_is(paint: Paint) -> None:
    plain = paint(small=True, steps=6).images[0]
    away = [
        distance(
            paint(small=True, steps=6, hires_fix=True, hires_denoising_strength=strength), plain
        )
        for strength in (0.2, 0.4, 0.7)
    ]
    assert 1 < away[0] < away[1] < away[2]


@pytest.mark.parametrize(("protect", "changed"), [(True, False), (False, True)])
def test_refining_changes_what_is_kept_only_without_protection(
    paint: Paint, protect: bool, changed: bool
) -> None:
    result = paint(small=True, steps=6, hires_fix=True, protect=protect)
    assert result.kept_pixels > 1000
    assert (result.kept_pixels_changed > 0) is changed


# A photo of spots, of which all but two rows are repainted; the painting itself changes nothing, so
# that only the refining is measured. These scenes have no horizon, which would be a jump too.
SPOTS_SCENES = ("space", "garden", "forest", "library")
PLAIN = {
    "style": "drawn", "steps": STEPS, "controlnet": "", "cfg_scale": 1, "w": NATIVE, "h": NATIVE,
    "mask_prompt": "", "mask_negative": "", "mask_invert": False, "mask_dilate": 0,
    "mask_feather": 0,
}  # fmt: skip
STRENGTH = 0.5


def spots(seed: int) -> Pixels:
    """Coloured spots, evenly distributed."""
    noise = np.random.default_rng(seed).standard_normal((NATIVE, NATIVE, 3)).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), 4)
    levels = np.array([120, 160, 200]) + 40 * noise / noise.std()
    return np.clip(levels, 0, 255).astype(np.uint8)


def almost_all() -> Photo:
    """A mask image of all but two rows, because a mask of everything is refused."""
    white = np.full((NATIVE, NATIVE, 3), 255, np.uint8)
    white[-2:] = 0
    return Photo.of(white)


def in_windows(studio: Studio) -> list[Pixels]:
    """Spots refined as in the product: twice as large, in nine overlapping windows."""
    refined: list[Pixels] = []
    for k, scene in enumerate(SPOTS_SCENES):
        fields = {"denoising_strength": 0, "hires_fix": True, "hires_denoising_strength": STRENGTH}
        recipe = Recipe.parse({**PLAIN, **fields, "prompt": scene, "seed": k, "num_images": 6})
        refined += result_of(studio, Photo.of(spots(k)), recipe, almost_all()).images
    return refined


def in_tiles(studio: Studio) -> list[Pixels]:
    """The same spots, twice as large, refined in four independent quarters."""
    recipe = Recipe.parse({**PLAIN, "prompt": SPOTS_SCENES[0], "denoising_strength": STRENGTH})
    whole = resize(spots(0), (2 * NATIVE, 2 * NATIVE))
    tiled = whole.copy()
    for k, (top, left) in enumerate([(0, 0), (0, NATIVE), (NATIVE, 0), (NATIVE, NATIVE)]):
        tile = slice(top, top + NATIVE), slice(left, left + NATIVE)
        one = recipe.model_copy(update={"seed": k})
        photo = Photo.of(np.ascontiguousarray(whole[tile]))
        tiled[tile] = result_of(studio, photo, one, almost_all()).images[0]
    return [tiled]


def borders() -> list[int]:
    """Borders of the windows, in pixels of the refined picture; the same in both directions."""
    side = 2 * NATIVE // LATENT_FACTOR
    windows = windows_of(torch.zeros(1, 4, side, side), NATIVE, LATENT_FACTOR)
    ends = {end for one in windows for end in (one.rows.start, one.rows.stop)}
    return [LATENT_FACTOR * end for end in sorted(ends) if 0 < end < side]


def jumps(pictures: list[Pixels], at: list[int]) -> list[float]:
    """Mean jump between neighbouring columns and rows at these lines, in medians over all lines."""
    found: list[float] = []
    for axis in (1, 0):
        steps = [np.abs(np.diff(one.astype(np.float64), axis=axis)) for one in pictures]
        lines = np.mean([one.mean(axis=(1 - axis, 2)) for one in steps], axis=0)
        found += [float(lines[line - 1] / np.median(lines)) for line in at]
    return found


def test_refining_through_windows_leaves_no_seam(studio: Studio) -> None:
    assert borders() == [128, 192, 320]
    pictures = in_windows(studio)
    assert {one.shape for one in pictures} == {(2 * NATIVE, 2 * NATIVE, 3)}
    assert max(jumps(pictures, borders())) <= SEAMLESS
    assert min(jumps(in_tiles(studio), [NATIVE])) > 4 * SEAMLESS, "this measure sees seams"


# --- faces --------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["inpaint_faces", "face_correct"])
def test_a_face_is_painted_again_and_nothing_outside_its_box(
    bench: Bench, paint: Paint, stage: str
) -> None:
    plain = paint(protect=False)
    again = paint(protect=False, **{stage: True})
    changed = (plain.images[0] != again.images[0]).any(axis=2)
    face = bench.find(plain.images[0], "face")[0]
    assert changed[face].mean() > 0.9
    rows, columns = (np.flatnonzero(face.any(axis=axis)) for axis in (1, 0))
    around = max(np.ptp(rows), np.ptp(columns)) // 4
    box = tuple(slice(max(0, one[0] - around), one[-1] + around) for one in (rows, columns))
    changed[box] = False
    assert not changed.any()


@pytest.mark.parametrize("stage", ["inpaint_faces", "face_correct"])
def test_a_kept_face_stays_the_photos(paint: Paint, stage: str) -> None:
    np.testing.assert_array_equal(paint(**{stage: True}).images[0], paint().images[0])


def test_a_face_is_corrected_more_faintly_than_repainted(bench: Bench, paint: Paint) -> None:
    plain = paint(protect=False, steps=10).images[0]
    face = bench.find(plain, "face")[0]
    corrected, repainted = (
        np.abs(paint(protect=False, steps=10, **{stage: True}).images[0].astype(float) - plain)
        for stage in ("face_correct", "inpaint_faces")
    )
    assert 0 < corrected[face].mean() < repainted[face].mean()


# --- grain and grading --------------------------------------------------------------------------


def grain_laid(grainy: Result, plain: Result) -> float:
    """Amount of grain added to the repainted part, in levels of mid-tones."""
    level = plain.images[0] / 255
    shown = 4 * level * (1 - level)  # all in the middle, nothing in black and white
    clear = repainted(plain)[..., None] & (shown > 0.5)  # elsewhere there is little to see
    noise = grainy.images[0].astype(np.float64) - plain.images[0]
    return float((noise / np.maximum(shown, 0.5))[clear].std())


@pytest.mark.parametrize("amount", [4.0, 8.0, 16.0])
def test_grain_is_as_much_as_asked(paint: Paint, amount: float) -> None:
    grainy = paint(film_grain=True, film_grain_amount=amount, film_grain_size=1)
    assert grain_laid(grainy, paint()) == pytest.approx(amount, rel=0.2)


def test_grain_without_an_amount_is_seen_on_a_clean_photo(paint: Paint) -> None:
    laid = grain_laid(paint(film_grain=True), paint())
    assert 0.95 * 3 <= laid <= 5


def test_grain_without_an_amount_is_the_photos_own(studio: Studio) -> None:
    grainy = Photo.of(add(sitter(0).image, Grain(amount=10, size=1), seed=1))
    plain, laid = (
        result_of(studio, grainy, prompt.recipe(0, steps=1, film_grain=on)) for on in (False, True)
    )
    assert grain_laid(laid, plain) == pytest.approx(10, rel=0.2)


def saturation_and_contrast(result: Result) -> tuple[float, float]:
    """Mean chroma and spread of lightness of the repainted part, in CIELAB units."""
    lab = cv2.cvtColor(result.images[0].astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
    lightness, a, b = lab[repainted(result)].T
    return float(np.hypot(a, b).mean()), float(lightness.std())


def test_each_look_moves_saturation_and_contrast_its_way(paint: Paint) -> None:
    """Velvia is strong in both, Ektar vivid, Portra soft: seen on strong colours."""
    assert list(LOOKS) == ["Film Velvia", "Film Portra", "Ektar"]
    plain, velvia, portra, ektar = (
        saturation_and_contrast(paint(cfg_scale=5, color_grading=one)) for one in (None, *LOOKS)
    )
    assert velvia[0] > ektar[0] > 1.05 * plain[0]
    assert portra[0] < 0.95 * plain[0]
    assert velvia[1] > 1.02 * plain[1]
    assert portra[1] < 0.95 * plain[1]


# --- painting -----------------------------------------------------------------------------------


def test_picture_k_of_a_batch_is_what_seed_plus_k_paints_alone(paint: Paint) -> None:
    together = paint(num_images=3, seed=5)
    assert len(together.images) == 3
    for k, picture in enumerate(together.images):
        alone = paint(seed=5 + k).images[0]
        difference = np.abs(picture.astype(int) - alone)
        # Sums in a batch are rounded in another order.
        assert difference.max() <= 2
        assert (difference > 1).mean() < 1e-4
    assert distance(together, together.images[1]) > 5


@pytest.mark.parametrize("steps", [1, 3])
def test_as_many_steps_are_taken_as_asked(studio: Studio, steps: int) -> None:
    events = list(studio.paint(Photo.of(sitter(0).image), prompt.recipe(0, steps=steps)))
    painting = [one for one in events if isinstance(one, Progress) and one.stage is Stage.PAINTING]
    assert [one.step for one in painting] == list(range(steps + 1))


def test_more_steps_paint_finer(paint: Paint) -> None:
    rough, fine = paint(steps=1), paint(steps=8)
    where = repainted(fine)
    assert sharpness(fine.images[0], where) > 1.5 * sharpness(rough.images[0], where)


def test_every_scheduler_paints_the_prompt_in_its_own_way(bench: Bench, paint: Paint) -> None:
    results = {name: paint(scheduler=name, steps=6) for name in SCHEDULERS}
    assert len(results) == 8
    for name, result in results.items():
        painting = Painting(image=result.images[0], repainted=repainted(result))
        assert painting.image.std() > 20, name
        seen = prompt.nearest_colour(prompt.mean_colour(bench, painting))
        assert seen == prompt.wish(0).colour, name
    for one, other in combinations(results.values(), 2):
        assert distance(one, other.images[0]) > 2


# --- words and controls -------------------------------------------------------------------------


def colour_gap(bench: Bench, result: Result) -> float:
    """Distance of the painted clothes from the prompted colour, in CIELAB units."""
    painting = Painting(image=result.images[0], repainted=repainted(result))
    return prompt.colour_gaps(prompt.mean_colour(bench, painting))[prompt.wish(0).colour]


def test_the_negative_prompt_leads_away_from_its_words(bench: Bench) -> None:
    """The prompt names no colour; the one that it got is refused, or another one."""

    def gaps(k: int, negative: str) -> dict[str, float]:
        asked = f"portrait of a person wearing a {prompt.wish(k).clothes}, {prompt.wish(k).scene}"
        wanted = prompt.recipe(k, steps=6, prompt=asked, negative_prompt=negative)
        return prompt.colour_gaps(prompt.mean_colour(bench, bench.paint(sitter(k).image, wanted)))

    names, refused, other = list(COLOURS), [], []
    for k in range(5):
        free = gaps(k, "")
        got = min(free, key=free.__getitem__)
        far = names[(names.index(got) + 5) % len(names)]
        refused.append(gaps(k, got)[got] - free[got])
        other.append(gaps(k, far)[got] - free[got])
    assert np.mean(refused) > np.mean(other) + 20


def test_weights_are_read_only_with_use_lpw(bench: Bench, paint: Paint) -> None:
    plain = paint(steps=6)

    def weighed(weight: float, *, use_lpw: bool = True) -> Result:
        words = prompt.wish(0).prompt.replace("teal", f"(teal:{weight})")
        return paint(steps=6, prompt=words, use_lpw=use_lpw)

    np.testing.assert_array_equal(weighed(1.0).images[0], plain.images[0])
    assert colour_gap(bench, weighed(0.3)) > colour_gap(bench, plain) + 5
    assert distance(weighed(1.0, use_lpw=False), plain.images[0]) > 2, "brackets are words then"


@pytest.mark.parametrize(
    ("fields", "same"),
    [
        ({"controlnets": "pose"}, {"controlnet": "pose"}),
        ({"controlnets": "pose", "controlnet": ""}, {"controlnet": "pose"}),
        ({"controlnets": "pose", "controlnet_weights": "0.5"},
         {"controlnet": "pose", "controlnet_conditioning_scale": 0.5}),
        ({"controlnets": "pose", "controlnet_weights": "0"}, {"controlnet": ""}),
        ({"controlnets": "pose", "controlnet_windows": "0-0.1"}, {"controlnet": ""}),
        ({"controlnet_conditioning_scale": 0}, {"controlnet": ""}),
    ],
    ids=str,
)  # fmt: skip
def test_controls_that_say_the_same_paint_the_same(
    paint: Paint, fields: dict[str, object], same: dict[str, object]
) -> None:
    np.testing.assert_array_equal(paint(**fields).images[0], paint(**same).images[0])


@pytest.mark.parametrize(
    "fields",
    [
        {"controlnet": ""},
        {"controlnet_conditioning_scale": 0.5},
        {"controlnets": "pose", "controlnet_weights": "0.5"},
        {"controlnets": "pose", "controlnet_windows": "0-0.5"},
        {"controlnet_txt2img": True},
    ],
    ids=str,
)
def test_each_control_field_changes_the_painting_and_nothing_else(
    paint: Paint, fields: dict[str, object]
) -> None:
    result = paint(**fields)
    assert distance(result, paint().images[0]) > 2
    assert result.kept_pixels_changed == 0


def test_the_skeleton_stands_where_the_person_is_whatever_part_is_painted(
    bench: Bench, studio: Studio
) -> None:
    """The nose, of the whole portrait and of its upper part: a disc of pure red."""
    picture = sitter(0).image
    nose = bench.keypoints(picture)[0]
    assert nose[2] > 0.3
    whole = {"mask_prompt": "", "mask_invert": False, "mask_strokes": "+3000:1000,1000 9000,9000"}
    part = whole | {"mask_strokes": "+1200:6000,1500; +1200:4000,3500"}
    boxes = []
    for fields in (whole, part):
        recipe = prompt.recipe(0, steps=1, denoising_strength=1, mask_dilate=0, **fields)
        result = result_of(studio, Photo.of(picture), recipe)
        drawn, box = result.control_map, result.box
        assert drawn is not None
        scale = drawn.shape[1] / box.size[0]
        spots = np.argwhere((drawn == (255, 0, 0)).all(axis=2))
        found = spots.mean(axis=0)[::-1]
        expected = (nose[:2] - (box.left, box.top)) * scale
        assert np.hypot(*(found - expected)) < 3
        boxes.append(box)
    assert boxes[0].size != boxes[1].size
    assert boxes[1].left + boxes[1].top > 0, "the part begins elsewhere"


# --- sizes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({}, (384, 480)),
        ({"ar": "1:1"}, (384, 384)),
        ({"ar": "3:4"}, (360, 480)),
        ({"ar": "portrait"}, (384, 480)),
        ({"ar": "landscape"}, (384, 307)),
        ({"w": 256, "h": 320}, (256, 320)),
        ({"w": 512, "h": 512}, (512, 512)),
        ({"w": 256, "h": 256, "ar": "3:4"}, (256, 256)),
    ],
    ids=str,
)
def test_the_result_has_the_size_that_was_asked_for(
    paint: Paint, fields: dict[str, object], size: tuple[int, int]
) -> None:
    result = paint(steps=1, **fields)
    assert result.images[0].shape == (size[1], size[0], 3)
    assert result.kept_pixels_changed == 0
    assert result.kept_pixels > 1000
