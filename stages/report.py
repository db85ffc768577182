"""Gather every result into tables, plots and one page: python -m stages.report."""

from tunebench import config, paths, results, stage
from tunebench.paths import Run
from tunebench.report import (
    break_even,
    comparisons,
    confusion,
    costs,
    demand,
    deployment,
    headlines,
    load_tests,
    page,
    published,
    repeatability,
    summary,
    tables,
)


def main(_: Run) -> None:
    """Write the headline metrics, all results as nested JSON, tables, plots and the page."""
    params = repeatability.measured(config.load())
    records = summary.collect(params)
    headlines.write(paths.HEADLINES, headlines.build(records))
    results.write(paths.RESULTS, summary.nest(records))
    built_tables = (
        tables.build(records)
        | comparisons.build(params, records)
        | tables.searches(params)
        | published.build(params.published, records)
        | load_tests.build(records, params)
        | costs.build(records, params)
        | break_even.build(records, params)
        | demand.build(records, params)
        | deployment.build(params)
    )
    for name, rows in built_tables.items():
        tables.write(paths.TABLES / f"{name}.csv", rows)
    plots = (
        tables.plots(records, params)
        | {"confusion": confusion.build(params)}
        | costs.plot(records, params)
    )
    for name, columns in tables.PLOTS.items():
        tables.write(paths.PLOTS / f"{name}.csv", plots[name], columns=columns)
    page.write(paths.PAGE, params, built_tables)


if __name__ == "__main__":
    stage.run(main)
