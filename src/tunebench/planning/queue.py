"""What `dvc repro` is about to run, for the stages to count: written by the stage `check`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tunebench import countdown, lifeline, paths, results
from tunebench.config.schema import Params
from tunebench.errors import TunebenchError
from tunebench.planning import command, graph
from tunebench.planning.state import State


def announce(params: Params, folder: Path) -> None:
    """Write the queue of the `dvc` that runs this stage, and print how long it is.

    Nothing where a script was started by hand, or where no plan can be made: then stages count
    nothing.

    Args:
        folder: where the stage `check` has written its files.
    """
    above = lifeline.dvc()
    if above is None:
        return
    started = time.time()
    for file in (paths.QUEUE, paths.STARTED):
        file.unlink(missing_ok=True)
    asked = command.targets(above.cmdline())
    if asked is None:
        return
    try:
        state = State.of(params, folder, forced=asked.forced)
        if not state.waiting:
            return
        from tunebench.planning import plan

        made = plan.quickly(state)
        needs = graph.upstream(state.stages)
        wanted = asked.among(needs)
        seconds = {
            one.stage.name: results.rounded(one.seconds, 3)
            for one in made.predictions
            if one.stage.name in wanted
        }
        if not seconds:
            return
        plan.keep(made)
        countdown.Queue(
            dvc=countdown.identity(above),
            started=started,
            seconds=seconds,
            after={name: sorted(needs[name] & set(seconds)) for name in seconds},
        ).write()
    except (TunebenchError, OSError):
        return
    stages = f"{len(seconds)} stage{'s' * (len(seconds) != 1)}"
    print(f"{stages} to run, about {countdown.about(sum(seconds.values()))}", file=sys.stderr)
