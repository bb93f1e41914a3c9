"""Tests of ControlNet and IP-Adapter guidance from recipe to result: one control, and several."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch

from inference import Photo, Progress, Recipe, Result, Studio
from inference.catalog.catalog import Catalog, LocalSource, Style
from inference.catalog.hub import fetch
from inference.catalog.schema import ControlModel, ImageAdapter
from inference.control.control_maps import CONTROLS
from inference.errors import InvalidRecipe
from inference.painting.inpainting import InpaintInput, Painting
from inference.painting.painter import Painter
from tests.support import hub_repositories
from tests.support.hub_server import HubServer

# Random weights find every word; the stroke leaves something to keep.
HOLE = "-2000:5000,5000"
RECIPE = {
    "prompt": "a garden", "steps": 10, "seed": 5, "mask_negative": "", "mask_threshold": 0.05,
    "mask_strokes": HOLE,
}  # fmt: skip
ADAPTERS = ("composition", "reference", "ipadapter")


@pytest.fixture(scope="module")
def studio(tiny_catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> Studio:
    """A studio whose style has every control, at tiny size."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("controls")
    hub_repositories.save_depth_estimator(folder / "depth")
    hub_repositories.save_room_segmenter(folder / "rooms")
    hub_repositories.save_image_encoder(folder / "encoder")
    catalog = Catalog.load(tiny_catalog)
    net = catalog.control("pack", "pose")
    controls: dict[str, ControlModel] = {}
    for seed, name in enumerate(CONTROLS):
        controls[name] = net.model_copy(update={"key": name, "title": name})
        if name in ADAPTERS:
            file = f"{name}.safetensors"
            hub_repositories.save_ip_adapter(folder / file, parts=name != "ipadapter", seed=seed)
            adapter = ImageAdapter(file=file, encoder=LocalSource(folder=folder / "encoder"))
            source = {"source": LocalSource(folder=folder), "adapter": adapter}
            controls[name] = controls[name].model_copy(update=source)
    models = {name: LocalSource(folder=folder / name) for name in ("depth", "rooms")}
    pack = catalog.family("pack").model_copy(update={"controls": controls, **models})
    families = {**catalog.family_by_key, "pack": pack}
    return Studio(catalog=catalog.model_copy(update={"family_by_key": families}), style="drawn")


def photo() -> Photo:
    random = np.random.default_rng(0)
    return Photo.of(random.integers(0, 256, (120, 96, 3), dtype=np.uint8))


def result_of(events: Iterable[Progress | Result]) -> Result:
    *_, last = events
    assert isinstance(last, Result)
    return last


def painted(studio: Studio, **fields: object) -> Result:
    return result_of(studio.paint(photo(), Recipe(**{**RECIPE, **fields})))


@pytest.mark.parametrize("name", sorted(CONTROLS))
def test_each_control_guides(studio: Studio, name: str) -> None:
    result = painted(studio, controlnet=name, steps=2, inpainting_model=False)
    bare = painted(studio, controlnet=None, steps=2, inpainting_model=False)
    assert result.control_map is not None
    assert result.kept_pixels_changed == 0
    assert (result.images[0] != bare.images[0]).any()
    assert bare.control_map is None


@pytest.mark.parametrize(
    ("fields", "steps"),
    [
        ({"controlnets": "pose canny"}, {"pose": 10, "canny": 10}),
        ({"controlnets": "pose canny", "controlnet_weights": "0.5 0"}, {"pose": 10}),
        ({"controlnets": "pose canny", "controlnet_windows": "0-0.6 0.2-1"},
         {"pose": 6, "canny": 8}),
        ({"controlnets": "pose canny hed", "controlnet_windows": "0-0.1 0.9-1"},
         {"pose": 1, "canny": 1, "hed": 10}),
        ({"controlnets": "hed", "controlnet": "pose"}, {"hed": 10}),
        ({"controlnet": "pose"}, {"pose": 10}),
        ({"controlnet": "pose", "controlnet_conditioning_scale": 0}, {}),
        ({"controlnets": "reference hed", "controlnet_windows": "0-0.5"}, {"hed": 10}),
    ],
    ids=str,
)  # fmt: skip
def test_each_of_several_controls_runs_in_its_own_window(
    studio: Studio, fields: dict[str, object], steps: dict[str, int]
) -> None:
    painter = studio.models().checkpoints.painter(studio.style(), ("pose", "canny", "hed"), fetch)
    calls = dict.fromkeys(("pose", "canny", "hed"), 0)

    def count(name: str) -> None:
        calls[name] += 1

    hooks = [
        painter._conditioner.controlnets[name].register_forward_hook(
            lambda *_, name=name: count(name)
        )
        for name in calls
    ]
    painted(studio, **fields)
    for hook in hooks:
        hook.remove()
    assert {name: number for name, number in calls.items() if number} == steps


@pytest.mark.parametrize(
    ("fields", "guides"),
    [
        ({"controlnet": "pose"}, {"pose": 1.0, "inpaint": 1.0}),
        ({"controlnet": None}, {"inpaint": 1.0}),
        ({"controlnets": "pose canny hed tile"},
         {"pose": 1.0, "canny": 1.0, "hed": 1.0, "tile": 1.0, "inpaint": 1.0}),
        ({"controlnet": "inpaint", "controlnet_conditioning_scale": 0.4}, {"inpaint": 0.4}),
        ({"controlnets": "inpaint pose"}, {"inpaint": 1.0, "pose": 1.0}),
        ({"controlnets": "pose inpaint", "controlnet_weights": "1 0"}, {"pose": 1.0}),
        ({"controlnet": "pose", "inpainting_model": False}, {"pose": 1.0}),
        ({"controlnet": "inpaint", "inpainting_model": False}, {"inpaint": 1.0}),
        ({"controlnet": "pose", "controlnet_txt2img": True}, {"pose": 1.0}),
    ],
    ids=str,
)  # fmt: skip
def test_inpaint_is_joined_where_the_unet_does_not_see_what_is_kept(
    studio: Studio,
    fields: dict[str, object],
    guides: dict[str, float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    patches = seen_by_the_painter(monkeypatch)
    result = painted(studio, steps=2, **fields)
    (patch,) = patches
    assert {one.control: one.scale for one in patch.guides} == guides
    assert (result.control_map is None) == (fields.get("controlnet", "") is None)
    for guide in patch.guides:
        if guide.control == "inpaint":
            assert guide.hidden is not None
            np.testing.assert_array_equal(guide.hidden, patch.repaint)
            assert not guide.map[patch.repaint].any()
            kept = ~patch.repaint
            assert kept.any()
            np.testing.assert_array_equal(guide.map[kept], patch.picture[kept])
        else:
            assert guide.hidden is None


def seen_by_the_painter(monkeypatch: pytest.MonkeyPatch) -> list[InpaintInput]:
    """The inputs of each painting from now on."""
    patches: list[InpaintInput] = []
    paint = Painter.paint

    def noted(self: Painter, patch: InpaintInput, recipe: Recipe) -> Painting:
        patches.append(patch)
        return paint(self, patch, recipe)

    monkeypatch.setattr(Painter, "paint", noted)
    return patches


@pytest.mark.parametrize(
    ("channels", "fields", "is_soft"),
    [
        (9, {"mask_invert": False}, True),
        (9, {"mask_invert": False, "mask_feather": 24}, True),
        (9, {"mask_invert": False, "mask_feather": 0}, False),
        (9, {"mask_invert": False, "mask_edges": "matte"}, False),
        (9, {"mask_invert": False, "controlnet_txt2img": True}, False),
        (9, {"mask_invert": True}, False),
        (4, {"mask_invert": False}, False),
    ],
    ids=str,
)
def test_a_soft_edge_is_painted_as_strongly_as_it_is_soft_by_a_unet_that_sees_what_is_kept(
    tiny_catalog: Path,
    tmp_path: Path,
    channels: int,
    fields: dict[str, object],
    is_soft: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    catalog = Catalog.load(tiny_catalog)
    hub_repositories.save_pipeline(tmp_path, half_too=False, channels=channels)
    style = catalog.style("drawn").model_copy(update={"base": LocalSource(folder=tmp_path)})
    catalog = catalog.model_copy(update={"style_by_key": {"drawn": style}})
    patches = seen_by_the_painter(monkeypatch)
    mine = Studio(catalog=catalog, style="drawn")
    assert painted(mine, controlnet=None, steps=2, **fields).kept_pixels_changed == 0
    (patch,) = patches
    assert (patch.strength is not None) == is_soft
    if patch.strength is not None:
        np.testing.assert_array_equal(patch.strength > 0, patch.repaint)
        assert ((patch.strength > 0) & (patch.strength < 1)).any()
        assert patch.strength.dtype == np.float32


def test_another_mask_gives_another_map(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    patches = seen_by_the_painter(monkeypatch)
    whole = {"mask_prompt": "", "mask_invert": False, "mask_strokes": "", "steps": 2}
    corner = np.zeros((120, 96, 3), dtype=np.uint8)
    corner[:60, :48] = corner[-8:, -8:] = corner[-8:, :8] = corner[:8, -8:] = 255
    for mask in (half(), Photo.of(corner)):
        list(studio.paint(photo(), Recipe(**RECIPE | whole, controlnet="inpaint"), mask))
    first, second = (patch.guides[0].map for patch in patches)
    assert first.shape == second.shape
    assert (first != second).any()


def test_with_nothing_kept_inpaint_is_refused(studio: Studio) -> None:
    with pytest.raises(InvalidRecipe, match="the control inpaint shows what is kept") as caught:
        painted(studio, controlnet="inpaint", controlnet_txt2img=True)
    assert caught.value.field == "controlnet_txt2img"


def test_the_order_of_controls_does_not_matter_but_their_weights_do(studio: Studio) -> None:
    pairs = [("canny hed", "0.2 0.9"), ("hed canny", "0.9 0.2"), ("hed canny", "0.2 0.2")]
    first, same, other = (
        painted(studio, controlnets=names, controlnet_weights=weights, steps=3).images[0]
        for names, weights in pairs
    )
    assert np.abs(first.astype(int) - same).max() <= 1
    assert (first != other).any()


def half() -> Photo:
    """A mask image: the right half is repainted."""
    pixels = np.zeros((120, 96, 3), dtype=np.uint8)
    pixels[:, 48:] = 255
    return Photo.of(pixels)


@pytest.mark.parametrize("strength", [0.5, 1.0])
@pytest.mark.parametrize("alone", [True, False])
def test_guided_by_control_only_the_photo_itself_is_not_seen(
    studio: Studio, alone: bool, strength: float
) -> None:
    recipe = Recipe(
        **RECIPE
        | {"mask_prompt": "", "mask_invert": False, "mask_feather": 0, "mask_strokes": ""}
        | {"steps": 3, "controlnet": None, "denoising_strength": strength},
        controlnet_txt2img=alone,
    )
    photos = [
        Photo.of(np.random.default_rng(seed).integers(0, 256, (120, 96, 3), dtype=np.uint8))
        for seed in (0, 1)
    ]
    results = [result_of(studio.paint(one, recipe, half())) for one in photos]
    repainted = results[0].mask == 255
    assert repainted.any()
    assert not repainted.all()
    same = (results[0].images[0] == results[1].images[0])[repainted]
    assert same.all() == alone
    assert [result.kept_pixels_changed for result in results] == [0, 0]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {"controlnet": "spine"},
            r"\(controlnet\): with the style Drawn it takes one of pose, ca",
        ),
        ({"controlnets": "pose spine"}, r"\(controlnets\): .* takes one of pose, canny, depth, "),
        ({"controlnet": "face"}, r"takes one of .*, reference, ipadapter\."),
        ({"controlnet": "inpaint"}, "with the style Drawn it takes one of pose, ca"),
        ({"controlnet": "spine", "style": "photo"}, "style Photo it takes one of pose, canny, de"),
        ({"controlnet": "face", "style": "photo"}, r"takes one of .*, inpaint, .*, ipadapter\."),
    ],
    ids=str,
)
def test_what_a_style_has_not_is_refused_with_what_it_has(
    fields: dict[str, object], sentence: str
) -> None:
    with pytest.raises(InvalidRecipe, match=sentence) as caught:
        list(Studio(style="drawn").paint(photo(), Recipe(**{**RECIPE, **fields})))
    assert caught.value.field == ("controlnets" if "controlnets" in fields else "controlnet")


def small(catalog: Catalog, key: str) -> Style:
    return catalog.style(key).model_copy(update={"native_size": 64})


@pytest.mark.parametrize("names", ["depth segroom", "lineart mlsd hed qr", "reference composition"])
def test_the_real_layouts_download_and_guide(
    tiny_catalog: Path, whole_hub: HubServer, names: str
) -> None:
    catalog = Catalog.load(tiny_catalog)
    styles = {**catalog.style_by_key, "photo": small(catalog, "photo")}
    studio = Studio(catalog=catalog.model_copy(update={"style_by_key": styles}), style="photo")
    bare = painted(studio, controlnet=None, steps=2)
    guided = painted(studio, controlnets=names, steps=2)
    assert (bare.images[0] != guided.images[0]).any()
    encoders = [one for one in whole_hub.downloads() if "image_encoder/model" in one]
    assert len(encoders) == names.startswith("reference"), "one encoder serves all adapters"


def test_the_face_adapter_loads_beside_the_others(tiny_catalog: Path, whole_hub: HubServer) -> None:
    catalog = Catalog.load(tiny_catalog)
    models = Studio(catalog=catalog).models()
    painter = models.checkpoints.painter(catalog.style("photo"), ("pose", "face"), fetch)
    assert "face" in painter.adapters
    assert painter.has_control("pose")
    assert painter.has_control("face")
