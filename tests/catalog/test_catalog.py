"""Tests of the catalog: the built-in file, look-ups, and a user's own file."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from inference import errors
from inference.catalog.catalog import (
    FACE,
    INPAINT,
    Catalog,
    ControlModel,
    HubSource,
    LocalSource,
    Source,
    Style,
    WheelSource,
)
from inference.control.control_maps import CONTROLS
from inference.errors import InvalidCatalog, InvalidRecipe, MissingModel

BUILT_IN = Catalog.load()
# Only its configs are read; a Space lists only models that it runs.
CONFIGS = BUILT_IN.family("sd15").configs
README = Path(__file__).parents[2] / "README.md"

LOCAL = 'folder = "models/sketch"'


def sketch(fields: str = "", *, base: str = LOCAL) -> str:
    """A user's file with one more style."""
    return f"""
    [styles.sketch]
    title = "Sketch"
    family = "sd15"
    {fields}
    [styles.sketch.base]
    {base}
    """


def all_sources() -> Iterator[Source]:
    for family in BUILT_IN.families():
        own = (family.segmenter, family.pose, family.configs, family.enlarger)
        own += (family.depth, family.rooms, family.checker, family.point_segmenter)
        own += (family.photo.detectors, family.photo.parser) if family.photo else ()
        yield from (source for source in own if source is not None)
        controls = [*family.controls.values(), *([family.face] if family.face else [])]
        yield from (part.source for part in (*controls, *family.loras.values()))
        yield from (one.adapter.encoder for one in controls if one.adapter is not None)
    for style in BUILT_IN.styles():
        yield from (s for s in (style.base, style.vae) if s is not None)


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


# --- the built-in catalog -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "styles", "controls"),
    [
        ("pack", ["drawn", "ink", "soft"], [name for name in CONTROLS if name != INPAINT]),
        ("sd15", ["photo", "painting", "cartoon", "flat"], list(CONTROLS)),
    ],
)
def test_each_family_has_styles_controls_and_a_segmenter(
    family: str, styles: list[str], controls: list[str]
) -> None:
    assert [style.key for style in BUILT_IN.styles(family)] == styles
    assert sorted(control.key for control in BUILT_IN.controls(family)) == sorted(controls)
    assert BUILT_IN.family(family).segmenter
    assert BUILT_IN.family(family).pose


@pytest.mark.parametrize(
    "source", list(all_sources()), ids=lambda s: getattr(s, "repo", "built-in")
)
def test_each_source_is_safe_and_says_whose_it_is(source: Source) -> None:
    assert source.licence != "unknown"
    assert source.attribution
    if isinstance(source, HubSource):
        assert all(p.endswith((".safetensors", ".json", ".txt")) for p in source.files)
    elif isinstance(source, WheelSource):
        assert all(path.endswith(".tflite") for path in source.files)
        assert source.licence_file
    else:
        assert source.folder.is_absolute()
        assert source.folder.parent.parts[-2:] == ("assets", "pack")


@pytest.mark.parametrize("style", BUILT_IN.styles(), ids=lambda style: style.key)
def test_each_style_explains_itself(style: Style) -> None:
    assert style.title
    assert style.description.endswith(".")
    assert style.native_size == {"pack": 384, "sd15": 576}[style.family]


@pytest.mark.parametrize("style", BUILT_IN.styles("sd15"), ids=lambda style: style.key)
def test_a_style_comes_with_one_vae(style: Style) -> None:
    assert isinstance(style.base, HubSource)
    of_base = [name for name in style.base.files if name.startswith("vae/")]
    assert bool(of_base) != (style.vae is not None)


# --- look-ups -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("look_up", "sentence"),
    [
        (lambda c: c.style("manga"), "no style named 'manga': choose one of drawn, ink, soft, ph"),
        (lambda c: c.family("sdxl"), "no model family named 'sdxl': choose one of pack, sd15."),
        (lambda c: c.controls("sdxl"), "no model family named 'sdxl'"),
        (
            lambda c: c.control("pack", "hat"),
            "no control in 'pack' named 'hat': choose one of po",
        ),
        (lambda c: c.lora("sd15", "oil"), "no LoRA in 'sd15' named 'oil': choose one of "),
    ],
)
def test_an_unknown_key_lists_the_known_ones(
    look_up: Callable[[Catalog], object], sentence: str
) -> None:
    with pytest.raises(MissingModel, match=sentence):
        look_up(BUILT_IN)


@pytest.mark.parametrize(
    ("style", "loras", "worn"),
    [
        ("photo", {}, {}),
        ("photo", {"tcd": 1.0}, {"tcd": 1.0}),
        ("drawn", {"ink": 0.5}, {"ink": 0.5}),
        ("ink", {}, {"ink": 1.3}),
        ("ink", {"soft": -0.5}, {"ink": 1.3, "soft": -0.5}),
        ("ink", {"ink": 0.3}, {"ink": 0.3}),
        ("ink", {"ink": 0.0}, {}),
    ],
)
def test_a_prompt_adds_loras_to_those_of_a_style(
    style: str, loras: dict[str, float], worn: dict[str, float]
) -> None:
    assert BUILT_IN.with_loras(BUILT_IN.style(style), loras).loras == worn


def test_a_file_of_ones_own_takes_a_lora_off_by_a_weight_of_0(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[styles.ink.loras]\nink = 0\nsoft = 0.5\n")
    assert Catalog.load(file).style("ink").loras == {"soft": 0.5}


@pytest.mark.parametrize(
    ("style", "sentence"),
    [
        ("drawn", "no LoRA 'oil' for the style Drawn: choose one of ink, soft."),
        ("photo", "no LoRA 'oil' for the style Photo: choose one of lcm, tcd."),
    ],
)
def test_a_prompt_that_names_an_unknown_lora_is_refused(style: str, sentence: str) -> None:
    with pytest.raises(InvalidRecipe, match=sentence) as caught:
        BUILT_IN.with_loras(BUILT_IN.style(style), {"oil": 1.0})
    assert caught.value.field == "prompt"


def test_where_there_are_no_loras_one_is_to_be_left_out() -> None:
    bare = BUILT_IN.family("pack").model_copy(update={"loras": {}})
    catalog = BUILT_IN.model_copy(update={"family_by_key": {"pack": bare}})
    with pytest.raises(InvalidRecipe, match=r"for the style Drawn: leave it out\."):
        catalog.with_loras(BUILT_IN.style("drawn"), {"oil": 1.0})


# --- a user's own file --------------------------------------------------------------------------


def test_a_new_style_costs_one_entry(tmp_path: Path) -> None:
    catalog = Catalog.load(written(tmp_path / "mine.toml", sketch()))
    new = catalog.style("sketch")
    assert new.base == LocalSource(folder=tmp_path / "models" / "sketch")
    assert new.native_size == 576
    assert catalog.styles("sd15") == (*BUILT_IN.styles("sd15"), new)


def test_a_new_control_costs_one_entry(tmp_path: Path) -> None:
    text = """
    [families.pack.controls.spine]
    title = "Spine"
    source = { repo = "someone/spines", files = "diffusers-model" }
    """
    catalog = Catalog.load(written(tmp_path / "mine.toml", text))
    before = [control.key for control in BUILT_IN.controls("pack")]
    assert [control.key for control in catalog.controls("pack")] == [*before, "spine"]
    weights = "diffusion_pytorch_model.safetensors"
    assert catalog.control("pack", "spine").source.files == ("config.json", weights)


def test_a_control_may_be_an_ip_adapter(tmp_path: Path) -> None:
    text = """
    [families.pack.controls.reference]
    title = "Reference"
    source = { repo = "someone/adapter", files = ["models/some.safetensors"] }
    [families.pack.controls.reference.adapter]
    file = "models/some.safetensors"
    encoder = { folder = "encoder" }
    """
    control = Catalog.load(written(tmp_path / "mine.toml", text)).control("pack", "reference")
    assert control.adapter is not None
    assert control.adapter.file == "models/some.safetensors"
    assert control.adapter.encoder == LocalSource(folder=tmp_path / "encoder")


@pytest.mark.parametrize("family", ["pack", "sd15"])
def test_the_face_is_a_control_that_is_not_offered(family: str) -> None:
    assert BUILT_IN.control(family, FACE).adapter is not None
    assert FACE not in [control.key for control in BUILT_IN.controls(family)]
    faceless = BUILT_IN.family(family).model_copy(update={"face": None})
    with pytest.raises(MissingModel, match="choose one of pose"):
        Catalog(family_by_key={family: faceless}, style_by_key={}).control(family, FACE)


@pytest.mark.parametrize("control", BUILT_IN.controls("sd15"), ids=lambda control: control.key)
def test_each_control_explains_itself(control: ControlModel) -> None:
    assert control.title
    assert control.description.endswith(".")


def test_the_readmes_front_matter_names_every_repository() -> None:
    front = README.read_text(encoding="utf-8").split("---\n")[1].split("models:\n")[1]
    named = set(re.findall(r"^  - (\S+)$", front, re.MULTILINE))
    used = {source.repo for source in all_sources() if isinstance(source, HubSource)}
    assert named == used - {CONFIGS.repo}


def test_a_style_with_a_lora_costs_two_entries(tmp_path: Path) -> None:
    lora = """
    [families.sd15.loras.oil]
    title = "Oil"
    trigger_words = "oil on canvas"
    file = "oil.safetensors"
    source = { repo = "someone/oil", files = ["oil.safetensors"] }
    """
    text = lora + sketch("loras = { oil = 0.7 }")
    catalog = Catalog.load(written(tmp_path / "mine.toml", text))
    style = catalog.style("sketch")
    assert style.loras == {"oil": 0.7}
    assert catalog.lora("sd15", "oil").source.repo == "someone/oil"
    assert catalog.trigger_words(style) == "oil on canvas, "
    assert catalog.trigger_words(catalog.style("photo")) == ""


def test_a_users_entry_replaces_the_built_in_one_field_by_field(tmp_path: Path) -> None:
    text = '[styles.photo]\nnative_size = 640\n[styles.photo.base]\nfolder = "/my/checkpoint"\n'
    photo = Catalog.load(written(tmp_path / "mine.toml", text)).style("photo")
    assert photo.native_size == 640
    assert photo.title == BUILT_IN.style("photo").title
    assert photo.base == LocalSource(folder=Path("/my/checkpoint"))


def test_a_source_is_replaced_as_a_whole(tmp_path: Path) -> None:
    text = f"""
    [families.pack.photo.detectors]
    package = "other==2.0"
    files = {{ "other/x.tflite" = "{"0" * 64}" }}
    [families.sd15.photo.detectors]
    folder = "mine"
    """
    catalog = Catalog.load(written(tmp_path / "mine.toml", text))
    files = {"other/x.tflite": "0" * 64}
    pack, full = catalog.family("pack").photo, catalog.family("sd15").photo
    assert pack is not None
    assert pack.detectors == WheelSource(package="other==2.0", files=files)
    assert full is not None
    assert full.detectors == LocalSource(folder=tmp_path / "mine")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("styles = [", "cannot be read, so correct it: "),
        ("[style.x]\ntitle = 'X'", "has a wrong part 'style'"),
        ("[styles.x]\ntitle = 'X'", r"mistake in \[x.family\].*required"),
        (sketch().replace("sd15", "sdxl"), "'sketch' names the unknown family 'sdxl'"),
        (sketch("loras = { oil = 1 }"), "'sketch' names the unknown LoRA 'oil'"),
        (sketch("loras = { oil = 3 }"), r"mistake in \[sketch.loras.oil\].*or equal to 2"),
        (
            "[families.pack.controls.x]\ntitle = 'X'\nsource = { folder = 'x' }\n"
            "adapter = { file = '../x.safetensors', encoder = { folder = 'y' } }",
            r"mistake in \[pack.controls.x.adapter.file\]",
        ),
        (sketch("licenze = 'mit'"), r"mistake in \[sketch.licenze\].*not permitted"),
        (sketch("cfg_scale = 16"), r"mistake in \[sketch.cfg_scale\].*from 0 to 15"),
        (sketch("cfg_scale = nan"), r"mistake in \[sketch.cfg_scale\].*from 0 to 15"),
        (sketch("control_mode = 'loud'"), r"mistake in \[sketch.control_mode\].*'unbalanced'"),
        (sketch("native_size = 100"), r"mistake in \[sketch.native_size\].*multiple of 8"),
        (sketch("checkpoint = 'x.ckpt'"), r"mistake in \[sketch.checkpoint\]"),
        (sketch(base="repo = 'no owner'\nfiles = ['x.json']"), r"\[sketch.base.repo.repo\]"),
        (sketch(base="repo = 'a/b'\nfiles = []"), r"\[sketch.base.repo.files\]"),
        (sketch(base="repo = 'a/b'\nfiles = 'all'"), "no file layout 'all': use one of pipeline"),
        (sketch(base="repo = 'a/b'\nfiles = ['*']"), "'\\*' does not end in one of .safetensors"),
        (sketch(base="repo = 'a/b'\nfiles = ['x.bin']"), "'x.bin' does not end in one of"),
        (sketch(base="repo = 'a/b'\nfiles = ['x.tflite']"), "'x.tflite' does not end in one of"),
        (
            f"[families.pack.photo.detectors]\npackage = 'a'\n"
            f"files = {{ 'a/x.tflite' = '{'0' * 64}' }}",
            r"mistake in \[pack.photo.detectors.package.package\]",
        ),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(InvalidCatalog, match=sentence) as caught:
        Catalog.load(written(tmp_path / "mine.toml", text))
    assert "\n" not in str(caught.value)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidCatalog, match=r"absent\.toml cannot be read"):
        Catalog.load(tmp_path / "absent.toml")


# --- errors -------------------------------------------------------------------------------------


def error_classes(root: type[errors.MasqueradeError]) -> Iterator[type[errors.MasqueradeError]]:
    yield root
    for kind in root.__subclasses__():
        yield from error_classes(kind)


@pytest.mark.parametrize("kind", list(error_classes(errors.MasqueradeError)))
def test_each_error_is_drawn_and_survives_a_worker_process(
    kind: type[errors.MasqueradeError],
) -> None:
    assert kind.__name__ in (errors.__doc__ or "")
    error = kind("Do this.")
    assert str(pickle.loads(pickle.dumps(error))) == "Do this."


def test_details_of_an_error_survive_a_worker_process() -> None:
    recipe = pickle.loads(pickle.dumps(errors.InvalidRecipe("Use 1–50 steps.", field="steps")))
    words = pickle.loads(pickle.dumps(errors.WordsNotFound("No hat.", scores={"hat": 0.07})))
    assert recipe.field == "steps"
    assert words.scores == {"hat": 0.07}
