"""Tests of the source layout: packages, import directions, sizes, docstrings, naming."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
INFERENCE = ROOT / "inference"
# From the lowest to the highest: a room may import from rooms before it.
ROOMS = (
    "recipe", "picture", "catalog", "runtime", "people", "control", "matting", "mask", "painting",
    "finishing", "library", "studio", "serving", "rest", "cluster", "page",
)  # fmt: skip
# What lies above and below the rooms.
LOOSE = ("__init__", "__main__", "errors")
FILES = sorted([*INFERENCE.rglob("*.py"), ROOT / "app.py"])
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in FILES}

MAX_ROOMS, MAX_FILES = 16, 14
MAX_FILE_LINES, MAX_FUNCTION_LINES, MAX_PARAMETERS = 300, 45, 6
MAX_PAGE_LINES, MAX_README_LINES = 250, 130
HEAVY = (
    "torch", "diffusers", "transformers", "gradio", "scipy", "huggingface_hub", "ai_edge_litert",
    "ray",
)  # fmt: skip

# Where alone a library may be imported: rooms, or single modules.
ALONE = {
    "gradio": {"serving", "page"},
    "spaces": {"serving.zero_gpu"},
    "diffusers": {"painting", "finishing.safety_checker"},
    "transformers": {
        "mask.segmenter", "mask.point_segmenter", "control", "finishing.enlarger",
        "finishing.safety_checker", "painting.checkpoints", "painting.ip_adapter",
        "studio.loaded_models",
    },
    "torch": {
        "catalog.pickled_weights", "runtime", "people.human_parser", "control", "mask.segmenter",
        "mask.point_segmenter", "mask.familiarity", "painting", "finishing",
    },
    "scipy": {"matting.closed_form"},
    "onnxruntime": {"finishing.face_restorer"},
    "ai_edge_litert": {"runtime.tflite"},
    "ray": {"cluster"},
    "pyarrow": {"cluster.places"},
    "huggingface_hub": {"catalog.hub_client"},
    "pillow_heif": {"picture.photo"},
    "sqlite3": {"library"},
    "psycopg": {"library.postgresql"},
    "fsspec": {"library.stored_files"},
    "fastapi": {"rest.application"},
    "mcp": {"rest.mcp_server"},
    "platformdirs": {"serving.options"},
    "httpx": {"picture.url_fetch", "picture.checked_network"},
    "httpcore": {"picture.url_fetch", "picture.checked_network"},
}  # fmt: skip

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def is_for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def nodes(node: ast.AST, *, types_too: bool) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if types_too or not is_for_types_only(child):
            yield child
            yield from nodes(child, types_too=types_too)


def imports(path: Path, *, types_too: bool = False) -> set[str]:
    """The full names of the modules that a file imports, also within functions."""
    names: set[str] = set()
    for node in nodes(tree(path), types_too=types_too):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: imports are written in full"
            within = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= within & MODULES.keys() or {str(node.module)}
    return names


def packages(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)}


def room_of(module: str) -> str:
    """`inference.mask.brush` → `mask`; "" for what lies in no room."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[0] == "inference" and parts[1] in ROOMS else ""


def functions(path: Path) -> Iterator[Function]:
    return (node for node in ast.walk(tree(path)) if isinstance(node, Function))


every_file = pytest.mark.parametrize(
    "path", [pytest.param(path, id=name) for name, path in MODULES.items()]
)
every_room = pytest.mark.parametrize("room", ROOMS)


def test_there_are_at_most_sixteen_rooms_and_nothing_beside_them() -> None:
    assert len(ROOMS) <= MAX_ROOMS
    found = {path.name for path in INFERENCE.iterdir() if path.is_dir()} - {"__pycache__"}
    assert found == set(ROOMS)
    assert {path.stem for path in INFERENCE.glob("*.py")} == set(LOOSE)


@every_room
def test_a_room_has_few_files_and_says_in_three_lines_what_it_is(room: str) -> None:
    files = [path for path in (INFERENCE / room).glob("*.py") if path.stem != "__init__"]
    assert len(files) <= MAX_FILES
    text = ast.get_docstring(tree(INFERENCE / room / "__init__.py"))
    assert text
    assert 3 <= len(text.splitlines()) <= 5
    assert {"In:", "Out:"} <= set(text.split())


@pytest.mark.parametrize("module", [name for name in MODULES if room_of(name)])
def test_arrows_run_down_only_those_of_types_too(module: str) -> None:
    rank = ROOMS.index(room_of(module))
    used = {room_of(name) for name in imports(MODULES[module], types_too=True)} - {""}
    assert used <= set(ROOMS[: rank + 1])
    loose = {name for name in imports(MODULES[module]) if name.startswith("inference")}
    assert {name for name in loose if not room_of(name)} <= {"inference.errors"}


def test_no_two_modules_import_each_other_by_any_way() -> None:
    used = {
        name: {one for one in imports(path, types_too=True) if one in MODULES} - {name}
        for name, path in MODULES.items()
    }
    waiting = dict(used)
    while waiting:
        free = [name for name, below in waiting.items() if not below & waiting.keys()]
        assert free, f"a circle among {sorted(waiting)}"
        for name in free:
            del waiting[name]


def test_the_page_is_imported_by_nobody() -> None:
    for path in FILES:
        assert "app" not in packages(path)


@pytest.mark.parametrize("library", sorted(ALONE))
def test_a_library_is_known_only_where_it_is_used(library: str) -> None:
    for name, path in MODULES.items():
        if room_of(name) and library in packages(path):
            assert {room_of(name), name.removeprefix("inference.")} & ALONE[library], name


def test_the_page_computes_nothing() -> None:
    assert packages(ROOT / "app.py").isdisjoint({"torch", "diffusers", "transformers", "cv2"})


@pytest.mark.parametrize(
    ("prefix", "owners"),
    [
        ("CLIPSeg", ("mask.segmenter",)),
        ("SamModel", ("mask.point_segmenter",)),
        ("CLIPVision", ("painting.ip_adapter",)),
        ("VitPose", ("control.pose_estimator",)),
        ("Swin2SR", ("finishing.enlarger",)),
        ("AutoModelForDepth", ("control.depth_estimator",)),
        ("AutoModelForSemantic", ("control.semantic_segmenter",)),
        ("ControlNetModel", ("painting",)),
        ("AutoencoderKL", ("painting",)),
    ],
)
def test_a_model_class_is_imported_by_its_owner(prefix: str, owners: tuple[str, ...]) -> None:
    for name, path in MODULES.items():
        if {room_of(name), name.removeprefix("inference.")} & set(owners):
            continue
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ImportFrom):
                assert not [one.name for one in node.names if one.name.startswith(prefix)], name


@pytest.mark.parametrize(
    "name",
    [
        "errors", "recipe.recipe", "picture.photo", "picture.geometry", "picture.compositing",
        "mask.distance_field", "mask.heatmap",
    ],
)  # fmt: skip
def test_the_core_needs_no_model_library_even_inside_functions(name: str) -> None:
    assert packages(MODULES[f"inference.{name}"]).isdisjoint(HEAVY)


@pytest.mark.parametrize(
    ("module", "needed"),
    [
        ("inference", ()),
        ("app", ("gradio", "huggingface_hub")),
        ("inference.studio.loaded_models", ("torch", "transformers", "scipy", "huggingface_hub")),
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


def test_the_readme_is_one_screen_and_a_little() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8").split("\n---\n", 1)[1]
    assert len(text.splitlines()) <= MAX_README_LINES


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
def test_nothing_is_printed_and_nothing_global_is_changed(path: Path) -> None:
    for node in ast.walk(tree(path)):
        assert not isinstance(node, ast.Global)
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) != "print", node.lineno


@every_file
def test_no_error_is_caught_blindly(path: Path) -> None:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ExceptHandler):
            caught = "" if node.type is None else ast.unparse(node.type)
            blind = caught in ("", "Exception", "BaseException")
            # Background work passes every exception on to its caller.
            assert not blind or (path.stem == "background_task" and caught == "BaseException")


@every_file
def test_each_module_says_in_its_first_line_what_it_is(path: Path) -> None:
    first = str(ast.get_docstring(tree(path))).split("\n")[0]
    assert first.endswith((".", ":"))


def test_every_class_and_public_function_is_described_in_one_line_first() -> None:
    bare = [
        f"{name}: {node.name}"
        for name, path in MODULES.items()
        for node in ast.iter_child_nodes(tree(path))
        if isinstance(node, (ast.ClassDef, *Function.__args__))
        and not node.name.startswith("_")
        and not str(ast.get_docstring(node) or "").split("\n")[0].endswith((".", "?", ":"))
    ]
    assert not bare


@every_room
def test_the_tests_lie_as_the_code_lies(room: str) -> None:
    assert list((ROOT / "tests" / room).glob("test_*.py"))
