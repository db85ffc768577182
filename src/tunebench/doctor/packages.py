"""Installed versions against the pins, the servers of load tests, and optional tools."""

from __future__ import annotations

import platform
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path

from tunebench.doctor.findings import Finding, fault, ok, warning

REQUIREMENTS, CONSTRAINTS, LOCK = (
    Path(name) for name in ("requirements.txt", "constraints.txt", "requirements.lock")
)
# as in pyproject.toml, which is not there once the package is installed
OLDEST, NEWEST = (3, 11), (3, 13)
INSTALL = (
    f"{sys.executable} -m pip install --requirement requirements.txt --constraint constraints.txt"
    " --editable ."
)
NAMED = 5  # in one line


def versions() -> Iterator[Finding]:
    """Python and this package, then what is missing or differs from the pins of this repository."""
    yield _python()
    if not CONSTRAINTS.exists() or not REQUIREMENTS.exists():
        yield ok("packages", "pins", "there are no pins here: this is no clone of the repository")
        return
    pinned, here = pins(CONSTRAINTS), installed()
    lost = missing(pinned, here)
    if lost:
        text = f"{_listed(lost)}: pinned, and not installed"
        yield fault("packages", "missing", text, remedy=INSTALL, missing=lost)
    differing = {
        name: [here[name], wanted]
        for name, wanted in pinned.items()
        if name in here and public(here[name]) != wanted
    }
    if differing:
        named = [f"{name} {is_} (pinned {wanted})" for name, (is_, wanted) in differing.items()]
        text = f"{_listed(named)}; results may differ from those of the pins"
        yield warning(
            "packages", "other versions", text, remedy=INSTALL, installed_and_pinned=differing
        )
    right = len(pinned.keys() & here.keys()) - len(differing)
    needed = right + len(differing) + len(lost)
    text = f"{right} of the {needed} packages for this system are installed at their pins"
    builds = [f"{name} {here[name]}" for name in sorted(pinned) if "+" in here.get(name, "")]
    if builds:
        text += f"; another build of the same version: {_listed(builds)}"
    yield ok("packages", "pins", text, own_builds=builds)


def _python() -> Finding:
    here = platform.python_version()
    spelled = f"{'.'.join(map(str, OLDEST))} to {'.'.join(map(str, NEWEST))}"
    if sys.version_info[:2] < OLDEST:
        return fault(
            "packages",
            "python",
            f"{here}; tunebench needs {spelled}",
            remedy="rm -r .venv && make PYTHON=python3.11 install",
            python=here,
        )
    if sys.version_info[:2] > NEWEST:
        return warning(
            "packages",
            "python",
            f"{here}, with which nothing has been tried; {spelled} have been",
            remedy="rm -r .venv && make PYTHON=python3.11 install",
            python=here,
        )
    return ok("packages", "python", f"{here} ({sys.executable})", python=here)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def normal(name: str) -> str:
    """A package's name as indexes write it.

    >>> normal("ruamel.yaml")
    'ruamel-yaml'
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def public(text: str) -> str:
    """A version without what a build of one's own adds.

    >>> public("2.13.0+cpu")
    '2.13.0'
    """
    return text.split("+")[0]


def installed() -> dict[str, str]:
    """Versions by name; the first on the path counts, as for an import."""
    found: dict[str, str] = {}
    for each in distributions():
        if each.metadata["Name"]:  # a folder that a failed uninstallation left has none
            found.setdefault(normal(each.metadata["Name"]), each.version)
    return found


def pins(path: Path) -> dict[str, str]:
    """The versions in a file of `name==version` lines."""
    lines = re.findall(r"^([\w.-]+)==([^\s;\\]+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {normal(name): wanted for name, wanted in lines}


def missing(pinned: dict[str, str], here: dict[str, str]) -> list[str]:
    """What is pinned, needed on this system, and not installed; direct requirements first.

    Which are for other systems only is in the lock's markers; without packaging to read them,
    the direct requirements alone are looked at.
    """
    direct = pins(REQUIREMENTS).keys()
    absent = sorted(pinned.keys() - here.keys(), key=lambda name: (name not in direct, name))
    try:
        from packaging.markers import Marker
    except ImportError:
        return [name for name in absent if name in direct]
    lock = LOCK.read_text(encoding="utf-8") if LOCK.exists() else ""
    lines = re.findall(r"^([\w.-]+)==\S+ ; (.+?) \\$", lock, re.MULTILINE)
    markers = {normal(name): marker for name, marker in lines}
    return [name for name in absent if name not in markers or Marker(markers[name]).evaluate()]


@dataclass(frozen=True)
class Tool:
    """A program or package that only some tasks need.

    It is there if one of its `packages` is installed, or one of its `programs` on the PATH.
    """

    name: str
    use: str
    install: str
    packages: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()

    def found(self) -> str:
        """Its version or the place of its program; empty where it is not installed."""
        for package in self.packages:
            try:
                return version(package)
            except PackageNotFoundError:
                continue
        return next(filter(None, map(shutil.which, self.programs)), "")


TOOLS = (
    Tool("vllm", "load tests of vLLM", "pip install vllm", ("vllm",)),
    Tool("gguf", "models in GGUF files", "pip install gguf", ("gguf",)),
    Tool(
        "llama.cpp",
        "export --gguf",
        "git clone https://github.com/ggml-org/llama.cpp",
        programs=("convert_hf_to_gguf.py", "convert-hf-to-gguf"),
    ),
    Tool("llama-cpp", "checks of GGUF exports", "pip install llama-cpp-python",
         ("llama-cpp-python",)),
    Tool("ray", "stages on a Ray cluster", "pip install ray", ("ray",)),
    Tool("submitit", "stages on a Slurm cluster", "pip install submitit", ("submitit",)),
    Tool("tensorboard", "report_to: tensorboard", "pip install tensorboard", ("tensorboard",)),
    Tool("wandb", "report_to: wandb", "pip install wandb", ("wandb",)),
    Tool("mlflow", "report_to: mlflow", "pip install mlflow-skinny",
         ("mlflow", "mlflow-skinny")),
)  # fmt: skip


def optional() -> Iterator[Finding]:
    """The servers of load tests, and what only some tasks need; without it all else works."""
    needed = ("transformers", "fastapi", "uvicorn", "openai")
    here = installed()
    absent = [name for name in needed if name not in here]
    if absent:
        text = f"transformers serve lacks {', '.join(absent)}; needed for load tests"
        yield warning("packages", "server", text, remedy=INSTALL)
    else:
        yield ok("packages", "server", f"transformers serve, {here['transformers']}")
    for tool in TOOLS:
        found = tool.found()
        text = found or f"not installed; for {tool.use} only: {tool.install}"
        yield ok("packages", tool.name, text, installed=bool(found))
