"""What `tunebench plan` prints."""

from __future__ import annotations

from collections.abc import Iterator

from tunebench.planning import plan, printing


def lines(*, as_json: bool, offline: bool, probe: bool) -> Iterator[str]:
    """The plan, which is kept for a later comparison.

    Raises:
        ParameterError, SourceError: see `plan.make`.
    """
    made = plan.make(offline=offline, probe=probe)
    if as_json:
        yield printing.as_json(made)
    else:
        yield from printing.lines(made)
    plan.keep(made)
