"""What users of such repositories expect: help with examples, completion, uv, containers."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
import typer
from typer.testing import CliRunner

from tunebench import cli

ROOT = Path(__file__).parents[1]
COMMANDS = {
    str(command.name or (command.callback and command.callback.__name__)): command
    for command in cli.app.registered_commands
}


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def help_of(*command: str) -> str:
    shown = CliRunner().invoke(cli.app, [*command, "--help"], env={"COLUMNS": "300"})
    assert shown.exit_code == 0
    return shown.output


def test_there_are_commands() -> None:
    assert {"show", "experiments", "doctor"} <= set(COMMANDS)
    listed = help_of()
    assert all(f" {name} " in listed for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_an_example(name: str) -> None:
    """Below or above the line `Usage: tunebench NAME [OPTIONS]`, as a user would type it."""
    lines = [line for line in help_of(name).splitlines() if "Usage:" not in line]
    assert any(re.search(rf"tunebench {name}\b", line) for line in lines), (
        f"add epilog='Example: tunebench {name} ...' to the command"
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_a_help_text(name: str) -> None:
    root = typer.main.get_command(cli.app)
    command = root.get_command(click.Context(root), name)  # type: ignore[attr-defined]
    assert command is not None
    silent = [each.name for each in command.params if not getattr(each, "help", None)]
    assert not silent
    assert command.help


def test_the_command_line_imports_nothing_heavy() -> None:
    code = "import sys, tunebench.cli; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT / "src"
    )
    imported = set(done.stdout.split())
    assert "typer" in imported
    heavy = {"torch", "transformers", "datasets", "pyarrow", "scipy", "numpy", "pydantic"}
    assert not imported & heavy


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    """As the script that `--install-completion` installs asks for it."""
    options = {"_TUNEBENCH_COMPLETE": f"complete_{shell}", "COMP_WORDS": "tunebench do"}
    options |= {"COMP_CWORD": "1", "_TYPER_COMPLETE_ARGS": "tunebench do"}
    done = subprocess.run(
        [sys.executable, "-c", "from tunebench.cli import app; app(prog_name='tunebench')"],
        env=os.environ
        | options
        | {"PYTHONPATH": str(ROOT / "src"), "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert re.search(r"\bdoctor\b", done.stdout), done.stderr


def made(*options: str) -> list[str]:
    """The commands by which `make install` would install, from scratch."""
    done = subprocess.run(
        ["make", "--dry-run", "--always-make", "install", *options],
        cwd=ROOT, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.splitlines()


def test_install_by_pip_or_by_uv() -> None:
    pip, uv = made(), made("UV=1")
    assert [line for line in pip if "/pip install" in line]
    assert not [line for line in pip if line.startswith("uv ")]
    assert [line.split()[:3] for line in uv if line.startswith("uv ")] == [
        ["uv", "venv", "--quiet"],
        ["uv", "pip", "install"],
    ]
    assert not [line for line in uv if "/pip install" in line]
    pinned = "--requirement requirements.txt --constraint constraints.txt --editable ."
    assert all(pinned in "\n".join(lines) for lines in (pip, uv))


def test_the_image_installs_the_pins_before_the_code_and_runs_as_a_user() -> None:
    text = re.sub(r"\\\n\s*", "", read("Dockerfile"))
    steps = [line.split(maxsplit=1) for line in text.splitlines() if re.match(r"[A-Z]+ ", line)]
    kinds = [kind for kind, _ in steps]
    copies = [rest for kind, rest in steps if kind == "COPY"]
    assert [copy.split()[1:] for copy in copies] == [
        ["requirements.txt", "constraints.txt", "./"],
        [".", "."],
    ]
    install = next(
        at for at, (_, rest) in enumerate(steps) if "--constraint constraints.txt" in rest
    )
    assert steps[install + 1] == ["COPY", copies[1]]
    assert kinds.index("USER") < kinds.index("COPY")
    assert [rest for kind, rest in steps if kind == "USER"] == ["tunebench"]
    assert steps[0] == ["ARG", "BASE=python:3.11-slim-bookworm"]
    assert not re.search(r"TOKEN|SECRET|PASSWORD|hf_\w{8}", text)
    assert all((ROOT / name).exists() for name in copies[0].split()[1:3])


def test_what_is_private_or_large_stays_out_of_the_image() -> None:
    ignored = set(read(".dockerignore").split("\n"))
    assert {".git", ".venv*", "data", ".dvc/cache", ".dvc/config.local", ".env"} <= ignored


def test_the_dev_container_uses_the_image() -> None:
    settings = json.loads(read(".devcontainer/devcontainer.json"))
    folder = ROOT / ".devcontainer"
    assert (folder / settings["build"]["dockerfile"]).resolve() == ROOT / "Dockerfile"
    assert (folder / settings["build"]["context"]).resolve() == ROOT
    dockerfile = read("Dockerfile")
    assert f"USER {settings['remoteUser']}" in dockerfile
    assert f"WORKDIR {settings['workspaceFolder']}" in dockerfile
    assert settings["mounts"][0].split("target=")[1].split(",")[0] in dockerfile
