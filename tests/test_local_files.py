"""A study of the Hub runs on files of this machine, where they are there."""

import shutil
from pathlib import Path

import pytest

from tunebench import config
from tunebench.init import local_files

ROOT = Path(__file__).parents[1]


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copy(ROOT / "studies" / "laptop.yaml", "params.yaml"))


def put(*files: str) -> None:
    for file in map(Path, files):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def test_without_files_nothing_changes(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = study.read_bytes()
    put("rows/imdb/train.parquet")  # half of a data set is none
    local_files.main()
    assert study.read_bytes() == before
    assert capsys.readouterr().out == ""


def test_files_are_named_and_all_else_stays(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = config.load(study)
    put("models/SmolLM2-135M-Instruct.Q4_1.gguf")
    put("rows/imdb/train.parquet", "rows/imdb/test.parquet")
    local_files.main()
    after = config.load(study)
    assert after.models["smollm2_135m"].path == "models/SmolLM2-135M-Instruct.Q4_1.gguf"
    assert after.models["smollm2_135m"].dtype == before.models["smollm2_135m"].dtype
    assert after.datasets["imdb"].path is not None
    assert after.datasets["samsum"] == before.datasets["samsum"]  # still of the Hub
    source = {"hub", "path"}
    assert after.datasets["imdb"].model_dump(exclude=source) == before.datasets["imdb"].model_dump(
        exclude=source
    )
    assert after.methods == before.methods
    assert len(capsys.readouterr().out.splitlines()) == 2
