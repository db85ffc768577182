"""The `tunebench` command, for tasks that DVC has no command for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from json import dumps
from pathlib import Path
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


@app.command(epilog="Example: tunebench plan && dvc repro")
def plan(
    probe: Annotated[
        bool, typer.Option("--probe", help="make two real training steps of each model and method")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON, for programs")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="ask the Hub for nothing")] = False,
) -> None:
    """Say what `dvc repro` would run here, and what it takes: time, memory, disk, dollars.

    The prediction is kept, and compared with what then happens.
    """
    from tunebench.planning import report

    _print(lambda: report.lines(as_json=as_json, offline=offline, probe=probe))


@app.command(epilog="Example: tunebench compare main --markdown > changes.md")
def compare(
    before: Annotated[
        str, typer.Argument(metavar="REV", help="a commit, branch, tag or DVC experiment")
    ],
    after: Annotated[
        str | None, typer.Argument(metavar="REV", help="another; the files as they are if left out")
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="for a pull request")] = False,
    json: Annotated[bool, typer.Option("--json", help="print JSON, for programs")] = False,
    page: Annotated[
        Path | None,
        typer.Option(help="write the report page of the files as they are, with what changed"),
    ] = None,
) -> None:
    """Say what changed between two revisions, and which differences are more than noise."""
    from tunebench.report import changes_text
    from tunebench.report import compare as comparing

    if json and markdown:
        raise typer.BadParameter("choose one of --json and --markdown")
    if page and after:
        raise typer.BadParameter("--page shows the files as they are: leave the second REV out")
    if page:
        from tunebench.report import changes_page

        _print(lambda: changes_page.write(page, before))
    elif json:
        _print(lambda: [dumps(comparing.between(before, after).as_json(), indent=2)])
    else:
        _print(lambda: changes_text.lines(before, after, markdown=markdown))


@app.command(epilog="Example: tunebench answer posts")
def answer(
    dataset: Annotated[
        str | None, typer.Argument(help="a data set of the grid; all of them if left out")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="print JSON, for programs")] = False,
) -> None:
    """Say in a few sentences which run to use, what it costs, and what is not known yet."""
    from tunebench.report import answer as answers

    _print(lambda: [answers.as_json(dataset)] if json else answers.lines(dataset))


@app.command(epilog="Example: tunebench best posts")
def best(
    dataset: Annotated[str, typer.Argument(help="a data set of the grid")],
    requests: Annotated[
        int, typer.Option(min=1, help="to be answered, for the cost in all")
    ] = 100_000,
    json: Annotated[bool, typer.Option("--json", help="print JSON, for programs")] = False,
) -> None:
    """Name the run to use: the cheapest of those that the test rows do not tell from the best."""
    from tunebench.winner import recommended

    if json:
        _print(lambda: [dumps(recommended.as_json(dataset, requests=requests), indent=2)])
    else:
        _print(lambda: recommended.lines(dataset, requests=requests))


@app.command(
    epilog="Example: tunebench predict tiny/posts/qlora_all/1.0-0 new.csv --out answers.csv"
)
def predict(
    run: Annotated[str, typer.Argument(help="e.g. tiny/posts/qlora/1.0-0, as `best` names it")],
    file: Annotated[
        Path,
        typer.Argument(help="CSV, TSV, JSON, JSON lines or Parquet, with the data set's columns"),
    ],
    out: Annotated[
        Path | None, typer.Option(help="a .csv or .jsonl; FILE.predictions.csv here if left out")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="replace an earlier output")] = False,
    id_column: Annotated[
        str | None,
        typer.Option("--id", help="a column with each row's id; numbers from 1 if left out"),
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(help="of a text file, as cp1252; UTF-8 if left out")
    ] = None,
) -> None:
    """Answer new rows with one run's model.

    If it is interrupted, the same command goes on from there.
    """
    from tunebench.paths import Run
    from tunebench.winner import predicting

    output = out or Path(f"{file.stem}.predictions.csv")
    source = predicting.Source(file, encoding, id_column)
    _print(lambda: predicting.lines(Run.parse(run), source, output, force=force))


@app.command(epilog="Example: tunebench export tiny/posts/qlora_all/1.0-0 model --merged --check")
def export(
    run: Annotated[str, typer.Argument(help="a tuned run, as `best` names it")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="a new or empty folder")],
    adapter: Annotated[bool, typer.Option("--adapter", help="for PEFT, beside its base")] = False,
    merged: Annotated[
        bool, typer.Option("--merged", help="plain weights for transformers")
    ] = False,
    gguf: Annotated[
        bool, typer.Option("--gguf", help="one file, by llama.cpp's converter")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="answer the test rows with the folder")
    ] = False,
) -> None:
    """Write a run's model with its prompt and a card, so that it runs without tunebench."""
    from tunebench.paths import Run
    from tunebench.winner import exporting

    forms: dict[exporting.Form, bool] = {"adapter": adapter, "merged": merged, "gguf": gguf}
    _print(lambda: exporting.lines(Run.parse(run), folder, forms, check=check))


def _print(describe: Callable[[], Iterable[str]]) -> None:
    """Print lines, or the error in place of them."""
    try:
        for line in describe():
            typer.echo(line)
    except TunebenchError as error:
        for line in str(error).splitlines():
            typer.echo(f"error: {line}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        raise typer.Exit(130) from None
