"""A base model with quantized weights, made once and kept beside the Hugging Face cache.

Every stage of a quantized method starts from the same weights. The first one reads the base and
quantizes it, and keeps what came out in bitsandbytes' own serialization; the others load that.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunebench import results
from tunebench.sources.fingerprints import digests

if TYPE_CHECKING:
    from transformers import BitsAndBytesConfig, PreTrainedModel

# NF4 takes about 12 s of one core for 1 GB of bfloat16; a smaller copy would only fill the cache
LEAST_WEIGHTS_BYTES = 10**9
# safetensors holds all tensors of a file in the processor's memory while it writes them
SHARD_BYTES = 4 * 10**9
# what quantized values and their serialization depend on; torch computes them on a CPU
LIBRARIES = ("bitsandbytes", "transformers", "torch")
RECORD = "quantized.json"


def load(
    folder: Path,
    *,
    revision: str,
    config: BitsAndBytesConfig,
    options: Mapping[str, Any],
    use_copy: bool,
) -> PreTrainedModel:
    """The model of a folder, quantized: bit for bit the same with a copy as without.

    Args:
        revision: the base's commit, or a hash of its files; without one there is no copy.
        options: what else `from_pretrained` is given.
        use_copy: load the copy that an earlier call left, or leave one. Nothing that is wrong with
            a copy, or keeps it from being written, raises.
    """
    from transformers import AutoModelForCausalLM

    made_from = _made_from(revision, config, options)
    copy = _place(made_from)
    use_copy = use_copy and bool(revision) and _pays(folder) and _serializable(config)
    if use_copy and _is_whole(copy, made_from):
        model = AutoModelForCausalLM.from_pretrained(copy, **options)
        # PEFT writes it into an adapter's configuration
        model.name_or_path = model.config.name_or_path = str(folder)
        return model
    model = AutoModelForCausalLM.from_pretrained(folder, quantization_config=config, **options)
    # among several processes transformers writes in the first only
    if use_copy and model.should_save_on_this_rank(is_main_process=True):
        _keep(model, copy, made_from)
    return model


def _made_from(
    revision: str, config: BitsAndBytesConfig, options: Mapping[str, Any]
) -> dict[str, Any]:
    """All that a copy's bits depend on."""
    import torch

    return {
        "revision": revision,
        "dtype": options["dtype"],
        # through JSON, so that it equals what a record says
        "quantization": json.loads(config.to_json_string(use_diff=False)),
        # a GPU may round otherwise than a processor
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        "device_map": options["device_map"],
        "libraries": {name: version(name) for name in LIBRARIES},
    }


def _place(made_from: Mapping[str, Any]) -> Path:
    from huggingface_hub import constants

    key = hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()[:16]
    return Path(constants.HF_HOME) / "tunebench" / "quantized" / key


def _pays(folder: Path) -> bool:
    """Whether a base is large, and not quantized by those who published it."""
    weights_bytes = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    settings = json.loads((folder / "config.json").read_text("utf-8"))
    return weights_bytes >= LEAST_WEIGHTS_BYTES and "quantization_config" not in settings


def _serializable(config: BitsAndBytesConfig) -> bool:
    """Whether bitsandbytes reads back what it wrote: not where some weights stay as they were."""
    return not (config.llm_int8_has_fp16_weight or config.llm_int8_enable_fp32_cpu_offload)


def _is_whole(copy: Path, made_from: Mapping[str, Any]) -> bool:
    """Whether a copy is there, each file as it was written; hashed anew where one has changed."""
    try:
        record = json.loads((copy / RECORD).read_text("utf-8"))
        wanted = {copy / name: file["sha256"] for name, file in record["files"].items()}
        return bool(record["made_from"] == made_from and digests(wanted) == wanted)
    except (OSError, ValueError, KeyError):
        return False


def _keep(model: PreTrainedModel, copy: Path, made_from: Mapping[str, Any]) -> None:
    """Write a copy, whole or not at all, unless another process is at it."""
    from filelock import FileLock, Timeout
    from safetensors import SafetensorError

    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        # the lock falls with its process, however that ends; the model at hand needs no waiting
        with FileLock(copy.with_name(f"{copy.name}.lock"), timeout=0):
            for left in copy.parent.glob(f".{copy.name}.*"):  # by a process that was killed
                shutil.rmtree(left)
            if not _is_whole(copy, made_from):  # another may have made it since
                _write(model, copy, made_from)
    except Timeout:
        return
    # whatever refuses (a full or read-only disk, a model that transformers cannot serialize), the
    # model itself is as good as ever
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        _say(f"{copy}: no quantized copy is kept, each stage quantizes anew: {error}")


def _write(model: PreTrainedModel, copy: Path, made_from: Mapping[str, Any]) -> None:
    if copy.exists():
        _say(f"{copy}: this quantized copy was damaged; it is made again")
    needed = sum(tensor.nbytes for tensor in model.state_dict().values())
    free = shutil.disk_usage(copy.parent).free
    if free < 2 * needed:  # checkpoints and the cache itself may want that disk too
        raise OSError(
            f"it takes {needed / 1e9:.1f} GB, and of the {free / 1e9:.1f} GB that are free half is"
            " left to others"
        )
    with results.replacing_folder(copy) as temporary:
        model.save_pretrained(temporary, max_shard_size=SHARD_BYTES)
        record = {
            "base": model.name_or_path,
            "made_from": made_from,
            "files": {path.name: _described(path) for path in sorted(temporary.iterdir())},
        }
        results.write(temporary / RECORD, record)
    _say(f"{copy}: keeps the quantized weights for other stages, {needed / 1e9:.1f} GB")


def _described(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}


def _say(line: str) -> None:
    print(line, file=sys.stderr)
