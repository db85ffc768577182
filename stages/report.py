"""Gather every result into tables, plots and one page: python -m stages.report."""

from pathlib import Path

from tunebench import config, paths, results, stage
from tunebench.paths import Run
from tunebench.report import answer, gathered, headlines, staleness, summary, tables


def outputs(_: Run) -> list[Path]:
    """The page, the headline metrics, all results, tables and plots."""
    return [paths.PAGE.parent, paths.HEADLINES, paths.RESULTS, paths.TABLES, paths.PLOTS]


def main(
    _: Run, report: Path, headline_files: Path, nested: Path, table_files: Path, plot_files: Path
) -> None:
    """Write the headline metrics, all results as nested JSON, tables, plots and the page."""
    params = config.load()
    staleness.check(params)
    found = gathered.gather(params)
    headlines.write(headline_files, headlines.build(found.records))
    results.write(nested, summary.nest(found.records))
    for name, rows in found.tables.items():
        tables.write(table_files / f"{name}.csv", rows)
    for name, columns in tables.PLOTS.items():
        tables.write(plot_files / f"{name}.csv", found.plots[name], columns=columns)
    found.write_page(report / paths.PAGE.name)
    answer.show(found.parts.answers)


if __name__ == "__main__":
    stage.run(main, outputs)
