"""How large a model is, in all that memory and time depend on, without loading it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tunebench.config.schema import Model
from tunebench.data import gguf_header, model_files, pins
from tunebench.data.sources.fingerprints import digests
from tunebench.errors import SourceError
from tunebench.models import gguf_cache

# names of the same number in different architectures' config.json
NAMES = {
    "layers": ("num_hidden_layers", "n_layer", "num_layers"),
    "hidden": ("hidden_size", "n_embd", "d_model"),
    "intermediate": ("intermediate_size", "n_inner", "ffn_dim", "d_ff"),
    "heads": ("num_attention_heads", "n_head"),
    "kv_heads": ("num_key_value_heads",),
    "head_dim": ("head_dim",),
    "vocabulary": ("vocab_size",),
}
# of decoders without a config at hand: 12 × layers × hidden² weights, hidden = 128 × layers, as
# Llama-2-7B (32 and 4096) and Qwen2.5-14B (48 and 5120) nearly have
SHAPE = 128
IN_NAME = re.compile(r"(?<![\d.])(\d+(?:\.\d+)?)([bm])(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True)
class Size:
    """Numbers of a decoder: weights, and the widths of its layers.

    `embedding` are the weights of the embedding table, `head` those of a language-model head of its
    own (0 where it shares the table). `known_by` says from what: its files, its config.json, or its
    name.
    """

    parameters: int
    embedding: int
    head: int
    layers: int
    hidden: int
    intermediate: int
    query_width: int
    kv_width: int
    vocabulary: int
    context: int | None
    known_by: Literal["files", "config", "name"] = "files"

    @property
    def body(self) -> int:
        """Weights of the layers, which every token passes."""
        return self.parameters - self.embedding - self.head

    @property
    def linear_widths(self) -> dict[str, tuple[int, int]]:
        """Inputs and outputs of each linear module of a layer, by Llama's names for them."""
        hidden, inner = self.hidden, self.intermediate
        return {
            "q_proj": (hidden, self.query_width),
            "k_proj": (hidden, self.kv_width),
            "v_proj": (hidden, self.kv_width),
            "o_proj": (self.query_width, hidden),
            "gate_proj": (hidden, inner),
            "up_proj": (hidden, inner),
            "down_proj": (inner, hidden),
        }

    @property
    def linear_share(self) -> float:
        """The share of the layers' weights in all."""
        return self.body / self.parameters


def of(model: Model) -> Size | None:
    """A model's size by its files, its config.json in the cache, or its name; None if none says.

    Raises:
        SourceError: if its files are damaged.
    """
    path = Path(model.path or "")
    if path.suffix == gguf_header.SUFFIX and path.is_file():
        return _of_gguf(gguf_header.read(path))
    folder = folder_of(model, ("config.json",))
    if folder is not None:
        weights = sorted(folder.glob("*.safetensors"))
        if size := of_config(model_files.read(folder / "config.json"), _counted(weights)):
            return size
    return _of_name(path.name or str(model.hub))


def folder_of(
    model: Model, names: Sequence[str] = ("config.json", "tokenizer_config.json")
) -> Path | None:
    """The folder of a model that is on this machine; None without the named files."""
    if model.path is not None:
        folder = Path(model.path)
        if folder.suffix == gguf_header.SUFFIX and folder.is_file():
            folder = gguf_cache.folder(digests([folder])[folder], model.dtype)
        return folder if (folder / "config.json").exists() else None
    from huggingface_hub import try_to_load_from_cache

    for name in names:
        cached = try_to_load_from_cache(str(model.hub), name, revision=model.revision or "main")
        if not isinstance(cached, str):
            return None
    return Path(str(cached)).parent


def of_config(config: Mapping[str, Any], parameters: int = 0) -> Size | None:
    """The size that a config.json states; None if it lacks the widths.

    Args:
        parameters: as counted in its files; if 0, they are reckoned as those of a Llama.
    """
    text = {**config, **(config.get("text_config") or {})}
    values = {key: next((text[n] for n in names if text.get(n)), 0) for key, names in NAMES.items()}
    numbers = {key: value for key, value in values.items() if isinstance(value, int)}
    layers, hidden, heads = (numbers.get(key, 0) for key in ("layers", "hidden", "heads"))
    vocabulary = numbers.get("vocabulary", 0)
    if not (layers and hidden and vocabulary):
        return None
    head_dim = numbers.get("head_dim") or hidden // (heads or 1)
    query = (heads or 1) * head_dim
    kv = (numbers.get("kv_heads") or heads or 1) * head_dim
    inner = numbers.get("intermediate") or 4 * hidden
    embedding = vocabulary * hidden
    tied = text.get("tie_word_embeddings", False)
    body = layers * (2 * hidden * (query + kv) + 3 * hidden * inner)
    return Size(
        parameters=parameters or body + embedding * (1 if tied else 2),
        embedding=embedding,
        head=0 if tied else embedding,
        layers=layers,
        hidden=hidden,
        intermediate=inner,
        query_width=query,
        kv_width=kv,
        vocabulary=vocabulary,
        context=next((text[n] for n in pins.CONTEXT_FIELDS if text.get(n)), None),
        known_by="files" if parameters else "config",
    )


def _counted(weights: list[Path]) -> int:
    try:
        return model_files.parameters(weights)
    except SourceError:  # one that is being downloaded; `check` and `fetch_model` name the others
        return 0


def _of_gguf(header: gguf_header.Header) -> Size | None:
    """By llama.cpp's names for the same numbers."""

    def number(key: str) -> Any:
        return header.metadata.get(f"{header.architecture}.{key}")

    tensors = header.tensors
    table = tensors.get("token_embd.weight")
    config = {
        "num_hidden_layers": number("block_count"),
        "hidden_size": number("embedding_length"),
        "intermediate_size": number("feed_forward_length"),
        "num_attention_heads": number("attention.head_count"),
        "num_key_value_heads": number("attention.head_count_kv"),
        "head_dim": number("attention.key_length"),
        "max_position_embeddings": number("context_length"),
        "vocab_size": table.shape[1] if table else 0,
        "tie_word_embeddings": "output.weight" not in tensors,
    }
    counted = 0
    for tensor in tensors.values():
        numbers = 1
        for side in tensor.shape:
            numbers *= side
        counted += numbers
    return of_config(config, counted)


def _of_name(name: str) -> Size | None:
    """A size like `8b` or `135M` in a name, and the shape that decoders of it tend to have."""
    found = IN_NAME.search(name)
    if found is None:
        return None
    parameters = int(float(found[1]) * {"b": 1e9, "m": 1e6}[found[2].lower()])
    layers = max(1, round((parameters / (12 * SHAPE**2)) ** (1 / 3)))
    hidden = SHAPE * layers
    config = {
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "intermediate_size": 8 * hidden // 3,
        "num_attention_heads": layers,
        "vocab_size": 32_000 if parameters > 1e9 else 50_000,
        "tie_word_embeddings": parameters < 2e9,
    }
    size = of_config(config, parameters)
    return size and Size(**vars(size) | {"known_by": "name"})
