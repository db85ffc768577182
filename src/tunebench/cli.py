"""The `tunebench` command, for tasks that DVC has no command for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated

import typer

from tunebench.errors import TunebenchError
from tunebench.init import command

app = typer.Typer(no_args_is_help=True)


@app.callback()
def main() -> None:
    """Look at this machine and at what the pipeline made; `dvc repro` makes it."""


app.command(epilog="Example: tunebench init tickets.csv --yes && dvc repro")(command.init)


@app.command(epilog="Example: tunebench show tiny/posts/qlora_all/1.0-0 --worst 10")
def show(
    run: Annotated[str, typer.Argument(help="e.g. tiny/reviews/qlora/1.0-0, as under metrics/")],
    worst: Annotated[int, typer.Option(min=0, help="how many predictions to print")] = 5,
) -> None:
    """Print one run's metrics, settings and its worst predictions."""
    from tunebench.paths import Run
    from tunebench.report.inspection import describe

    _print(lambda: describe(Run.parse(run), worst=worst))


@app.command(epilog="Example: dvc exp run -S 'methods.qlora.adapter.r=16' && tunebench experiments")
def experiments() -> None:
    """Print DVC's experiments side by side: the parameters and scores that differ."""
    from tunebench.report.experiments import lines

    _print(lines)


@app.command(epilog="Example: tunebench doctor --json --offline > machine.json")
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="print JSON, for programs")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="ask the Hub for nothing")] = False,
) -> None:
    """Say whether this machine is ready, and the command that mends what is wrong.

    It ends with 0 if a run can start, with 1 if it cannot.
    """
    from tunebench.doctor.__main__ import report

    raise typer.Exit(report(as_json=as_json, offline=offline))


def _print(describe: Callable[[], Iterable[str]]) -> None:
    """Print lines, or the error in place of them."""
    try:
        for line in describe():
            typer.echo(line)
    except TunebenchError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
