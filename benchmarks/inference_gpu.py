"""Decode with a Mistral-7B-shaped model of random weights on a CUDA GPU:

    python benchmarks/inference_gpu.py
    python benchmarks/inference_gpu.py --tiny     # a small shape on a CPU: does the script work?

It has not been run on a GPU yet: what is known of it is that `--tiny` runs.

In bfloat16 and in NF4, with a LoRA adapter attached and merged into plain weights, it writes 64
tokens behind 512 at batch sizes 1, 8 and 32. Prints one JSON line: tokens a second, seconds to the
first token and for each after it, peak memory, and the share of the memory-bandwidth bound that
decoding reaches: the time in which the GPU could copy what a step must read (all weights but the
input embeddings, and the keys and values so far) over the time that the step took. The bandwidth is
that of a copy, measured first. `loop` says whether our own loop or `model.generate` wrote.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import bitsandbytes
import torch
from measure import machine
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    GenerationConfig,
    MistralConfig,
    logging,
)
from transformers.integrations.bitsandbytes import dequantize_and_replace

from tunebench.answering import generation
from tunebench.models import memory
from tunebench.timing.clock import TokenClock, garbage_collection_off, now, timed

NF4 = BitsAndBytesConfig(
    load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True
)


@dataclass(frozen=True)
class Shape:
    """What is run: a model, requests, and the buffer that bandwidth is measured with."""

    device: str
    dtype: torch.dtype
    config: MistralConfig
    prompt_tokens: int
    new_tokens: int
    batch_sizes: tuple[int, ...]
    copied_bytes: int


def mistral_7b() -> Shape:
    """MistralConfig's own defaults are those of the 7B model."""
    return Shape("cuda", torch.bfloat16, MistralConfig(), 512, 64, (1, 8, 32), 2**30)


def tiny() -> Shape:
    """Small enough for any CPU; NF4 takes 64 weights at a time."""
    config = MistralConfig(
        vocab_size=256, hidden_size=128, intermediate_size=256, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2,
    )  # fmt: skip
    return Shape("cpu", torch.float32, config, 32, 8, (1, 2), 2**22)


def main() -> None:
    """Measure each form of the model and print one line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiny", action="store_true", help="a small shape, on a CPU")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    if not given.tiny and not torch.cuda.is_available():
        sys.exit("this benchmark needs a CUDA GPU, and torch sees none; --tiny runs on a CPU")
    logging.set_verbosity_error()
    shape = tiny() if given.tiny else mistral_7b()
    bandwidth = copy_bandwidth(shape)
    full = str(shape.dtype).removeprefix("torch.")
    forms = {
        # nobody keeps a model, so that the next has its memory
        f"{full if weights is base else 'nf4'}_{form.__name__}": list(
            measure(form(weights, shape), shape, bandwidth, given.repeats)
        )
        for weights in (base, quantized)
        for form in (attached, merged)
    }
    about = {
        "benchmark": "inference_gpu",
        "machine": machine(),
        "tiny": given.tiny,
        "prompt_tokens": shape.prompt_tokens,
        "new_tokens": shape.new_tokens,
        "copy_bytes_per_s": round(bandwidth),
    }
    print(json.dumps(about | forms))


def attached(weights: Callable[[Shape], Any], shape: Shape) -> Any:
    """An adapter beside the weights."""
    return with_adapter(weights(shape))


def merged(weights: Callable[[Shape], Any], shape: Shape) -> Any:
    """An adapter in plain weights; NF4 ones are dequantized first."""
    model = weights(shape)
    if weights is quantized:
        model = dequantize_and_replace(model, NF4, dtype=shape.dtype)
    return with_adapter(model).merge_and_unload()


def base(shape: Shape) -> Any:
    """A model of random weights, made on the device."""
    gc.collect()
    if shape.device == "cuda":
        torch.cuda.empty_cache()
    torch.manual_seed(0)
    with torch.device(shape.device):
        return AutoModelForCausalLM.from_config(shape.config, dtype=shape.dtype).eval()


def quantized(shape: Shape) -> Any:
    """Each linear layer but the last in bitsandbytes' NF4, as `from_pretrained` would have it."""
    model = base(shape)
    for name, module in list(model.named_modules()):
        if not isinstance(module, torch.nn.Linear) or name == "lm_head":
            continue
        layer = bitsandbytes.nn.Linear4bit(
            module.in_features, module.out_features, bias=False, compute_dtype=shape.dtype,
            quant_type="nf4", device="meta",
        )  # fmt: skip
        layer.weight = bitsandbytes.nn.Params4bit(
            module.weight.data, requires_grad=False, quant_type="nf4", compress_statistics=True
        ).to(shape.device)
        model.set_submodule(name, layer)
    return model


def with_adapter(model: Any) -> Any:
    """LoRA on queries and values, its weights drawn, so that it does something."""
    config = LoraConfig(r=8, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    return get_peft_model(model, config).eval()


def copy_bandwidth(shape: Shape) -> float:
    """Bytes read and written a second by a copy on the device, the median of twenty."""
    source = torch.ones(shape.copied_bytes, dtype=torch.uint8, device=shape.device)
    target = torch.empty_like(source)
    seconds = [timed(lambda: target.copy_(source))[0] for _ in range(23)]
    return 2 * shape.copied_bytes / statistics.median(seconds[3:])


def measure(
    model: Any, shape: Shape, bandwidth: float, repeats: int
) -> Iterator[dict[str, float | int | str]]:
    """The medians at each batch size."""
    options = {"do_sample": False, "max_new_tokens": shape.new_tokens}
    model.generation_config = GenerationConfig(**options, pad_token_id=0)
    dice = torch.Generator().manual_seed(0)
    rows = torch.randint(
        shape.config.vocab_size, (max(shape.batch_sizes), shape.prompt_tokens), generator=dice
    ).tolist()
    write = generation.fastest_writer(model, 0, rows, options, share=False)
    clock = TokenClock(model)
    for size in shape.batch_sizes:
        memory.reset_peak()
        found = []
        with garbage_collection_off(), clock:
            for _ in range(repeats + 1):  # the first warms up
                clock.moments = []
                started = now()
                write(rows[:size])
                ended = now()
                first, last = clock.moments[0], clock.moments[-1]
                step = (last - first) / (shape.new_tokens - 1)
                found.append((ended - started, first - started, step))
        whole, first_token, step = map(statistics.median, zip(*found[1:], strict=True))
        yield {
            "batch_size": size,
            "loop": "own" if write.__name__ == "fast" else "generate",
            "tokens_per_s": round(size * shape.new_tokens / whole, 1),
            "time_to_first_token_s": round(first_token, 5),
            "time_per_output_token_s": round(step, 6),
            "bandwidth_share": round(read_bytes(model, shape, size) / bandwidth / step, 4),
            "peak_memory_bytes": memory.peak_bytes(),
        }


def read_bytes(model: Any, shape: Shape, batch_size: int) -> int:
    """What a step in the middle of decoding reads: weights once, keys and values of each row."""
    weights = sum(tensor.nbytes for tensor in model.state_dict().values())
    embedded = model.get_input_embeddings().weight.nbytes  # a step looks up a few rows of it
    config = shape.config
    width = config.num_key_value_heads * (config.hidden_size // config.num_attention_heads)
    tokens = shape.prompt_tokens + shape.new_tokens // 2
    kept = 2 * config.num_hidden_layers * width * shape.dtype.itemsize * tokens * batch_size
    return int(weights - embedded + kept)


if __name__ == "__main__":
    main()
