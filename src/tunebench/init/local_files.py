"""Files on this machine in place of repositories of the Hub, in params.yaml:
python -m tunebench.init.local_files.

`make study` runs it, so that a study of the Hub runs without the Hub too.
"""

from __future__ import annotations

import re
from pathlib import Path

from tunebench import paths, results

IMDB, SAMSUM = "rows/imdb", "rows/samsum"
# repository → `path:` of what stands in for it, each file by its split where there are several
FILES: dict[str, str | dict[str, str]] = {
    "HuggingFaceTB/SmolLM2-135M-Instruct": "models/SmolLM2-135M-Instruct.Q4_1.gguf",
    "stanfordnlp/imdb": {"train": f"{IMDB}/train.parquet", "test": f"{IMDB}/test.parquet"},
    "knkarthick/samsum": {
        split: f"{SAMSUM}/{split}.json" for split in ("train", "validation", "test")
    },
}


def main() -> None:
    """Name the files that are here, all of a repository's or none, and say so."""
    text = paths.PARAMS.read_text("utf-8")
    for repository, files in FILES.items():
        named = list(files.values()) if isinstance(files, dict) else [files]
        written = re.compile(rf"\bhub: {re.escape(repository)}\b")
        if written.search(text) and all(Path(file).is_file() for file in named):
            text = written.sub(f"path: {_flow(files)}", text)
            print(f"{', '.join(named)}: in place of {repository} of the Hub")
    with results.replacing(paths.PARAMS) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _flow(files: str | dict[str, str]) -> str:
    """A path as YAML, in one line."""
    if isinstance(files, str):
        return files
    return "{" + ", ".join(f"{split}: {file}" for split, file in files.items()) + "}"


if __name__ == "__main__":
    main()
