"""The options of `tunebench init`. Nothing heavy is imported before they are read."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from tunebench.errors import TunebenchError
from tunebench.init.answers import Answers

DATA, STUDY, FILES = "What the rows are", "What runs on them", "How the file is read"


def _option(panel: str, text: str, *names: str, **given: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=panel, **given)


def init(
    file: Annotated[
        str,
        typer.Argument(help="a CSV, TSV, JSON, JSON Lines or Parquet file, or a folder of them"),
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="write without asking")] = False,
    name: Annotated[str | None, _option(DATA, "the data set's name; the file's otherwise")] = None,
    task: Annotated[
        str | None, _option(DATA, "classification or summarization (text to text)")
    ] = None,
    text: Annotated[str | None, _option(DATA, "the column with the text")] = None,
    label: Annotated[str | None, _option(DATA, "the column with the label")] = None,
    summary: Annotated[str | None, _option(DATA, "the column with the text to be written")] = None,
    test: Annotated[
        str | None, _option(DATA, "a file with test rows; FILE then has training rows")
    ] = None,
    validation: Annotated[str | None, _option(DATA, "a file with validation rows")] = None,
    label_names: Annotated[
        str | None, _option(DATA, "names of the labels 0, 1, …: negative,positive")
    ] = None,
    labels: Annotated[
        Literal["as_written"] | None, _option(DATA, "keep labels apart that read alike")
    ] = None,
    model: Annotated[
        str | None, _option(STUDY, "a name under models; the grid's first otherwise")
    ] = None,
    template: Annotated[str | None, _option(STUDY, "a name under templates")] = None,
    instruction: Annotated[
        str | None, _option(STUDY, "what the model is told to do with a text")
    ] = None,
    prompting: Annotated[
        str | None, _option(STUDY, "prompting methods: zero_shot,few_shot")
    ] = None,
    tuning: Annotated[str | None, _option(STUDY, "tuning methods: lora,qlora_all")] = None,
    train_sizes: Annotated[
        str | None, _option(STUDY, "rows, or fractions of them: 50,200,1.0")
    ] = None,
    seeds: Annotated[str | None, _option(STUDY, "0,1,2")] = None,
    test_rows: Annotated[int | None, _option(STUDY, "how many test rows are asked", min=1)] = None,
    validation_rows: Annotated[
        int | None, _option(STUDY, "rows that choose an epoch", min=0)
    ] = None,
    max_length: Annotated[
        int | None, _option(STUDY, "the most tokens of prompt and answer", min=1)
    ] = None,
    batch_size: Annotated[int | None, _option(STUDY, "rows that train at once", min=1)] = None,
    encoding: Annotated[
        str | None, _option(FILES, "of text files: cp1252; UTF-8 otherwise")
    ] = None,
    quoting: Annotated[
        Literal["minimal", "none"] | None, _option(FILES, "quotes enclose fields, or are text")
    ] = None,
    replace: Annotated[
        bool, _option(FILES, "replace a data set of that name with other files", "--replace")
    ] = False,
) -> None:
    """Propose a study of your own rows, and write it to params.yaml.

    Shows what the file holds and the diff, then asks. What no option says is proposed.

    tunebench init tickets.csv
    tunebench init tickets.csv --text body --label queue --yes && dvc repro
    tunebench init train.parquet --test test.parquet --train-sizes 100,1000
    """
    given = {key: value for key, value in locals().items() if key not in ("yes", "replace")}
    from tunebench.quiet import calm_libraries

    calm_libraries()
    from tunebench.init import steps

    try:
        written = steps.run(Answers(**given), yes=yes, replacing=replace)
    except TunebenchError as error:
        typer.echo("\n".join(f"error: {line}" for line in str(error).splitlines()), err=True)
        raise typer.Exit(1) from None
    if not written:
        raise typer.Exit(1)
