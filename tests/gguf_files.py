"""GGUF files made from a model's folder, as llama.cpp's converter writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from safetensors.numpy import load_file
from transformers import AutoTokenizer

# by the end of a tensor's name in the folder: its name in a GGUF file
NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}  # fmt: skip


def write(
    folder: Path,
    path: Path,
    *,
    split: str | None = "gpt-2",
    quantized: gguf.GGMLQuantizationType | None = None,
    weights: bool = True,
    architecture: str = "llama",
    extra: dict[str, np.ndarray] | None = None,
    **stated: Any,
) -> Path:
    """Write a folder's model and tokenizer as a GGUF file.

    Args:
        split: `tokenizer.ggml.pre`; None for a SentencePiece vocabulary.
        quantized: how matrices are quantized; left out, they are float32.
        weights: False for one small tensor in place of them.
        extra: more tensors.
        stated: more metadata that are strings or integers, dots written as two underscores.
    """
    writer = gguf.GGUFWriter(path, architecture)
    _tokenizer(writer, folder, split)
    config = json.loads((folder / "config.json").read_text()) if weights else {}
    heads = config.get("num_attention_heads", 1)
    writer.add_block_count(config.get("num_hidden_layers", 1))
    writer.add_context_length(config.get("max_position_embeddings", 128))
    writer.add_embedding_length(config.get("hidden_size", 32))
    writer.add_feed_forward_length(config.get("intermediate_size", 32))
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads", heads))
    writer.add_layer_norm_rms_eps(config.get("rms_norm_eps", 1e-5))
    writer.add_rope_freq_base(_theta(config))
    writer.add_rope_dimension_count(config.get("hidden_size", 32) // heads)
    for key, value in stated.items():
        add = writer.add_uint32 if isinstance(value, int) else writer.add_string
        add(key.replace("__", "."), value)
    tensors = _weights(folder, config) if weights else {"token_embd.weight": np.zeros((2, 32), "f")}
    for name, values in (tensors | (extra or {})).items():
        if quantized is not None and values.ndim == 2:
            data = gguf.quantize(values, quantized)
            writer.add_tensor(name, data, raw_dtype=quantized)
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _theta(config: dict[str, Any]) -> float:
    return float((config.get("rope_parameters") or config).get("rope_theta", 10_000.0))


def _weights(folder: Path, config: dict[str, Any]) -> dict[str, np.ndarray]:
    heads = config["num_attention_heads"]
    rows = {"attn_q": heads, "attn_k": config.get("num_key_value_heads", heads)}
    tensors = {}
    for name, values in load_file(folder / "model.safetensors").items():
        values = values.astype(np.float32)
        if name.startswith("model.layers."):
            number, end = name.removeprefix("model.layers.").removesuffix(".weight").split(".", 1)
            kind = NAMES[end]
            if kind in rows:  # llama.cpp pairs the halves of each head that rotate together
                halves = values.reshape(rows[kind], 2, -1, values.shape[1])
                values = halves.swapaxes(1, 2).reshape(values.shape)
            tensors[f"blk.{number}.{kind}.weight"] = values
        else:
            names = {"model.embed_tokens": "token_embd", "model.norm": "output_norm"}
            tensors[f"{names.get(name.removesuffix('.weight'), 'output')}.weight"] = values
    return tensors


def _tokenizer(writer: gguf.GGUFWriter, folder: Path, split: str | None) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    described = json.loads(tokenizer.backend_tokenizer.to_str())
    ids = tokenizer.get_vocab()
    tokens = [f"[PAD{index}]" for index in range(max(ids.values()) + 1)]
    types = [gguf.TokenType.UNUSED] * len(tokens)
    added = {token["id"]: token["special"] for token in described["added_tokens"]}
    for token, id_ in ids.items():
        tokens[id_] = token
        types[id_] = _type(token, added.get(id_), byte_level=split is not None)
    writer.add_tokenizer_model("llama" if split is None else "gpt2")
    writer.add_tokenizer_pre(split or "default")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    merges = described["model"]["merges"]
    if split is None:  # a piece's score is the rank of its merge
        ranks = {"".join(pair): rank for rank, pair in reversed(list(enumerate(merges)))}
        writer.add_token_scores([-float(ranks.get(token, len(merges))) for token in tokens])
    else:
        writer.add_token_merges([" ".join(pair) for pair in merges])
    for name in ("bos", "eos", "unk", "pad"):
        id_ = getattr(tokenizer, f"{name}_token_id")
        if id_ is not None:
            getattr(writer, f"add_{name}_token_id")(id_)
    begins = tokenizer("a").input_ids[0] == tokenizer.bos_token_id
    writer.add_add_bos_token(begins)
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)


def _type(token: str, special: bool | None, *, byte_level: bool) -> gguf.TokenType:
    if not byte_level and token == "<unk>":
        return gguf.TokenType.UNKNOWN
    if special is not None:
        return gguf.TokenType.CONTROL if special else gguf.TokenType.USER_DEFINED
    if not byte_level and token.startswith("<0x") and len(token) == len("<0x00>"):
        return gguf.TokenType.BYTE
    return gguf.TokenType.NORMAL
