"""The `tunebench` command, for tasks that DVC has no command for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated

import typer

from tunebench.errors import TunebenchError
from tunebench.paths import Run
from tunebench.report.experiments import lines
from tunebench.report.inspection import describe

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def main() -> None:
    """Look at what the pipeline made; `dvc repro` makes it."""


@app.command()
def show(
    run: Annotated[str, typer.Argument(help="e.g. tiny/reviews/qlora/1.0-0, as under metrics/")],
    worst: Annotated[int, typer.Option(min=0, help="how many predictions to print")] = 5,
) -> None:
    """Print one run's metrics, settings and its worst predictions."""
    _print(lambda: describe(Run.parse(run), worst=worst))


@app.command()
def experiments() -> None:
    """Print DVC's experiments side by side: the parameters and scores that differ."""
    _print(lines)


def _print(describe: Callable[[], Iterable[str]]) -> None:
    """Print lines, or the error in place of them."""
    try:
        for line in describe():
            typer.echo(line)
    except TunebenchError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
