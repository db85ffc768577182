"""A GGUF file is the model that it was made from, or one clear error."""

import random
import shutil
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from gguf_files import write
from projects import VALID, Project, run_stage
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

import stages.check
import stages.fetch_model
from tunebench import models, results
from tunebench.config.schema import Model
from tunebench.data import gguf_header
from tunebench.errors import SourceError
from tunebench.models import dequantized, gguf_tokenizer
from tunebench.paths import Run
from tunebench.prompts import tokenization

ROOT = Path(__file__).parents[1]
TINY = ROOT / "assets" / "tiny"
SHARED = ROOT.parent / "shared"
TEXTS = [
    "", " ", "\n", "Hello world", "In 2024  12,345.67 there're I'm  x\n\n  y", "   a  1",
    "Привет, мир! 123", "日本語テキスト 12", "½ ² ٣٤", "e\u0301 café", "مرحبا بالعالم ١٢٣",
    "\U0001f469\u200d\U0001f467 \U0001f44d\U0001f3fd",  # joined, and with a skin tone
    "\t\tif x == 1:\n        return 2\n", "a" * 50, "</s> <|im_end|> <unk>",
]  # fmt: skip


def texts(count: int = 300) -> list[str]:
    draw = random.Random(0)
    letters = "ab cA1 2\n\té世я'.,-_ 👍"
    return TEXTS + [
        "".join(draw.choice(letters) for _ in range(draw.randint(1, 40))) for _ in range(count)
    ]


def converted(folder: Path, path: Path, dtype: str = "float32", **options: Any) -> Path:
    write(folder, path, **options)
    output = path.with_suffix("")
    dequantized.write(path, output, dtype)
    return output


def test_it_is_the_same_model(tmp_path: Path) -> None:
    folder = converted(TINY, tmp_path / "tiny.gguf", general__license="apache-2.0")
    before, after = (AutoModelForCausalLM.from_pretrained(each) for each in (TINY, folder))
    ids = torch.tensor([[1, 5, 700, 2_000, 31, 8]])
    assert torch.equal(before(ids).logits, after(ids).logits)
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        assert getattr(after.generation_config, name) == getattr(before.config, name)
    assert "license: apache-2.0" in (folder / "README.md").read_text()


def test_it_is_the_same_tokenizer(tmp_path: Path) -> None:
    folder = converted(TINY, tmp_path / "tiny.gguf")
    before, after = (tokenization.load(each) for each in (TINY, folder))
    assert len(before) == len(after)
    assert before.special_tokens_map == after.special_tokens_map
    message = [{"role": "user", "content": "hi"}]
    for options in ({"tokenize": False}, {"tokenize": False, "add_generation_prompt": True}):
        assert before.apply_chat_template(message, **options) == after.apply_chat_template(
            message, **options
        )
    for text in texts():
        assert before(text).input_ids == after(text).input_ids, text


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("tokenizers/llama3", "llama-bpe"),
        ("models/reviews-3m", "gpt-2"),
        ("tokenizers/llama2", None),
        ("tokenizers/zephyr-mistral", None),
    ],
)
def test_published_tokenizers(tmp_path: Path, name: str, split: str | None) -> None:
    path = write(SHARED / name, tmp_path / "any.gguf", split=split, weights=False)
    published = Tokenizer.from_file(str(SHARED / name / "tokenizer.json"))
    after = gguf_tokenizer.load(path, gguf_header.read(path))
    assert published.get_vocab_size() == len(after)
    for text in texts():
        ids = published.encode(text).ids
        assert ids == after(text).input_ids, text
        assert published.decode(ids) == after.decode(ids, skip_special_tokens=True)


def test_digits_of_smollm_are_split_first(tmp_path: Path) -> None:
    """As the tokenizer.json that is published: Digits, then ByteLevel."""
    from tokenizers import pre_tokenizers

    path = write(TINY, tmp_path / "any.gguf", split="smollm", weights=False)
    tokenizer = gguf_tokenizer.load(path, gguf_header.read(path))
    split = tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str("In  2024, a  1's")
    published = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)]
    )
    assert split == published.pre_tokenize_str("In  2024, a  1's")
    assert split != pre_tokenizers.ByteLevel(False).pre_tokenize_str("In  2024, a  1's")


def test_a_quantized_weight_is_its_dequantized_value(tmp_path: Path) -> None:
    kind = gguf.GGMLQuantizationType.Q8_0
    folder = converted(TINY, tmp_path / "tiny.gguf", "bfloat16", quantized=kind)
    before = AutoModelForCausalLM.from_pretrained(TINY).state_dict()
    after = AutoModelForCausalLM.from_pretrained(folder).state_dict()
    assert before.keys() == after.keys()
    compared = 0
    for name, values in before.items():
        if values.ndim == 2:
            packed = gguf.quantize(values.float().numpy(), kind)
            values = torch.from_numpy(gguf.dequantize(packed, kind))
            compared += 1
        assert torch.equal(values.bfloat16(), after[name]), name
    assert compared >= 10


def cut(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def patch(path: Path, at: int, content: bytes) -> None:
    whole = bytearray(path.read_bytes())
    whole[at : at + len(content)] = content
    path.write_bytes(whole)


HARM: list[tuple[Callable[[Path], None], str]] = [
    (lambda path: path.write_bytes(b""), "is empty"),
    (lambda path: path.write_bytes(b"PK\3\4" * 100), "is no GGUF file"),
    (lambda path: patch(path, 4, b"\0\0\0\3"), "big-endian"),
    (lambda path: cut(path, 0.001), "is cut or has a damaged header"),
    (lambda path: cut(path, 0.5), "is cut"),
    (lambda path: path.write_bytes(path.read_bytes()[:-100]), "is cut within"),
    (lambda path: patch(path, 8, b"\xff" * 8), "is cut or has a damaged header"),
]
STATED: list[tuple[dict[str, Any], str]] = [
    ({"split__count": 3}, "is one of 3 parts"),
    ({"split": "of-tomorrow"}, "tokenizer.ggml.pre is 'of-tomorrow'"),
    ({"split": "default"}, "tokenizer.ggml.pre is 'default'"),
    ({"architecture": "of_tomorrow"}, "of_tomorrow"),
    ({"llama__rope__scaling__type": "yarn"}, "rope.scaling.type is 'yarn'"),
    ({"extra": {"rope_freqs.weight": np.ones(16, "f")}}, "it has rope_freqs.weight"),
    ({"extra": {"blk.0.attn_q.bias": np.ones(64, "f")}}, "numbers, and the model that"),
]


def one_error(path: Path) -> str:
    with pytest.raises(SourceError) as error:
        dequantized.write(path, path.with_suffix(""), "float32")
    message = str(error.value)
    assert "\n" not in message
    assert str(path) in message
    assert ";" in message  # the remedy
    return message


@pytest.mark.parametrize(("harm", "message"), HARM, ids=[message for _, message in HARM])
def test_a_broken_file_is_one_error(
    tmp_path: Path, harm: Callable[[Path], None], message: str
) -> None:
    path = write(TINY, tmp_path / "tiny.gguf")
    harm(path)
    assert message in one_error(path)


@pytest.mark.parametrize(("stated", "message"), STATED, ids=[message for _, message in STATED])
def test_what_would_be_another_model_is_refused(
    tmp_path: Path, stated: dict[str, Any], message: str
) -> None:
    assert message in one_error(write(TINY, tmp_path / "tiny.gguf", **stated))


def test_random_damage_to_a_header_is_no_crash(tmp_path: Path) -> None:
    path = write(TINY, tmp_path / "tiny.gguf", weights=False)
    whole = path.read_bytes()
    draw = random.Random(1)
    refused = 0
    for _ in range(400):
        content = bytearray(whole)
        for _ in range(draw.randint(1, 4)):
            content[draw.randrange(len(content) if draw.random() < 0.3 else 400)] = draw.randrange(
                256
            )
        path.write_bytes(content[: draw.choice([len(content), draw.randrange(len(content))])])
        try:
            gguf_header.read(path)
        except SourceError as error:
            refused += 1
            assert "\n" not in str(error)
    assert 150 < refused < 400


def test_the_stages_take_a_file(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = project.folder / "cache"
    monkeypatch.setattr("huggingface_hub.constants.HF_HOME", str(cache))
    monkeypatch.chdir(project.folder)
    path = write(TINY, Path("tiny.gguf"))
    params = deepcopy(VALID)
    params["models"]["tiny"] = {"path": "tiny.gguf", "dtype": "bfloat16"}
    project.write_params(params)
    run = Run(model="tiny")
    run_stage(stages.check, Run())
    run_stage(stages.fetch_model, run)
    pin = results.read(Path("data/models/tiny.json"))
    assert pin["source"] == {"gguf": "tiny.gguf", "dtype": "bfloat16"}
    assert pin["architecture"] == "LlamaForCausalLM"
    checked = results.read(Path("data/check/tiny.json"))
    assert pin["revision"] == checked["files"]["tiny.gguf"]["sha256"]
    folder = models.files_folder(pin)
    assert cache in folder.parents
    base = models.Base.pinned(Model(path="tiny.gguf", dtype="bfloat16"), pin)
    assert base.folder == folder

    made = (folder / "model.safetensors").stat().st_mtime_ns
    run_stage(stages.fetch_model, run)
    assert (folder / "model.safetensors").stat().st_mtime_ns == made  # dequantized once

    shutil.rmtree(cache)
    with pytest.raises(SourceError, match="fetch it again: dvc repro --force"):
        models.Base.pinned(Model(path="tiny.gguf", dtype="bfloat16"), pin)
    run_stage(stages.fetch_model, run)
    assert results.read(Path("data/models/tiny.json")) == pin

    cut(path, 0.5)
    with pytest.raises(Exception, match=r"models.tiny.path: tiny.gguf is cut"):
        run_stage(stages.check, Run())
