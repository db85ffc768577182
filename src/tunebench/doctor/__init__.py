"""Is this machine ready: each thing that a run needs, whether it is there, and what mends it.

Needs no more than Python's own library to say what is missing: what a check imports, it imports
itself, and torch is never imported.

- `findings`: what a check found, and its level
- `hardware`, `gpus`, `disks`: the machine
- `packages`: versions against the pins, servers, optional tools
- `repository`: Git, DVC, and what killed processes left
- `yaml12`: YAML as DVC reads it, and fast
- `hub`: whether the Hugging Face Hub answers, and to which token
- `study`: params.yaml, and which of its models fit in memory by which method
- `printing`: the findings as text or JSON
- `__main__`: `python -m tunebench.doctor`, where even the `tunebench` command does not start
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from tunebench.doctor import disks, gpus, hardware, hub, packages, repository, study
from tunebench.doctor.findings import Finding, fault

Check = Callable[[], Iterable[Finding]]
# section, what it is called if it fails itself, and the check
CHECKS: tuple[tuple[str, str, Check], ...] = (
    ("machine", "processor", hardware.machine),
    ("machine", "device", gpus.check),
    ("machine", "disks", disks.check),
    ("packages", "pins", packages.versions),
    ("packages", "tools", packages.optional),
    ("repository", "git", repository.git),
    ("repository", "dvc", repository.dvc),
    ("study", "params.yaml", study.parameters),
)


def examine(*, offline: bool = False) -> list[Finding]:
    """What all checks found, in order; a check that fails itself is a finding too.

    Args:
        offline: ask the Hub for nothing.
    """
    with ThreadPoolExecutor(max_workers=1) as beside:
        # the network is waited for while the rest is looked at
        asked = beside.submit(
            lambda: list(_found("hub", "hub", lambda: hub.reach(offline=offline)))
        )
        found = [finding for check in CHECKS for finding in _found(*check)]
        answer = asked.result()
    last = next((at for at, each in enumerate(found) if each.section == "study"), len(found))
    return [*found[:last], *answer, *found[last:]]


def _found(section: str, name: str, check: Check) -> Iterator[Finding]:
    try:
        yield from check()
    except ModuleNotFoundError as error:
        yield fault(
            section,
            name,
            f"could not be looked at: {error.name} is not installed",
            remedy=packages.INSTALL,
        )
    except Exception as error:  # whatever a broken installation raises: the other checks go on
        yield fault(
            section,
            name,
            f"could not be looked at: {type(error).__name__}: {error}",
            remedy=packages.INSTALL,
        )
