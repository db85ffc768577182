"""Published results beside those measured here."""

from __future__ import annotations

from collections.abc import Sequence

from tunebench import metrics, results
from tunebench.config.schema import Published, PublishedResult
from tunebench.report.summary import NO_ROWS, Record
from tunebench.report.tables import Row

COLUMNS = (
    "model", "dataset", "method", "train_size", "metric", "published", "measured", "low", "high",
    "difference", "within",
)  # fmt: skip


def build(published: Published | None, records: Sequence[Record]) -> dict[str, list[Row]]:
    """The table `published`, a row for each metric, as fractions; none if nothing is given.

    `low` and `high` are the measured metric's 95% interval, `difference` is measured minus
    published, and `within` is whether the published number lies in the interval. These are empty if
    the grid does not include the run, or it has no score. `epoch_chosen_on` marks a run whose epoch
    was chosen on the test rows.
    """
    if published is None:
        return {}
    measured = {
        (record.model, record.dataset, record.method, record.train_size): record
        for record in records
    }
    rows = [
        _row(result, metric, value, measured.get(_key(result)))
        for result in published.results
        for metric, value in result.metrics.items()
    ]
    return {"published": rows}


def _key(result: PublishedResult) -> tuple[str, str, str, str]:
    size = NO_ROWS if result.train_size is None else str(result.train_size)
    return result.model, result.dataset, result.method, size


def _row(result: PublishedResult, metric: str, value: float, record: Record | None) -> Row:
    row = dict.fromkeys(COLUMNS, "") | dict(
        zip(COLUMNS[:6], (*_key(result), metric, value), strict=True)
    )
    if record is None or metric not in record.quality:
        return row
    quality = record.quality
    low, high = (quality[end] for end in metrics.interval(metric))
    return row | {
        "measured": quality[metric],
        "low": low,
        "high": high,
        "difference": results.rounded(quality[metric] - value, 4),
        "within": "yes" if low <= value <= high else "no",
        **record.caveat,
    }
