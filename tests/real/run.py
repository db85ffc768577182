"""Run the pipeline on real text and models: python -m tests.real.run [imdb] [samsum] [stories].

Each parameter file runs in a clone of its own under tmp/real/, so that this checkout's results stay
as they are; what was done there is not done again. Needs the folder ../shared.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STUDIES = Path(__file__).parent
SHARED = ROOT.parent / "shared"


def main(names: list[str]) -> None:
    if not SHARED.is_dir():
        sys.exit(f"error: {SHARED} is not there; it holds the real data and models")
    known = sorted(path.stem for path in STUDIES.glob("*.yaml"))
    for name in names or known:
        if name not in known:
            sys.exit(f"error: {name!r} is no parameter file; choose from: {', '.join(known)}")
        project = clone(name)
        # the clone's own sources, not those that are installed here
        environment = os.environ | {"PYTHONPATH": str(project / "src")}
        subprocess.run(["dvc", "repro"], cwd=project, env=environment, check=True)
        for table in sorted((project / "metrics" / "tables").glob("*.csv")):
            print(f"\n{name}: {table.stem}\n{table.read_text()}")


def clone(name: str) -> Path:
    """This checkout's commit with one parameter file; `../shared` is there as it is here."""
    folder = ROOT / "tmp" / "real" / name
    project = folder / "project"
    folder.mkdir(parents=True, exist_ok=True)
    if not project.exists():
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(project)], check=True)
    subprocess.run(["git", "pull", "--quiet", "--ff-only"], cwd=project, check=True)
    if not (folder / "shared").exists():
        (folder / "shared").symlink_to(SHARED)
    shutil.copy(STUDIES / f"{name}.yaml", project / "params.yaml")
    return project


if __name__ == "__main__":
    main(sys.argv[1:])
