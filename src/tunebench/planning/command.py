"""Which stages the `dvc` above this process was asked for, by its command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

# options that change neither which stages run nor why
PLAIN = {
    "-v", "--verbose", "-q", "--quiet", "-k", "--keep-going", "--ignore-errors", "--pull",
    "--no-run-cache", "--no-commit", "--glob", "--allow-missing",
}  # fmt: skip
FORCE = {"-f", "--force"}


@dataclass(frozen=True)
class Targets:
    """Names or patterns of stages, all if empty; `forced` if unchanged ones run too."""

    targets: tuple[str, ...] = ()
    forced: bool = False

    def among(self, needs: Mapping[str, set[str]]) -> set[str]:
        """The stages that are asked for, and all that they need.

        Args:
            needs: what each stage needs, by its name.
        """
        if not self.targets:
            return set(needs)
        chosen = {
            name
            for name in needs
            for target in self.targets
            if target in (name, name.split("@")[0]) or fnmatchcase(name, target)
        }
        return chosen.union(*(needs[name] for name in chosen))


def targets(arguments: Sequence[str]) -> Targets | None:
    """What `dvc repro` was asked for; None for another command, or options not known here.

    >>> targets(["python", "/bin/dvc", "repro", "-f", "train@tiny-posts-qlora-1.0-0"])
    Targets(targets=('train@tiny-posts-qlora-1.0-0',), forced=True)
    """
    if "repro" not in arguments:
        return None
    rest = list(arguments[list(arguments).index("repro") + 1 :])
    options = {word for word in rest if word.startswith("-")}
    targets = [word.removeprefix("dvc.yaml:") for word in rest if not word.startswith("-")]
    if options - PLAIN - FORCE or any(word.endswith(("dvc.yaml", ".dvc")) for word in targets):
        return None
    return Targets(tuple(targets), bool(options & FORCE))
