"""The README and the manual say what the code does: settings, stages, commands, files and links."""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from ruamel.yaml import YAML

from tunebench import config
from tunebench.config import reference, schema
from tunebench.config.options import merge

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = sorted((ROOT / "docs").glob("*.md"))
DOCUMENTS = [README, *PAGES]
WITH_LINKS = [*DOCUMENTS, ROOT / "CONTRIBUTING.md", ROOT / "studies" / "README.md"]
# code that names a file of the repository, as `launch/ddp.yaml`
FOLDERS = ("assets", "benchmarks", "docs", "launch", "src", "stages", "studies", "tests")
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def prose(path: Path) -> str:
    return FENCE.sub("", read(path))


def fences(path: Path) -> list[tuple[str, str]]:
    """Each fenced block: its language and its text."""
    return FENCE.findall(read(path))


def anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\s-]", "", each).strip().replace(" ", "-").lower() for each in headings}


def test_params_page_is_what_the_schema_says() -> None:
    assert read(ROOT / "docs" / "params.md") == reference.page(), "run `make docs`"


def settings_in(kind: Any, seen: set[type[BaseModel]]) -> Iterator[type[BaseModel]]:
    """A section and all that lie in it, once each."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        if kind in seen:
            return
        seen.add(kind)
        yield kind
        for hint in inspect.get_annotations(kind, eval_str=True).values():
            yield from settings_in(hint, seen)
        for base in kind.__bases__:
            yield from settings_in(base, seen)
    for inner in getattr(kind, "__args__", ()):
        yield from settings_in(inner, seen)


def test_every_field_is_described() -> None:
    found = list(settings_in(schema.Params, set()))
    described = [
        (kind.__name__, name, field.description)
        for kind in [*found, *(section.settings for section in reference.sections())]
        for name, field in kind.model_fields.items()
    ]
    assert len(described) >= 150
    assert not [entry[:2] for entry in described if not entry[2]]


def test_every_section_is_on_the_page() -> None:
    listed = {section.settings for section in reference.sections()} | {schema.Params}
    parts = {base for kind in listed for base in kind.__mro__}
    found = set(settings_in(schema.Params, set()))
    assert len(found) >= 15
    assert found <= parts


@pytest.mark.parametrize("path", WITH_LINKS, ids=name_of)
def test_links_lead_somewhere(path: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        if re.match(r"\w+:", link):
            continue
        target, _, anchor = link.partition("#")
        there = (path.parent / target).resolve() if target else path
        assert there.exists(), link
        assert not anchor or anchor in anchors(there), link


def test_documents_link_to_each_other() -> None:
    linked = re.findall(r"\]\(docs/([\w-]+\.md)", read(README))
    assert {path.name for path in PAGES} - {"index.md"} <= set(linked)
    listed = YAML(typ="safe").load(ROOT / "mkdocs.yml")["nav"]
    assert sorted(listed) == [path.name for path in PAGES]


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_files_that_are_named_exist(path: Path) -> None:
    named = re.findall(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]+)`", prose(path))
    assert not [name for name in named if not (ROOT / name).exists()]


def test_every_stage_is_in_the_manual() -> None:
    stages = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
    words = {word for page in PAGES for word in re.findall(r"`(\w+)`", read(page))}
    assert len(stages) >= 15
    assert set(stages) <= words


def test_every_study_is_in_the_manual() -> None:
    words = set(re.findall(r"`(\w+)`", read(ROOT / "docs" / "studies.md")))
    studies = {path.stem for path in (ROOT / "studies").glob("*.yaml")}
    assert len(studies) >= 12
    assert studies <= words


def messages() -> str:
    """Every string of the library; what is put into it stands as a line end."""
    found = []
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(read(path))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                fixed = [part.value for part in node.values if isinstance(part, ast.Constant)]
                found.append("\n".join(map(str, fixed)))
    return "\n".join(found)


def test_troubleshooting_quotes_real_messages() -> None:
    """Each quote, part by part: `…` stands for what differs from one message to the next."""
    page = ROOT / "docs" / "troubleshooting.md"
    sections = re.split(r"^## ", read(page), flags=re.MULTILINE)[1:]
    not_ours = ("params.yaml", "DVC", "Installation")  # an example, and other programs'
    said, checked = messages(), 0
    for section in sections:
        if section.startswith(not_ours):
            continue
        quotes = [text for _, text in FENCE.findall(section) if not text.startswith("dvc ")]
        quotes += re.findall(r"`([^`]+)`", FENCE.sub("", section))
        for quote in (" ".join(each.split()) for each in quotes):
            parts = [each.strip(" ,.:") for each in re.split(r"…|; |\. ", quote)]
            for part in parts if quote.count(" ") >= 2 else []:
                assert len(part) < 6 or part in said, f"no message says {part!r}"
                checked += len(part) >= 6
    assert checked >= 40


def test_readme_is_short() -> None:
    assert len(read(README).splitlines()) < 130


def test_commands_are_targets_of_the_makefile() -> None:
    targets = set(re.findall(r"^([\w-]+):", read(ROOT / "Makefile"), re.MULTILINE))
    blocks = [text for path in DOCUMENTS for _, text in fences(path)]
    lines = [line for text in blocks for line in text.splitlines() if line.startswith("make ")]
    named = {word for line in lines for word in line.split("#")[0].split()[1:] if "=" not in word}
    assert {"repro", "test", "study"} <= named
    assert named <= targets


def test_scripts_run_by_hand_exist() -> None:
    blocks = "".join(text for path in DOCUMENTS for _, text in fences(path))
    scripts = set(re.findall(r"python -m stages\.(\w+)", blocks))
    assert len(scripts) >= 2
    assert not [name for name in scripts if not (ROOT / "stages" / f"{name}.py").exists()]


YAML_BLOCKS = [
    pytest.param(text, id=f"{name_of(path)}-{number}")
    for path in DOCUMENTS
    for number, (language, text) in enumerate(fences(path))
    if language == "yaml"
]


def test_there_are_examples() -> None:
    assert len(YAML_BLOCKS) >= 12


@pytest.mark.parametrize("text", YAML_BLOCKS)
def test_example_is_valid(text: str, tmp_path: Path) -> None:
    """An example is laid over the demo's params.yaml, as a reader would add it."""
    reader = YAML(typ="safe", pure=True)
    example = reader.load(text)
    assert set(example) <= set(schema.Params.model_fields)
    params = merge(reader.load(ROOT / "params.yaml"), example)
    file = tmp_path / "params.yaml"
    reader.dump(params, file)
    config.load(file)


def test_changelog_begins_with_this_version() -> None:
    version = re.search(r'^version = "(.+)"$', read(ROOT / "pyproject.toml"), re.MULTILINE)
    changes = read(ROOT / "CHANGELOG.md")
    headings = re.findall(r"^## (\S+) — (\d{4}-\d\d-\d\d)$", changes, re.MULTILINE)
    assert version is not None
    assert headings[0][0] in (version[1], "Unreleased")
    assert [date for _, date in headings] == sorted((date for _, date in headings), reverse=True)
