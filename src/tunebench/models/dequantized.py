"""A GGUF file as an ordinary model folder: dequantized once, into the Hugging Face cache."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunebench import results
from tunebench.data import gguf_header, pins
from tunebench.data.gguf_header import Header
from tunebench.errors import SourceError
from tunebench.models import built_in, gguf_cache, gguf_tokenizer
from tunebench.models.gguf_tokenizer import INSTEAD

if TYPE_CHECKING:
    from transformers import PreTrainedModel

logger = logging.getLogger(__name__)


def prepared(checked: dict[str, Any]) -> dict[str, Any]:
    """What the stage `check` wrote for a model; for a GGUF file, with its model folder, the files
    there and the revision.

    Raises:
        SourceError: if the file is damaged, or transformers cannot make the same model of it.
    """
    source = checked["source"]
    if "gguf" not in source:
        return checked
    (file,) = checked["files"].values()
    place = gguf_cache.folder(file["sha256"], source["dtype"])
    if not place.exists():
        logger.info("dequantizing %s, once, to %s", source["gguf"], place)
        with results.replacing_folder(place) as temporary:
            write(Path(source["gguf"]), temporary, gguf_cache.stored(source["dtype"]))
    made = {"folder": str(place), "files": pins.files(str(place)), "revision": file["sha256"]}
    return checked | made


def write(path: Path, output: Path, dtype: str) -> None:
    """Write a GGUF file's model and tokenizer, as transformers reads them, into a folder.

    Each weight is dequantized in float32, and rounded once to `dtype`.

    Raises:
        SourceError: if the file is damaged, or transformers would read another model.
    """
    header = gguf_header.read(path)
    _check_size(path, header)
    _check_rotary_scaling(path, header)
    tokenizer = gguf_tokenizer.load(path, header)
    model = _model(path, dtype)
    _check_all_is_read(path, header, model)
    for config in (model.config, model.generation_config):
        # transformers takes the ids of the architecture's first model, whatever the file says
        config.bos_token_id = tokenizer.bos_token_id
        config.eos_token_id = _end_ids(header, tokenizer.eos_token_id)
        config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(output)
    tokenizer.save_pretrained(output)
    _write_licence(output, header)


def _model(path: Path, dtype: str) -> PreTrainedModel:
    from transformers import AutoModelForCausalLM, GgufConfig
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    try:
        model = AutoModelForCausalLM.from_pretrained(
            path.parent,
            gguf_file=path.name,
            dtype=dtype,
            quantization_config=GgufConfig(dequantize=True),
            **built_in.SAFELY,
        )
    except Exception as error:  # of many kinds: an architecture, a tensor, a key that it lacks
        raise SourceError(
            f"{path}: transformers makes no model of it ({built_in.one_line(error)}); {INSTEAD}"
        ) from error
    # what is written is an ordinary model
    vars(model.config).pop("quantization_config", None)
    model.hf_quantizer, model.is_quantized = None, False
    return model


def _check_size(path: Path, header: Header) -> None:
    """Refuse a file that ends within a tensor."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    size = path.stat().st_size
    for name, tensor in header.tensors.items():
        if tensor.type not in set(GGMLQuantizationType):
            raise SourceError(f"{path}: {name} is of an unknown type ({tensor.type}); {INSTEAD}")
        elements, bytes_ = GGML_QUANT_SIZES[GGMLQuantizationType(tensor.type)]
        end = header.data_start + tensor.offset + math.prod(tensor.shape) // elements * bytes_
        if end > size:
            raise SourceError(
                f"{path} is cut within {name}: {size:,} bytes, not {end:,}; {gguf_header.AGAIN}"
            )


def _check_rotary_scaling(path: Path, header: Header) -> None:
    """Refuse scaled rotary embeddings, which transformers leaves out without a word."""
    scaling = header.metadata.get(f"{header.architecture}.rope.scaling.type", "none")
    factors = sorted(name for name in header.tensors if name.startswith("rope_f"))
    if scaling != "none" or factors:
        what = f"rope.scaling.type is {scaling!r}" if scaling != "none" else f"it has {factors[0]}"
        raise SourceError(
            f"{path}: {what}, a scaling of positions that is lost when transformers reads GGUF;"
            f" {INSTEAD}"
        )


def _check_all_is_read(path: Path, header: Header, model: PreTrainedModel) -> None:
    """Refuse a model with more or fewer numbers than the file: a tensor would be lost, or made up.

    A tied output layer is one tensor in both.
    """
    stated = sum(math.prod(tensor.shape) for tensor in header.tensors.values())
    read = sum(parameter.numel() for parameter in model.parameters())
    if stated != read:
        raise SourceError(
            f"{path} holds {stated:,} numbers, and the model that transformers makes of it"
            f" {read:,}; {INSTEAD}"
        )


def _end_ids(header: Header, eos: int | None) -> list[int] | int | None:
    """The ids that end an answer: the EOS token, and the end of a turn where it is another."""
    turn = header.metadata.get("tokenizer.ggml.eot_token_id")
    return eos if turn in (None, eos) else [id_ for id_ in (eos, turn) if id_ is not None]


def _write_licence(output: Path, header: Header) -> None:
    """The licence that the file states, where a model card has it."""
    if licence := header.metadata.get("general.license"):
        (output / "README.md").write_text(f"---\nlicense: {licence}\n---\n", encoding="utf-8")
