"""The licences of what `make install` installs, as a page: python docs/licences.py > LICENSES.md"""

from __future__ import annotations

import re
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path

COPYLEFT = re.compile(r"\bA?L?GPL|GNU|\bMPL|Mozilla|\bEPL|CDDL|EUPL")
LONGEST = 200  # characters; some packages put the whole text there
HEAD = """# Licences

tunebench is under the [Apache License 2.0](LICENSE). It distributes none of the packages below;
`make install` gets them from the package index. Each licence is as the package's own metadata has
it; `make licences` writes this page.

Copyleft is what is under a GPL, LGPL, MPL or EPL. The MPL reaches the files that it covers. Where a
package offers a choice, as `OR` or `|`, no GPL need be chosen; pygit2's exception lets other
programs link to it. On Linux the index's build of torch also installs NVIDIA's CUDA libraries, most
of them under a proprietary licence of NVIDIA.
"""


def main() -> None:
    """Print the page."""
    print(page(), end="")


def page() -> str:
    """The page: the direct dependencies, then the copyleft packages among what they need."""
    root = Path(__file__).resolve().parents[1]
    direct = [
        line.split("==")[0]
        for line in (root / "requirements.txt").read_text(encoding="utf-8").splitlines()
        if re.match(r"\w", line)
    ]
    pinned = set(re.findall(r"(?m)^([^#\s=]+)==", (root / "constraints.txt").read_text("utf-8")))
    indirect = sorted(
        (package for package in distributions() if normal(package.name) in pinned),
        key=lambda package: normal(package.name),
    )
    names = {normal(name) for name in direct}
    return "\n".join(
        [
            HEAD,
            "## Direct dependencies\n",
            *table([distribution(name) for name in direct]),
            "\n## Copyleft among what these need\n",
            *table(
                [
                    package
                    for package in indirect
                    if normal(package.name) not in names and COPYLEFT.search(licence(package))
                ]
            ),
            "",
        ]
    )


def table(packages: list[Distribution]) -> list[str]:
    """A row for each package."""
    rows = []
    for package in packages:
        text = licence(package)
        copyleft = "copyleft" if COPYLEFT.search(text) else ""
        cells = normal(package.name), text.replace("|", "\\|"), copyleft
        rows.append(f"| {' | '.join(cells)} |")
    return ["| package | licence | |", "|---|---|---|", *rows]


def licence(package: Distribution) -> str:
    """A package's licence, from the first of its fields that names one."""
    metadata = package.metadata
    given = metadata.get("License-Expression") or metadata.get("License") or ""
    if given and len(given) <= LONGEST and "\n" not in given:
        return str(given)
    classifiers = [
        line.rpartition(" :: ")[2]
        for line in metadata.get_all("Classifier", [])
        if line.startswith("License :: ")
    ]
    assert classifiers, f"{package.name}: its metadata names no licence"
    return ", ".join(classifiers)


def normal(name: str) -> str:
    """A package's name as the index has it."""
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    main()
