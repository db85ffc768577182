"""Pins, constraints and hashes agree with each other and with what is installed."""

import re
import runpy
import shlex
import tomllib
from functools import cache
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version
from ruamel.yaml import YAML

from tunebench.doctor import packages

ROOT = Path(__file__).parents[1]
# no part of what is locked: the project, and what Python's venv brings
NOT_LOCKED = {"tunebench", "pip", "wheel"}


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@cache
def pins(name: str) -> dict[str, Requirement]:
    """A file's requirements, by the packages' normal names."""
    text = re.sub(r"\\\n", " ", read(name))
    lines = [re.sub(r"\s(#|--hash).*", "", line).strip() for line in text.splitlines()]
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    named = {canonicalize_name(each.name): each for each in found}
    assert len(named) == len(found), f"{name} names a package twice"
    return named


def version(requirement: Requirement) -> str:
    (specifier,) = requirement.specifier
    assert specifier.operator == "==", requirement
    return specifier.version


@cache
def installed() -> dict[str, Version]:
    """Versions here, without what a build of one's own adds, as `+cpu`.

    The first on the path counts, as for an import: setuptools puts its vendored packages at
    the path's end once something imports it.
    """
    versions: dict[str, Version] = {}
    for each in distributions():
        name = canonicalize_name(each.name)
        versions.setdefault(name, Version(Version(each.version).public))
    return versions


def test_direct_pins_are_in_both() -> None:
    direct = pins("requirements.txt")
    assert len(direct) >= 30
    for name, requirement in direct.items():
        for file in ("constraints.txt", "requirements.lock"):
            assert version(pins(file)[name]) == version(requirement), f"{name}: run `make lock`"


def test_constraints_are_the_lock() -> None:
    """But for the CUDA libraries, which differ from build to build of torch."""
    locked, constraints = pins("requirements.lock"), pins("constraints.txt")
    assert len(constraints) >= 150
    assert {name: version(each) for name, each in constraints.items()} == {
        name: version(each)
        for name, each in locked.items()
        if "sys_platform == 'linux'" not in str(each.marker).replace('"', "'")
    }
    left_out = locked.keys() - constraints.keys()
    assert {"triton", "nvidia-nccl-cu13", "nvidia-cudnn-cu13"} <= left_out
    assert all(name.startswith(("cuda-", "nvidia-", "triton")) for name in left_out)


def test_every_file_of_a_release_has_a_hash() -> None:
    text = read("requirements.lock")
    blocks = re.findall(r"^[a-z0-9][^#]*?(?=^\S|\Z)", text, re.MULTILINE)
    hashes = {block.split("==")[0]: re.findall(r"sha256:[0-9a-f]{64}", block) for block in blocks}
    assert hashes.keys() == pins("requirements.lock").keys()
    assert min(map(len, hashes.values())) >= 1
    assert len(hashes["torch"]) >= 20  # wheels of several systems, not one machine's own


@pytest.mark.parametrize("name", ["requirements.txt", "constraints.txt", "requirements.lock"])
def test_no_machine_is_named(name: str) -> None:
    """No index, no path, no build of one's own: everybody gets the public index's files."""
    lines = [line for line in read(name).splitlines() if not line.startswith("#")]
    assert len(lines) >= 30
    assert not [line for line in lines if re.search(r"://|file:|--index|--find|@|\d\+\w", line)]


def test_what_is_installed_is_what_is_pinned() -> None:
    constraints = pins("constraints.txt")
    here = {
        name: requirement
        for name, requirement in constraints.items()
        if (marker := pins("requirements.lock")[name].marker) is None or marker.evaluate()
    }
    assert len(here) >= 150
    differing = {
        name: (str(installed().get(name)), version(requirement))
        for name, requirement in here.items()
        if installed().get(name) != Version(version(requirement))
    }
    assert not differing


def test_what_is_pinned_needs_nothing_else() -> None:
    locked = pins("requirements.lock").keys()
    checked, missing = 0, set()
    for package in distributions():
        if canonicalize_name(package.name) not in locked:
            continue
        for line in package.requires or []:
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                checked += 1
                missing |= {canonicalize_name(needed.name)} - locked - NOT_LOCKED
    assert checked >= 300
    assert not missing


def test_licences_are_what_the_packages_say() -> None:
    page = runpy.run_path(str(ROOT / "docs" / "licences.py"))["page"]()
    assert read("LICENSES.md") == page, "run `make licences`"
    assert len(re.findall(r"^\| .* \| copyleft \|$", page, re.MULTILINE)) >= 5
    direct = page[: page.index("## Copyleft among")]
    assert all(f"| {name} |" in direct for name in pins("requirements.txt"))


def test_the_workflow_runs_what_is_there() -> None:
    workflow = YAML(typ="safe", pure=True).load(read(".github/workflows/ci.yml"))
    assert workflow["permissions"] == {"contents": "read"}
    assert {"push", "pull_request", "schedule"} == workflow["on"].keys()
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    targets = set(re.findall(r"^([\w-]+):", read("Makefile"), re.MULTILINE))
    commands = [shlex.split(step["run"]) for step in steps if "run" in step]
    assert [".ci/run"] in commands
    assert (ROOT / ".ci" / "run").exists()
    made = {command[-1] for command in commands if command[0] == "make"}
    assert {"lint", "test", "test-slow", "repro", "audit"} <= made <= targets
    used = [step["uses"] for step in steps if "uses" in step]
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", each) for each in used)
    cached = [step["with"] for step in steps if step.get("uses", "").startswith("actions/cache@")]
    assert [each["path"] for each in cached] == [".dvc/cache"]
    needed = re.findall(r"'([^']+)'", cached[0]["key"])
    assert len(needed) >= 5
    assert all(any(ROOT.glob(pattern)) for pattern in needed)


def test_every_python_that_is_supported_is_tried() -> None:
    project = tomllib.loads(read("pyproject.toml"))["project"]
    named = re.findall(r"3\.\d+$", "\n".join(project["classifiers"]), re.MULTILINE)
    supported = SpecifierSet(project["requires-python"])
    assert named == [f"3.{minor}" for minor in range(30) if supported.contains(f"3.{minor}")]
    assert [f"{major}.{minor}" for major, minor in (packages.OLDEST, packages.NEWEST)] == [
        named[0],
        named[-1],
    ]
    workflow = YAML(typ="safe", pure=True).load(read(".github/workflows/ci.yml"))
    newer = workflow["jobs"]["newer-python"]["strategy"]["matrix"]["python"]
    assert ["3.11", *newer] == named


def test_the_audit_fails_where_it_cannot_look() -> None:
    """Without --strict, pip-audit skips what it cannot find, and reports success."""
    assert "pip-audit --strict" in read("Makefile")
