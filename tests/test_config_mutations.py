"""Random mutations of the valid parameter files: each loads, or is refused in one list of lines."""

import copy
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from projects import ROOT

from tunebench import config
from tunebench.config import machine, yaml_file
from tunebench.config.schema import Params
from tunebench.config.timed import TimedAnswers
from tunebench.data import checking
from tunebench.errors import ParameterError

FILES = [ROOT / "params.yaml", *sorted((ROOT / "studies").glob("*.yaml"))]
CONTENTS = [yaml_file.read(path) for path in FILES]
DRAWS = 2000

HOSTILE: list[Any] = [
    math.nan, math.inf, -math.inf, -1, 0, 1, 2, 3, -0.5, 0.5, 1.5, 1e300, 1e-300, 2**32, 2**40,
    2**64, -(2**70), True, False, None, "", " ", "x", "0", "-1", "nan", "1e-3", "cuda:9", "é" * 300,
    "a\nb", "\x00", "\ud800", "{", "}", "{}", "{text}", "{text!r}", "{text:>10}", "{text.x}",
    "'", '"', "../x", "auto", "no", "steps", "epoch", "best", "cosine", "linear", "none", "all",
    "greedy", "warmup_stable_decay", "paged_adamw_8bit", "galore_adamw", "flash_attention_2",
    "hf_abcdefghijklmnopqrstuvwx", "http://u:secretly@h", "momentum=x", [], {}, [0], [None], [[]],
    ["x"], [math.nan], [1, 2], {"x": 1}, {"x": {}}, {1: 2}, {"x": math.inf}, [{"x": []}],
]  # fmt: skip
KEYS = [
    "x", "", 1, "text", "label", "rows", "train", "tuning", "kind", "path", "hub", "url", "command",
    "api_key_env", "learning_rate", "optim", "optim_args", "lr_scheduler_type", "max_steps",
    "lr_scheduler_kwargs", "eval_strategy", "save_strategy", "num_train_epochs", "bf16", "fp16",
    "load_best_model_at_end", "hub_token", "push_to_hub", "report_to", "launch", "deepspeed",
    "debug", "accelerator_config", "torch_compile_backend", "gradient_checkpointing_kwargs",
    "max_new_tokens", "temperature", "do_sample", "num_beams", "bad_words_ids", "sequence_bias",
    "exponential_decay_length_penalty", "watermarking_config", "suppress_tokens", "early_stopping",
    "peft_type", "r", "lora_alpha", "lora_dropout", "rank_pattern", "init_lora_weights",
    "layers_to_transform", "target_modules", "modules_to_save", "quantization", "load_in_4bit",
    "load_in_8bit", "bnb_4bit_compute_dtype", "llm_int8_threshold", "search", "validation_rows",
    "shots", "label_names", "device_map", "attn_implementation", "variables", "objective",
]  # fmt: skip

places = st.integers(0, 10**6)
values = st.sampled_from(HOSTILE)
keys = st.sampled_from(KEYS)
mutations = st.one_of(
    st.tuples(st.just("replace"), places, values, values),
    st.tuples(st.just("delete"), places, values, values),
    st.tuples(st.just("rename"), places, keys, values),
    st.tuples(st.just("insert"), places, keys, values),
    st.tuples(st.just("duplicate"), places, places, values),
)


@pytest.fixture(autouse=True, scope="module")
def on_a_gpu() -> Iterator[None]:
    """Some studies are for a GPU, and would be refused elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "has_gpu", lambda: True)
        yield


def containers(node: Any) -> Iterator[tuple[Any, Any]]:
    """Each mapping or list with each of its keys."""
    for key in list(node) if isinstance(node, dict) else range(len(node)):
        yield node, key
        if isinstance(node[key], dict | list):
            yield from containers(node[key])


def mutate(content: Any, mutation: tuple[str, int, Any, Any]) -> None:
    kind, place, first, value = mutation
    spots = list(containers(content))
    if not spots:
        return
    node, key = spots[place % len(spots)]
    match kind:
        case "replace":
            node[key] = copy.deepcopy(first)
        case "delete":
            del node[key]
        case "rename" if isinstance(node, dict):
            node[first] = node.pop(key)
        case "insert" if isinstance(node, dict):
            node[first] = copy.deepcopy(value)
        case "insert":
            node.insert(key, copy.deepcopy(value))
        case "duplicate":
            other, name = spots[first % len(spots)]
            other[name] = copy.deepcopy(node[key])


def checked(content: Any) -> Params | None:
    """The parameters of a file that the stage `check` takes; None if it is refused."""
    path = Path("params.yaml")
    try:
        if lines := list(yaml_file.structural_faults(content)):
            raise ParameterError([f"{path}: {line}" for line in lines])
        params = config.checked(content, path)
        checking.check(params)
    except ParameterError as error:
        assert error.faults
        for line in error.faults:
            assert line.startswith("params.yaml: ")
            assert len(line.splitlines()) == 1, line
            assert "secretly" not in line
            assert "hf_abcdefgh" not in line
            assert "pydantic" not in line
        return None
    return params


def assert_usable(params: Params) -> None:
    """What later stages do with any parameters first."""
    dumped = params.model_dump(mode="json")
    json.dumps(dumped, allow_nan=False)
    for name in params.grid.datasets:
        TimedAnswers.of(params, name)
    assert 0 <= params.virtual_tokens <= 65536
    assert all(0 <= seed < 2**32 for seed in params.grid.seeds)


@settings(
    max_examples=DRAWS,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(st.integers(0, len(CONTENTS) - 1), st.lists(mutations, min_size=1, max_size=3))
def test_mutation_loads_or_is_refused(which: int, chosen: list[tuple[str, int, Any, Any]]) -> None:
    content = copy.deepcopy(CONTENTS[which])
    for mutation in chosen:
        mutate(content, mutation)
    params = checked(content)
    if params is not None:
        assert_usable(params)
