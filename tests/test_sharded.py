"""The files under launch/: accelerate reads them, and FSDP trains what one process does."""

import os
from pathlib import Path
from typing import Any

import pytest
from jobs import MakeJob, MakePrompts

from tunebench import models, training
from tunebench.config.schema import FullMethod, Model, PeftMethod, TuningMethod
from tunebench.training import launch

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
CONFIGS = sorted((ROOT / "launch").glob("*.yaml"))
ADAPTER = {"peft_type": "LORA", "r": 4, "target_modules": "all-linear"}
# trains copies of the model's own weights too
COPIED = ADAPTER | {"target_modules": ["q_proj"], "modules_to_save": ["norm", "lm_head"]}
# as the head of launch/fsdp_qlora.yaml has it
STORED_AS_FLOATS = {
    "load_in_4bit": True,
    "bnb_4bit_quant_type": "nf4",
    "bnb_4bit_use_double_quant": True,
    "bnb_4bit_compute_dtype": "bfloat16",
    "bnb_4bit_quant_storage": "bfloat16",
}


def test_accelerate_reads_each_config() -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    kinds = {}
    for path in CONFIGS:
        read = load_config_from_file(str(path))
        kinds[path.stem] = (str(read.distributed_type.value), read.mixed_precision)
    assert kinds == {
        "ddp": ("MULTI_GPU", "no"),
        "fsdp": ("FSDP", "no"),
        "fsdp_qlora": ("FSDP", "bf16"),
    }


@pytest.mark.parametrize(
    ("config", "dtype", "method", "settings", "precise_to"),
    [
        ("ddp", "float32", PeftMethod(kind="peft", adapter=ADAPTER), {"use_cpu": True}, 1e-5),
        ("ddp", "bfloat16", PeftMethod(kind="peft", adapter=COPIED), {"use_cpu": True}, 0.01),
        ("fsdp", "float32", FullMethod(kind="full"), {"save_strategy": "epoch"}, 1e-5),
        ("fsdp", "bfloat16", FullMethod(kind="full"), {"save_strategy": "epoch"}, 0.05),
        ("fsdp", "bfloat16", PeftMethod(kind="peft", adapter=COPIED), {}, 0.01),
        (
            "fsdp_qlora",
            "float32",
            PeftMethod(kind="peft", adapter=ADAPTER, quantization=STORED_AS_FLOATS),
            {"gradient_checkpointing": True},
            0.05,  # bfloat16 has 8 bits, and all of the model runs in it here
        ),
    ],
)
def test_config_trains_as_one_process_does(
    config: str,
    dtype: str,
    method: TuningMethod,
    settings: dict[str, Any],
    precise_to: float,
    tmp_path: Path,
    tiny: models.Base,
    make_job: MakeJob,
    make_prompts: MakePrompts,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if config.startswith("fsdp"):
        monkeypatch.setattr(launch, "COMMAND", [str(ROOT / "tests" / "cpu_as_gpu.py")])
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    settings_of = Model(path=str(tiny.folder), dtype=dtype)
    base = models.Base(tiny.folder, tiny.revision, settings_of)
    outcomes = {}
    for name, several in (
        ("one", {"use_cpu": True}),
        (
            "two",
            {"launch": {"num_processes": 2, "config": str(ROOT / "launch" / f"{config}.yaml")}},
        ),
    ):
        given = {"max_steps": 5, "per_device_train_batch_size": 4, "learning_rate": 1e-3}
        given |= {"logging_steps": 1, "save_strategy": "no", "use_cpu": False}
        job = make_job(
            name,
            base=base,
            method=method,
            settings=given | settings | several,
            prompts=make_prompts(18),
            output=tmp_path / name,
        )
        outcomes[name] = training.train(job)
    losses = {
        name: [entry["loss"] for entry in outcome.history] for name, outcome in outcomes.items()
    }
    assert len(losses["one"]) == 5
    assert losses["two"] == pytest.approx(losses["one"], rel=precise_to)
    written = {
        name: sorted(
            os.path.relpath(path, tmp_path / name) for path in (tmp_path / name).rglob("*")
        )
        for name in outcomes
    }
    assert written["two"] == written["one"]
    for name in ("parameters", "trainable_parameters", "adapter_bytes"):
        assert outcomes["two"].metrics[name] == outcomes["one"].metrics[name], name
    one, two = (weights(tmp_path / name) for name in outcomes)
    assert {name: weight.dtype for name, weight in two.items()} == {
        name: weight.dtype for name, weight in one.items()
    }
    assert all(bool(weight.any()) for weight in two.values())
    models.load(base, method, trained=tmp_path / "two")


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    (path,) = folder.glob("*.safetensors")
    return load_file(path)
