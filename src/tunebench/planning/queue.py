"""What `dvc repro` is about to run, for the stages to count: written by the stage `check`."""

from __future__ import annotations

import sys
import time

from tunebench import countdown, lifeline, paths, results
from tunebench.errors import TunebenchError
from tunebench.planning import command, graph, plan


def announce() -> None:
    """Write the queue of the `dvc` that runs this stage, and print how long it is.

    Nothing where a script was started by hand, or where no plan can be made: then stages count
    nothing.
    """
    above = lifeline.dvc()
    if above is None:
        return
    started = time.time()
    paths.PLAN.mkdir(parents=True, exist_ok=True)
    paths.QUEUE.unlink(missing_ok=True)
    paths.STARTED.unlink(missing_ok=True)
    asked = command.asked(above.cmdline())
    if asked is None:
        return
    try:
        made = plan.make(quickly=True, checked=paths.CHECK, forced=asked.forced)
    except (TunebenchError, OSError):
        return
    needs = graph.upstream(made.stages)
    wanted = asked.among(needs)
    seconds = {
        one.stage.name: results.rounded(one.seconds, 3)
        for one in made.predictions
        if one.stage.name in wanted
    }
    plan.keep(made)
    after = {name: sorted(needs[name] & set(seconds)) for name in seconds}
    dvc = list(countdown.identity(above))
    content = {"dvc": dvc, "started": started, "seconds": seconds, "after": after}
    results.write(paths.QUEUE, content)
    if seconds:
        total = countdown.about(sum(seconds.values()))
        stages = f"{len(seconds)} stage{'s' * (len(seconds) != 1)}"
        print(f"{stages} to run, about {total}", file=sys.stderr)
