"""The rules of the layout, checked on the source itself."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted(path.stem for path in (ROOT / "inference").glob("*.py"))
FILES = sorted([*(ROOT / "inference").glob("*.py"), ROOT / "app.py"])

# Lowest first: a module may import from lower layers and from the earlier ones of its own line.
LAYERS = (
    (
        "errors",
        "zero_gpu",
        "faults",
        "length",
        "strokes",
        "control_list",
        "knob",
        "settings",
        "tiles",
    ),
    ("prompt_words", "prompt_weights"),
    ("mask_settings", "finish_settings"),
    ("recipe", "entries", "file_header", "photo", "cache", "background", "device"),
    ("skeleton", "ade20k"),
    ("grain", "grading", "address", "shelf", "workplace", "options", "guard"),
    ("geometry", "catalog", "schedulers", "latent_preview", "patch", "loras", "prompt_text"),
    ("denoiser", "compiler", "ahead", "paintings"),
    (
        "brush",
        "edges",
        "masking",
        "pretrained",
        "hub_client",
        "hub",
        "compose",
        "controls",
        "pose",
        "form",
    ),
    ("wording", "adapters", "depth", "rooms", "metadata"),
    (
        "windows",
        "enlarger",
        "segmenter",
        "restorer",
        "results",
        "safety",
        "contact_sheet",
        "grid",
        "order",
        "exhibit",
        "codec",
        "conditioner",
        "painter",
        "selection",
    ),
    ("selector", "checkpoints", "models"),
    ("loading", "loan", "steps", "retry", "placement", "faces", "finishing"),
    ("job",),
    ("studio",),
    ("warmth", "fragments", "mask_view", "desk"),
    ("batch", "__main__"),
    ("__init__",),
)
HEAVY = ("torch", "diffusers", "transformers", "gradio", "scipy", "huggingface_hub")

# Which modules alone may know a library, or a part of one.
ALONE = {
    "diffusers": {
        "painter", "schedulers", "latent_preview", "checkpoints", "loras", "wording", "adapters",
        "safety", "codec", "conditioner", "denoiser",
    },
    "transformers": {"segmenter", "pose", "models", "enlarger", "depth", "rooms", "adapters",
        "safety",
    },
    "huggingface_hub": {"hub_client"},
    "pillow_heif": {"photo"},
    "httpx": {"address"},
    "httpcore": {"address"},
    "torch": {
        "painter", "latent_preview", "checkpoints", "segmenter", "pose", "device", "schedulers",
        "enlarger", "wording", "adapters", "depth", "rooms", "windows", "safety",
        "codec", "conditioner", "denoiser", "compiler", "ahead", "pretrained",
    },
    "onnxruntime": {"restorer"},
    "gradio": {"zero_gpu"},
    "spaces": {"zero_gpu"},
}  # fmt: skip
MAX_FILE_LINES, MAX_FUNCTION_LINES, MAX_PARAMETERS = 320, 45, 6
MAX_PAGE_LINES = 620  # the page has to be one file at the top level

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def module_file(name: str) -> Path:
    return ROOT / "inference" / f"{name}.py"


def is_for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def runtime_nodes(node: ast.AST, *, inner: bool = True) -> Iterator[ast.AST]:
    """All nodes that run; without `inner` only those that run at import."""
    for child in ast.iter_child_nodes(node):
        if is_for_types_only(child):
            continue
        yield child
        if inner or not isinstance(child, Function):
            yield from runtime_nodes(child, inner=inner)


def imports(path: Path, *, inner: bool = True) -> set[str]:
    """The full names of the modules that a file imports while it runs."""
    names: set[str] = set()
    for node in runtime_nodes(tree(path), inner=inner):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: imports are written in full"
            names.add(str(node.module))
    return names


def packages(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)}


def functions(path: Path) -> Iterator[Function]:
    return (node for node in ast.walk(tree(path)) if isinstance(node, Function))


def named(*paths: Path) -> list[object]:
    return [pytest.param(path, id=path.name) for path in paths]


every_file = pytest.mark.parametrize("path", named(*FILES))


def test_each_module_has_a_place_in_the_layers() -> None:
    assert sorted(name for layer in LAYERS for name in layer) == MODULES


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_downwards(name: str) -> None:
    order = [module for layer in LAYERS for module in layer]
    below = set(order[: order.index(name)])
    used = {full.removeprefix("inference.") for full in imports(module_file(name))}
    assert used & set(MODULES) <= below


def test_the_page_is_imported_by_nobody() -> None:
    for path in FILES:
        assert "app" not in packages(path)


@pytest.mark.parametrize("library", sorted(ALONE))
def test_a_library_is_known_only_where_it_is_used(library: str) -> None:
    users = {name for name in MODULES if library in packages(module_file(name))}
    assert users <= ALONE[library]


def test_the_page_computes_nothing() -> None:
    assert packages(ROOT / "app.py").isdisjoint({"torch", "diffusers", "transformers", "cv2"})


@pytest.mark.parametrize(
    ("prefix", "owner"),
    [
        ("CLIPSeg", "segmenter"),
        ("CLIPVision", "adapters"),
        ("VitPose", "pose"),
        ("Swin2SR", "enlarger"),
        ("AutoModelForDepth", "depth"),
        ("AutoModelForSemantic", "rooms"),
        ("ControlNet", ""),
    ],
)
def test_a_model_class_is_imported_by_its_owner(prefix: str, owner: str) -> None:
    allowed = {owner} if owner else ALONE["diffusers"]
    for name in MODULES:
        for node in ast.walk(tree(module_file(name))):
            if isinstance(node, ast.ImportFrom) and name not in allowed:
                assert not [one.name for one in node.names if one.name.startswith(prefix)], name


@pytest.mark.parametrize("name", ["errors", "recipe", "photo", "geometry", "masking", "compose"])
def test_the_core_needs_no_model_library_even_inside_functions(name: str) -> None:
    assert packages(module_file(name)).isdisjoint(HEAVY)


@pytest.mark.parametrize(
    ("module", "needed"),
    [
        ("inference", ()),
        ("app", ("gradio", "huggingface_hub")),
        ("inference.models", ("torch", "transformers", "scipy", "huggingface_hub")),
    ],
)
def test_importing_it_loads_no_library_that_takes_seconds_and_can_wait(
    module: str, needed: tuple[str, ...]
) -> None:
    code = f"import sys, {module}; print([one for one in {HEAVY!r} if one in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert set(ast.literal_eval(done.stdout.strip().splitlines()[-1])) <= set(needed)


@every_file
def test_a_file_can_be_read_in_one_go(path: Path) -> None:
    most = MAX_PAGE_LINES if path.name == "app.py" else MAX_FILE_LINES
    assert len(path.read_text(encoding="utf-8").splitlines()) <= most


@every_file
def test_functions_are_short_and_take_few_parameters(path: Path) -> None:
    for function in functions(path):
        lines = int(function.end_lineno or 0) - function.lineno + 1
        assert lines <= MAX_FUNCTION_LINES, f"{function.name} has {lines} lines"
        every = function.args
        names = [one.arg for one in (*every.posonlyargs, *every.args, *every.kwonlyargs)]
        count = len([name for name in names if name not in ("self", "cls")])
        assert count <= MAX_PARAMETERS, f"{function.name} takes {count} parameters"


@every_file
def test_nothing_is_printed(path: Path) -> None:
    calls = [node for node in ast.walk(tree(path)) if isinstance(node, ast.Call)]
    assert not [node.lineno for node in calls if ast.unparse(node.func) == "print"]


@every_file
def test_no_error_is_caught_blindly(path: Path) -> None:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ExceptHandler):
            caught = "" if node.type is None else ast.unparse(node.type)
            blind = caught in ("", "Exception", "BaseException")
            # Work in the background hands its error over, whatever it is.
            assert not blind or (path.stem == "background" and caught == "BaseException")


@every_file
def test_each_module_says_what_it_is_for(path: Path) -> None:
    assert str(ast.get_docstring(tree(path))).split("\n")[0].endswith((".", ":"))


@pytest.mark.parametrize("name", MODULES)
def test_importing_a_module_never_imports_itself(name: str) -> None:
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        used = imports(module_file(waiting.pop()), inner=False)
        new = {full.removeprefix("inference.") for full in used} & set(MODULES) - seen
        assert name not in new
        seen |= new
        waiting += new
