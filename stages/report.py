"""Gather every result into tables, plots and one page: python -m stages.report."""

from pathlib import Path

from tunebench import config, paths, results, stage
from tunebench.paths import Run
from tunebench.report import (
    answer,
    break_even,
    comparisons,
    confusion,
    costs,
    demand,
    deployment,
    headlines,
    learning,
    load_tests,
    page,
    published,
    repeatability,
    staleness,
    summary,
    tables,
)
from tunebench.report.row_scores import ScoreBook


def outputs(_: Run) -> list[Path]:
    """The page, the headline metrics, all results, tables and plots."""
    return [paths.PAGE.parent, paths.HEADLINES, paths.RESULTS, paths.TABLES, paths.PLOTS]


def main(
    _: Run, report: Path, headline_files: Path, nested: Path, table_files: Path, plot_files: Path
) -> None:
    """Write the headline metrics, all results as nested JSON, tables, plots and the page."""
    params = config.load()
    staleness.check(params)
    params = repeatability.measured(params)
    records, scores = summary.collect(params), ScoreBook()
    headlines.write(headline_files, headlines.build(records))
    results.write(nested, summary.nest(records))
    built_tables = (
        tables.build(records)
        | comparisons.build(params, records, scores)
        | tables.searches(params)
        | published.build(params.published, records)
        | load_tests.build(records, params)
        | costs.build(records, params)
        | break_even.build(records, params)
        | demand.build(records, params)
        | deployment.build(params)
    )
    for name, rows in built_tables.items():
        tables.write(table_files / f"{name}.csv", rows)
    plots = (
        tables.plots(records, params)
        | {"confusion": confusion.build(params)}
        | costs.plot(records, params)
    )
    for name, columns in tables.PLOTS.items():
        tables.write(plot_files / f"{name}.csv", plots[name], columns=columns)
    curves = learning.build(params, records, scores)
    answers = answer.build(params, records, built_tables.get("comparisons", []), curves, scores)
    parts = page.Parts(answers, curves, scores)
    page.write(report / paths.PAGE.name, params, records, built_tables, further=plots, parts=parts)
    answer.show(answers)


if __name__ == "__main__":
    stage.run(main, outputs)
