"""A damaged model folder, or adapter: one clear line with the file, what is wrong, what to do."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from projects import Project
from safetensors.numpy import load_file, save_file
from test_rooms import ROOT

from tunebench import models
from tunebench.config.schema import FullMethod, Model, PeftMethod, PromptingMethod
from tunebench.data import model_files, pins
from tunebench.errors import SourceError
from tunebench.models import compatibility

Harm = Callable[[Path], None]
AGAIN = "get the whole file again"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"


def cut(name: str) -> Harm:
    def harm(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])

    return harm


def write(name: str, content: bytes) -> Harm:
    return lambda folder: (folder / name).write_bytes(content) and None


def remove(*names: str) -> Harm:
    def harm(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return harm


def edit(name: str, **fields: Any) -> Harm:
    def harm(folder: Path) -> None:
        path = folder / name
        content = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps(content | fields))

    return harm


def flip_header(folder: Path) -> None:
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[9] ^= 0xFF
    path.write_bytes(content)


def shard(folder: Path) -> None:
    """Two shards by the index, of which one is there."""
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    both = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / model_files.INDEX).write_text(json.dumps({"weight_map": both}))


def empty_index(folder: Path) -> None:
    shard(folder)
    (folder / model_files.INDEX).write_text("{}")


def rename(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "weights.safetensors")


def dangle(folder: Path) -> None:
    (folder / "config.json").rename(folder / "old")
    (folder / "tokenizer_config.json").unlink()
    (folder / "tokenizer_config.json").symlink_to(folder / "nowhere")
    shutil.copy(folder / "old", folder / "config.json")


# what `check` sees: its message after `path: FOLDER`
SEEN: dict[str, tuple[Harm, str]] = {
    "weights cut": (cut("model.safetensors"), "/model.safetensors is cut: "),
    "weights cut in the header": (
        lambda folder: (folder / "model.safetensors").write_bytes(b"\x00\x10" + b"\x00" * 9),
        f"/model.safetensors is cut, or no safetensors file; {AGAIN}",
    ),
    "weights empty": (write("model.safetensors", b""), "/model.safetensors is cut, or no safetens"),
    "weights too long": (
        lambda folder: (folder / "model.safetensors").open("ab").write(b"x") and None,
        "/model.safetensors is too long: ",
    ),
    "weights a pointer": (
        write("model.safetensors", POINTER),
        "/model.safetensors is a Git LFS pointer, not the file; run `git lfs pull`",
    ),
    "tokenizer a pointer": (write("tokenizer.json", POINTER), "/tokenizer.json is a Git LFS poin"),
    "header damaged": (flip_header, f"/model.safetensors has a damaged header; {AGAIN}"),
    "shard missing": (
        shard,
        "/model.safetensors.index.json names model-00002-of-00002.safetensors, missing there; copy",
    ),
    "index without files": (
        empty_index,
        f"/model.safetensors.index.json has no weight_map; {AGAIN}",
    ),
    "weights of another name": (
        rename,
        " holds neither model.safetensors nor model.safetensors.index.json, but weights.safetensor",
    ),
    "config cut": (cut("config.json"), "/config.json is cut or damaged (Expecting"),
    "config a list": (write("config.json", b"[]"), f"/config.json holds no JSON object; {AGAIN}"),
    "config nested": (write("config.json", b"[" * 100_000), "/config.json is cut or damaged ("),
    "config of long integers": (
        write("config.json", b'{"a": ' + b"1" * 5_000 + b"}"),
        "/config.json is cut or damaged (",
    ),
    "config no text": (write("config.json", b"\xff\xfe\x00"), "/config.json is cut or damaged ("),
    "generation config cut": (
        write("generation_config.json", b'{"eos_token_id": '),
        "/generation_config.json is cut or damaged (",
    ),
    "tokenizer config cut": (cut("tokenizer_config.json"), "/tokenizer_config.json is cut or dam"),
    "an adapter beside": (
        edit("adapter_config.json", peft_type="LORA"),
        " holds an adapter beside the model (adapter_config.json), which transformers would add",
    ),
}  # fmt: skip

# what only `fetch_model` sees: its message after the folder
FETCHED: dict[str, tuple[Harm, str]] = {
    "config empty": (write("config.json", b"{}"), "/config.json: it has no model_type; choose a"),
    "type unknown": (
        edit("config.json", model_type="lama"),
        "/config.json: transformers 5.23.0 has no model_type 'lama'; did you mean 'llama'?",
    ),
    "type writes no text": (
        edit("config.json", model_type="clip"),
        "/config.json: transformers has no causal language model of model_type 'clip'; choose a",
    ),
    "field of another type": (
        edit("config.json", hidden_size="wide"),
        "/config.json is no configuration of a llama model (",
    ),
    "more layers than weights": (
        edit("config.json", num_hidden_layers=3),
        ": its weights are not those of its config.json: model.layers.2.input_layernorm.weight and"
        " 8 more missing; get the model's files again, all from one revision",
    ),
    "embedding of another size": (
        edit("config.json", vocab_size=339),
        ": its weights are not those of its config.json: lm_head.weight is 340 × 64 there, and"
        " 339 × 64 by the configuration; get the model's files again",
    ),
    "tokenizer missing": (
        remove("tokenizer.json", "tokenizer_config.json"),
        " holds no tokenizer (tokenizer.json or tokenizer.model); copy the model's there",
    ),
    "tokenizer cut": (cut("tokenizer.json"), "/tokenizer.json is cut or damaged ("),
    "tokenizer empty": (
        write("tokenizer.json", b"{}"),
        ": its tokenizer cannot be loaded (KeyError: 'added_tokens'); get its tokenizer files",
    ),
}  # fmt: skip


def message_of(work: Callable[[], object]) -> str:
    with pytest.raises(SourceError) as caught:
        work()
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.fixture
def folder(model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the tiny model, to be damaged."""
    monkeypatch.chdir(tmp_path)
    yield Path(shutil.copytree(model_folder, tmp_path / "m"))


@pytest.mark.parametrize("case", SEEN)
def test_check_sees_damaged_files(case: str, folder: Path) -> None:
    harm, message = SEEN[case]
    assert len(pins.files(str(folder))) == 4
    harm(folder)
    assert message_of(lambda: pins.files(str(folder))).startswith(f"path: {folder}{message}")


@pytest.mark.parametrize("case", FETCHED)
def test_fetch_model_sees_files_that_make_no_model(case: str, folder: Path) -> None:
    harm, message = FETCHED[case]
    harm(folder)
    pins.pin({"source": {"path": str(folder)}, "files": pins.files(str(folder))})
    fault = message_of(lambda: compatibility.check_files(folder))
    assert fault.startswith(f"{folder}{message}")


def test_dangling_link(folder: Path) -> None:
    dangle(folder)
    assert message_of(lambda: pins.files(str(folder))) == (
        f"path: {folder}/tokenizer_config.json: No such file or directory; make it readable, or"
        f" {AGAIN}"
    )


def test_tokenizer_of_a_larger_model(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        weights[name] = weights[name][:300]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    edit("config.json", vocab_size=300)(folder)
    assert message_of(lambda: compatibility.check_files(folder)) == (
        f"{folder}: its tokenizer has token ids up to 339, and the embedding 300 rows; get"
        " tokenizer and weights of one model"
    )


def test_special_tokens_may_lie_beyond_the_embedding(folder: Path) -> None:
    tokenizer = models.tokenization.load(folder)
    tokenizer.add_special_tokens({"pad_token": "<new>"})
    tokenizer.save_pretrained(folder)
    compatibility.check_files(folder)


@pytest.mark.parametrize(
    "model",
    [
        "assets/tiny",
        "../shared/models/stories-3m-bitnet",
        "../shared/models/reviews-3m",
        "../shared/models/stories-260k",
    ],
)
def test_real_models_are_taken(model: str) -> None:
    if not (ROOT / model).is_dir():
        pytest.skip("../shared, the real data and models, is not here")
    compatibility.check_files(ROOT / model)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["config empty", "tokenizer cut", "more layers than weights"])
def test_stage_says_one_line(case: str, project: Project) -> None:
    FETCHED[case][0](project.folder / "model")
    assert project.run("check").returncode == 0
    done = project.run("fetch_model", "--model", "tiny")
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: model{FETCHED[case][1]}"[:60])
    assert not (project.folder / "data/models/tiny.json").exists()


def test_check_says_one_line(project: Project) -> None:
    cut("model.safetensors")(project.folder / "model")
    done = project.run("check")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: params.yaml: models.tiny.path: model/model.safetensors is cut: ")


def pinned(folder: Path) -> dict[str, Any]:
    return pins.pin({"source": {"path": str(folder)}, "files": pins.files(str(folder))})


def swap(folder: Path) -> None:
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (swap, "model.safetensors changed since it was pinned; restore it, or run `dvc repro`"),
        (write("config.json", b"{}"), "config.json changed since it was pinned (2 bytes, not "),
        (remove("tokenizer.json"), "tokenizer.json: No such file or directory; restore it, or run"),
    ],
)
def test_file_that_changed_since_it_was_pinned(harm: Harm, message: str, folder: Path) -> None:
    pin, settings = pinned(folder), Model(path=str(folder))
    assert models.Base.pinned(settings, pin).folder == folder
    harm(folder)
    fault = message_of(lambda: models.Base.pinned(settings, pin))
    assert fault.startswith(f"{folder}/{message}")


def test_unchanged_file_is_not_read_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pin, settings = pinned(folder), Model(path=str(folder))
    monkeypatch.setattr("tunebench.models.pinned_files._sha256", lambda path: pytest.fail("read"))
    models.Base.pinned(settings, pin)
    monkeypatch.undo()
    (folder.parent / "data/fingerprints.json").write_text("{")  # then all of it is
    models.Base.pinned(settings, pin)


def test_methods_are_no_part_of_the_pin(folder: Path) -> None:
    checked = {"source": {"path": str(folder)}, "files": pins.files(str(folder))}
    methods = {"lora": {"kind": "peft", "adapter": {"peft_type": "LORA"}}}
    assert pins.pin(checked | {"methods": methods}) == pins.pin(checked)


LORA = PeftMethod(kind="peft", adapter={"peft_type": "LORA", "r": 2, "target_modules": ["q_proj"]})
RETRAIN = "run its training again (dvc repro)"
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (cut(CONFIG), f"{CONFIG} is cut or damaged (Unterminated"),
        (write(CONFIG, b"{}"), f"{CONFIG} is cut or damaged (it has no peft_type"),
        (write(CONFIG, b"[]"), f"{CONFIG} is cut or damaged ("),
        (write(CONFIG, b'{"peft_type": "NONE"}'), f"{CONFIG} is cut or damaged ("),
        (cut(WEIGHTS), f"{WEIGHTS} is missing or damaged ("),
        (write(WEIGHTS, POINTER), f"{WEIGHTS} is missing or damaged ("),
        (remove(WEIGHTS), f"{WEIGHTS} is missing or damaged (No such file or directory"),
        (lambda folder: ((folder / WEIGHTS).rename(folder / "adapter_model.bin"), None)[1],
         f"{WEIGHTS} is missing or damaged ("),
    ],
)  # fmt: skip
def test_damaged_adapter(harm: Harm, message: str, tiny: models.Base, tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    adapted = models.with_adapter(models.load(tiny, LORA), LORA, {})
    adapted.save_pretrained(folder, save_embedding_layers=False)
    assert models.load(tiny, LORA, trained=folder).peft_config
    harm(folder)
    fault = message_of(lambda: models.load(tiny, LORA, trained=folder))
    assert fault.startswith(f"{folder}/{message}")
    assert fault.endswith(f"; {RETRAIN}")


@pytest.mark.parametrize(
    "harm",
    [
        cut("model.safetensors"),
        cut("config.json"),
        remove("model.safetensors"),
        remove("config.json"),
    ],
)
def test_damaged_full_model(harm: Harm, folder: Path, tiny: models.Base) -> None:
    harm(folder)
    fault = message_of(lambda: models.load(tiny, FullMethod(kind="full"), trained=folder))
    assert fault.startswith(str(folder))
    assert fault.endswith(f"; {RETRAIN}")


def test_damaged_base_between_stages(folder: Path) -> None:
    """As a stage run by hand meets it, without a pin."""
    cut("model.safetensors")(folder)
    base = models.Base(folder, "0" * 40, Model(path=str(folder)))
    fault = message_of(lambda: models.load(base, PromptingMethod(kind="prompting")))
    assert fault.startswith(f"{folder}: its weights cannot be read (")
