"""The rooms of the library: which import which, and which dvc.yaml names for each script."""

import ast
import re
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
STAGES: dict[str, Any] = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]

# what every room needs, and what DVC tracks by parameters: no code dependency of a stage
FREE = {
    "config", "countdown", "disk", "errors", "inputs", "leftovers", "lifeline", "locks", "paths",
    "progress", "quiet", "results", "stage",
}  # fmt: skip

# room or file → the rooms that it may import, itself and FREE files apart; from the bottom up
ROOMS: dict[str, set[str]] = {
    "demo": set(),
    "metrics": set(),
    "data": {"metrics"},
    "prompts": set(),
    "models": {"data", "prompts"},
    "formatting": {"data", "prompts", "models"},
    "training": {"prompts", "models"},
    "answering": {"prompts", "models"},
    "evaluation": {"prompts", "models", "metrics", "answering"},
    "timing": {"prompts", "models", "metrics", "answering"},
    "baselines": {
        "metrics", "data", "prompts", "models", "answering", "evaluation", "timing",
    },
    "serving": {"prompts", "models", "metrics", "answering", "evaluation", "timing"},
    "report": {"metrics", "models", "serving"},
    "estimates": {"data", "prompts", "models", "training"},
    "doctor": {"estimates"},
    "init": {"data", "prompts", "models", "formatting", "estimates"},
    "planning": {
        "data", "prompts", "models", "training", "timing", "estimates", "doctor", "init",
    },
    "winner": {
        "metrics", "data", "prompts", "models", "formatting", "answering", "evaluation",
        "baselines", "serving", "report",
    },
}  # fmt: skip
FRAME = (  # bottom up
    "errors", "paths", "config", "disk", "leftovers", "results", "locks", "lifeline", "inputs",
    "countdown", "progress", "quiet", "stage", "cli",
)  # fmt: skip


def file_of(module: str) -> Path | None:
    """A module's file, or None for one that is not ours."""
    base = ROOT if module.split(".")[0] == "stages" else SOURCE
    path = base.joinpath(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if module.split(".")[0] in ("tunebench", "stages") and candidate.is_file():
            return candidate
    return None


def module_of(path: Path) -> str:
    base = SOURCE if path.is_relative_to(SOURCE) else ROOT
    return ".".join(path.relative_to(base).with_suffix("").parts).removesuffix(".__init__")


@cache
def imports(path: Path, *, typing: bool = False) -> frozenset[Path]:
    """Our modules that a file imports or starts; `typing`: those for type checkers too."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: set[str] = set()
    skipped = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in skipped and not typing:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name for name in names if file_of(name)}
            # a package is imported for what stands in it, not for its modules
            if any(file_of(name) is None for name in names):
                found.add(str(node.module))
        elif isinstance(node, ast.Constant) and str(node.value).startswith("tunebench."):
            found.add(str(node.value))  # run with `python -m`
    files = {file_of(module) for module in found}
    return frozenset(file for file in files if file is not None)


def holds_code(path: Path) -> bool:
    """Whether a file is more than a docstring."""
    return len(ast.parse(path.read_text(encoding="utf-8")).body) > 1


def faces(path: Path) -> list[Path]:
    """The faces of the rooms around a file, which Python runs before it."""
    inside = path.is_relative_to(SOURCE / "tunebench")
    around = [folder / "__init__.py" for folder in path.parents] if inside else []
    return [face for face in around if face.is_file() and face != path]


def closure(script: Path) -> set[Path]:
    """Every file of ours whose code a script runs, less those that move no number."""
    seen: set[Path] = set()
    pending = [script]
    while pending:
        path = pending.pop()
        if path not in seen:
            seen.add(path)
            pending += [*imports(path), *faces(path)]
    return {path for path in seen if top(path) not in FREE and holds_code(path)}


def top(path: Path) -> str:
    """`config` for src/tunebench/config/schema.py; empty for the package itself and stages."""
    name = module_of(path)
    return name.split(".")[1] if name.startswith("tunebench.") else ""


def rooms(script: Path) -> set[str]:
    """The rooms in a script's import closure that can change its numbers."""
    return {top(path) for path in closure(script)} - {""}


def is_code(dependency: str) -> bool:
    return dependency.startswith(("stages/", "src/"))


def script_of(stage: str) -> Path:
    (name,) = re.findall(r"^python -m stages\.(\w+)", STAGES[stage]["cmd"])
    return ROOT / "stages" / f"{name}.py"


@pytest.mark.parametrize("stage", sorted(set(STAGES) - {"check"}))
def test_stage_depends_on_the_rooms_that_it_imports(stage: str) -> None:
    script = script_of(stage)
    found = rooms(script)
    assert found <= set(ROOMS)
    assert "data" in found or "metrics" in found or "prompts" in found
    ordered = [f"src/tunebench/{room}" for room in ROOMS if room in found]
    code = [dependency for dependency in STAGES[stage]["deps"] if is_code(dependency)]
    assert code == [f"stages/{script.name}", *ordered]


def test_check_runs_always_and_so_needs_no_deps() -> None:
    assert STAGES["check"]["always_changed"] is True
    assert "deps" not in STAGES["check"]


def test_every_script_is_a_stage() -> None:
    scripts = {path for path in (ROOT / "stages").glob("*.py") if path.stem != "__init__"}
    assert {script_of(stage) for stage in STAGES} == scripts
    assert len(scripts) >= 9


def test_deps_of_one_script_are_the_same_wherever_it_runs() -> None:
    by_script: dict[Path, set[tuple[str, ...]]] = {}
    for stage, entry in STAGES.items():
        code = tuple(filter(is_code, entry.get("deps", [])))
        by_script.setdefault(script_of(stage), set()).add(code)
    assert len(by_script) < len(STAGES)
    assert {script.stem: len(lists) for script, lists in by_script.items()} == {
        script.stem: 1 for script in by_script
    }


def ours() -> list[Path]:
    return sorted((SOURCE / "tunebench").rglob("*.py"))


def test_every_module_is_in_a_room_or_the_frame() -> None:
    assert not set(ROOMS) & set(FRAME)
    assert {top(path) for path in ours()} - {""} == {*ROOMS, *FRAME}


def test_imports_run_downwards() -> None:
    """A room imports the rooms that it may, the frame no room but the command line's."""
    order = list(ROOMS)
    assert all(order.index(below) < order.index(room) for room in ROOMS for below in ROOMS[room])
    checked = 0
    for path in ours():
        for other in map(top, imports(path)):
            name = top(path)
            if not name or not other or name == other:
                continue
            checked += 1
            if other in FRAME:
                allowed = name in ROOMS or FRAME.index(other) < FRAME.index(name)
            else:
                allowed = name == "cli" or other in ROOMS.get(name, ())
            assert allowed, f"{module_of(path)} imports {other}"
    assert checked >= 60


def test_no_two_files_import_each_other() -> None:
    """Nor do more of them in a circle; imports for type checkers count too."""
    graph = {path: imports(path, typing=True) for path in ours()}
    # a room's face is run by the import of any of its files, and that is no import of the face
    TopologicalSorter(graph).prepare()  # raises CycleError, which names them
    assert sum(map(len, graph.values())) >= 300


def test_a_room_s_face_names_its_files() -> None:
    checked = 0
    for room in [*ROOMS, "config"]:
        face = SOURCE / "tunebench" / room / "__init__.py"
        documented = ast.get_docstring(ast.parse(face.read_text(encoding="utf-8"))) or ""
        for path in [*face.parent.glob("*.py"), *face.parent.glob("*/__init__.py")]:
            name = path.parent.name if path.stem == "__init__" else path.stem
            if path != face:
                assert f"`{name}`" in documented, f"{room}/__init__.py does not name {name}"
                checked += 1
    assert checked >= 90


def test_stages_import_no_other_stage() -> None:
    scripts = sorted((ROOT / "stages").glob("*.py"))
    assert len(scripts) >= 10
    for script in scripts:
        assert not {path for path in imports(script) if path.parent == ROOT / "stages"}, script


def test_library_imports_no_stage() -> None:
    for path in ours():
        assert not {other for other in imports(path) if other.parent == ROOT / "stages"}, path
