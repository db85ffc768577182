"""Quantized weights are made once, and a copy of them answers as they do, to the bit."""

import dataclasses
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from tunebench import models, quantized
from tunebench.config.schema import Model, PeftMethod

SOURCE = Path(__file__).parents[1] / "src"
LORA = {"peft_type": "LORA", "r": 4, "lora_dropout": 0.1, "target_modules": "all-linear"}
NF4 = PeftMethod(kind="peft", quantization="nf4", adapter=LORA)
QUANTIZATIONS: dict[str, Any] = {
    "nf4": "nf4",
    "fp4": "fp4",
    "int8": "int8",
    "single": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
    "bfloat16 storage": {"load_in_4bit": True, "bnb_4bit_quant_storage": "bfloat16"},
}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": {"tie_word_embeddings": False},
    "tied llama": {"tie_word_embeddings": True},
    "gpt_neox": {},
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where copies go: a Hugging Face home of the test's own, where no model is too small."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setattr(quantized, "LEAST_WEIGHTS_BYTES", 0)
    return tmp_path / "hf" / "tunebench" / "quantized"


@pytest.fixture
def base(tiny: models.Base, tmp_path: Path) -> models.Base:
    """The tiny model in a folder that a test may break."""
    folder = tmp_path / "base"
    shutil.copytree(tiny.folder, folder)
    return dataclasses.replace(tiny, folder=folder)


def copies(cache: Path) -> list[Path]:
    """Finished copies; nothing else but their locks may lie beside them."""
    found = [path for path in cache.iterdir() if path.suffix != ".lock"] if cache.exists() else []
    assert all((path / quantized.RECORD).exists() for path in found)
    return found


def only(cache: Path) -> Path:
    (copy,) = copies(cache)
    return copy


def without_copy(base: models.Base) -> models.Base:
    settings = base.settings.model_copy(update={"quantized_copy": False})
    return dataclasses.replace(base, settings=settings)


def logits(model: PreTrainedModel) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.eval()(torch.arange(3, 40)[None]).logits
    return found


def bits(model: PreTrainedModel) -> dict[str, tuple[torch.dtype, bytes]]:
    return {
        name: (tensor.dtype, tensor.contiguous().view(torch.uint8).numpy().tobytes())
        for name, tensor in model.state_dict().items()
        if tensor.dim()
    }


def spoil_base(base: models.Base) -> None:
    """Leave no weights to load; models that are loaded keep theirs, which may be mapped."""
    weights = base.folder / "model.safetensors"
    weights.unlink()
    weights.write_bytes(b"no weights")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("quantization", QUANTIZATIONS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_copy_is_the_same_model(
    architecture: str, quantization: str, dtype: str, tmp_path: Path, cache: Path
) -> None:
    config = AutoConfig.for_model(
        architecture.split()[-1],
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=2,
        vocab_size=340,
        **ARCHITECTURES[architecture],
    )
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).bfloat16().save_pretrained(tmp_path / "random")
    settings = Model.model_validate({"path": str(tmp_path / "random"), "dtype": dtype})
    base = models.Base(tmp_path / "random", "1" * 40, settings)
    method = PeftMethod(kind="peft", quantization=QUANTIZATIONS[quantization], adapter=LORA)

    def loaded(base: models.Base) -> PreTrainedModel:
        torch.manual_seed(0)
        return models.load(base, method)

    plain = loaded(without_copy(base))
    assert copies(cache) == []
    first = loaded(base)
    spoil_base(base)
    again = loaded(base)
    assert len(copies(cache)) == 1
    assert bits(plain) == bits(first) == bits(again)
    for other in (first, again):
        assert torch.equal(logits(other), logits(plain))
        assert other.config.to_dict() == plain.config.to_dict()
        assert other.generation_config.to_dict() == plain.generation_config.to_dict()
        assert other.dtype == plain.dtype == getattr(torch, dtype)
        head = other.get_output_embeddings().weight
        tied = head is other.get_input_embeddings().weight
        assert tied is (architecture == "tied llama")


@pytest.mark.parametrize("quantization", ["nf4", "int8"])
def test_adapters_on_a_copy_train_alike(
    quantization: str, base: models.Base, cache: Path, tmp_path: Path
) -> None:
    method = NF4.model_copy(update={"quantization": quantization})
    ids = torch.arange(3, 40)[None]

    def trained(base: models.Base, name: str) -> dict[str, bytes]:
        torch.manual_seed(0)
        model = models.with_adapter(models.load(base, method), method, {}).train()
        optimizer = torch.optim.AdamW(
            [weight for weight in model.parameters() if weight.requires_grad], lr=0.01
        )
        for _ in range(3):
            model(ids, labels=ids).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        model.save_pretrained(tmp_path / name)
        return {path.name: path.read_bytes() for path in sorted((tmp_path / name).iterdir())}

    plain = trained(without_copy(base), "plain")
    assert "adapter_model.safetensors" in plain
    assert "adapter_config.json" in plain  # which names the base, not the copy
    assert trained(base, "first") == plain
    spoil_base(base)
    assert trained(base, "again") == plain


def test_a_copy_says_what_it_is(base: models.Base, cache: Path) -> None:
    models.load(base, NF4)
    record = json.loads((only(cache) / quantized.RECORD).read_text())
    assert record["base"] == str(base.folder)
    assert record["made_from"]["revision"] == base.revision
    assert record["made_from"]["quantization"]["bnb_4bit_quant_type"] == "nf4"
    assert {"model.safetensors", "config.json"} <= set(record["files"])
    for name, file in record["files"].items():
        content = (only(cache) / name).read_bytes()
        assert file == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def changed_settings(base: models.Base, **changed: str) -> models.Base:
    return dataclasses.replace(base, settings=base.settings.model_copy(update=changed))


OTHERS: dict[str, Callable[[models.Base], tuple[models.Base, PeftMethod]]] = {
    "revision": lambda base: (dataclasses.replace(base, revision="2" * 40), NF4),
    "dtype": lambda base: (changed_settings(base, dtype="bfloat16"), NF4),
    "quantization": lambda base: (base, NF4.model_copy(update={"quantization": "fp4"})),
}


@pytest.mark.parametrize("what", OTHERS)
def test_what_differs_has_a_copy_of_its_own(what: str, base: models.Base, cache: Path) -> None:
    models.load(base, NF4)
    models.load(*OTHERS[what](base))
    assert len(copies(cache)) == 2


def test_other_library_versions_have_a_copy_of_their_own(
    base: models.Base, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models.load(base, NF4)
    monkeypatch.setattr(quantized, "version", lambda name: "0.0")
    models.load(base, NF4)
    assert len(copies(cache)) == 2


def cut(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", quantized.RECORD])
@pytest.mark.parametrize("damage", [cut, flip, Path.unlink])
def test_a_damaged_copy_is_made_again(
    name: str,
    damage: Callable[[Path], None],
    base: models.Base,
    cache: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    expected = logits(models.load(base, NF4))
    whole = {path.name: path.read_bytes() for path in only(cache).iterdir()}
    damage(only(cache) / name)
    capsys.readouterr()
    assert torch.equal(logits(models.load(base, NF4)), expected)
    assert "was damaged; it is made again" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in only(cache).iterdir()} == whole


Usage = namedtuple("Usage", "total used free")


def test_no_room(
    base: models.Base,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**9, 10**9 - 1000, 1000))
    found = logits(models.load(base, NF4))
    assert copies(cache) == []
    told = capsys.readouterr().err
    assert "no quantized copy is kept" in told
    assert "GB" in told
    assert torch.equal(found, logits(models.load(without_copy(base), NF4)))


def test_a_cache_that_cannot_be_written(
    base: models.Base, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "hf").write_text("a file where the folder should be")
    found = logits(models.load(base, NF4))
    assert "no quantized copy is kept" in capsys.readouterr().err
    assert torch.equal(found, logits(models.load(without_copy(base), NF4)))


def test_a_disk_that_fills_up_in_the_middle(
    base: models.Base,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fill(self: PreTrainedModel, folder: Path, **options: Any) -> None:
        (folder / "model.safetensors").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(PreTrainedModel, "save_pretrained", fill)
    assert logits(models.load(base, NF4)).isfinite().all()
    assert copies(cache) == []
    assert "No space left on device" in capsys.readouterr().err


def test_small_models_have_none(
    base: models.Base, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights_bytes = (base.folder / "model.safetensors").stat().st_size
    monkeypatch.setattr(quantized, "LEAST_WEIGHTS_BYTES", weights_bytes + 1)
    models.load(base, NF4)
    assert copies(cache) == []
    monkeypatch.setattr(quantized, "LEAST_WEIGHTS_BYTES", weights_bytes)
    models.load(base, NF4)
    assert len(copies(cache)) == 1


def test_a_base_without_a_revision_has_none(base: models.Base, cache: Path) -> None:
    models.load(dataclasses.replace(base, revision=""), NF4)
    assert copies(cache) == []


def test_of_several_processes_the_first_writes(
    base: models.Base, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.distributed.mixin._get_torch_distributed_rank", lambda: 1)
    monkeypatch.setattr(
        "transformers.distributed.mixin._is_torch_distributed_initialized", lambda: True
    )
    models.load(base, NF4)
    assert copies(cache) == []


@pytest.mark.parametrize("name", ["llm_int8_enable_fp32_cpu_offload", "llm_int8_has_fp16_weight"])
def test_weights_that_bitsandbytes_cannot_read_back_have_none(
    name: str, base: models.Base, cache: Path
) -> None:
    settings = {"load_in_8bit": True, name: True}
    models.load(base, NF4.model_copy(update={"quantization": settings}))
    assert copies(cache) == []


def test_provenance_does_not_tell_whether_there_was_a_copy(base: models.Base) -> None:
    assert without_copy(base).described() == base.described()


# loads the model and says so; given `pause`, it stops within its copy's first file
CHILD = """
import sys
from pathlib import Path
import safetensors.torch, transformers.modeling_utils as library
from tunebench import models, quantized
from tunebench.config.schema import Model, PeftMethod

quantized.LEAST_WEIGHTS_BYTES, quantized.SHARD_BYTES = 0, 20_000
write = library.safe_save_file

def pausing(tensors, path, metadata=None):
    write(tensors, path, metadata=metadata)
    if "pause" in sys.argv:
        sys.argv.remove("pause")
        print("writing", flush=True)
        sys.stdin.readline()

library.safe_save_file = pausing
method = PeftMethod.model_validate_json(sys.argv[3])
base = models.Base(Path(sys.argv[1]), sys.argv[2], Model(path=sys.argv[1]))
models.load(base, method)
print("loaded", flush=True)
"""


def start(base: models.Base, tmp_path: Path) -> "subprocess.Popen[str]":
    """A process that has begun to write a copy, and waits."""
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, base.folder, base.revision, NF4.model_dump_json(), "pause"],
        env=os.environ | {"HF_HOME": str(tmp_path / "hf"), "PYTHONPATH": str(SOURCE)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    return process


def test_killed_while_writing(base: models.Base, cache: Path, tmp_path: Path) -> None:
    process = start(base, tmp_path)
    (half,) = cache.glob(".*.tmp")
    assert len(list(half.glob("*.safetensors"))) == 1
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert half.exists()
    expected = logits(models.load(without_copy(base), NF4))
    assert torch.equal(logits(models.load(base, NF4)), expected)
    assert not half.exists()
    spoil_base(base)
    assert torch.equal(logits(models.load(base, NF4)), expected)
    assert len(copies(cache)) == 1


def test_two_at_once(base: models.Base, cache: Path, tmp_path: Path) -> None:
    process = start(base, tmp_path)
    found = logits(models.load(base, NF4))  # it waits for nobody, and disturbs nobody
    assert list(cache.glob(".*.tmp")) != []
    told, _ = process.communicate("\n")
    assert told == "loaded\n"
    assert process.returncode == 0
    spoil_base(base)
    assert len(list(only(cache).glob("model-*.safetensors"))) > 1
    assert torch.equal(logits(models.load(base, NF4)), found)
