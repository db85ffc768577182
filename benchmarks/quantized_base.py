"""Load a quantized model from its base and from the copy that is kept of it, in one run:

    python benchmarks/quantized_base.py
    python benchmarks/quantized_base.py --hidden 4096 --layers 32     # 7 B parameters

Makes a Llama with random bfloat16 weights in a temporary folder. Prints one JSON line: its
parameters, the bytes of its weights and of the copy's files, the median seconds of reading and
quantizing the base, of the same with writing the copy, of loading the copy for the first time in a
project (which checks its hashes) and of loading it then, and how many times faster the last is;
`cpu_s` holds the processor's seconds, which other work on the machine stretches less. The files'
pages are in memory on both sides; from a slow disk the copy gains what it is smaller by.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import shutil
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from huggingface_hub import constants
from measure import machine
from transformers import AutoConfig, AutoModelForCausalLM, logging

from tunebench import models, quantized
from tunebench.config.schema import Model, PeftMethod


def main() -> None:
    """Measure both sides and print one line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hidden", type=int, default=1024)
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--quantization", default="nf4")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()

    with TemporaryDirectory() as folder:
        os.chdir(folder)  # data/fingerprints.json goes there
        constants.HF_HOME = folder
        quantized.LEAST_WEIGHTS_BYTES = 0
        print(json.dumps({"benchmark": "quantized_base", "machine": machine()} | measure(given)))


def measure(given: Any) -> dict[str, Any]:
    """Seconds of each way to load, the ways in turn; bytes of what is read."""
    base = Path("base").resolve()
    parameters = write_base(base, hidden=given.hidden, layers=given.layers)
    copies = Path("tunebench/quantized")
    ways = {"base": False, "base_and_write": True, "copy_first": True, "copy": True}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    cpu_s: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(given.repeats):
        shutil.rmtree(copies, ignore_errors=True)
        for way, quantized_copy in ways.items():
            cpu_started = time.process_time()
            seconds[way].append(loading(base, given.quantization, quantized_copy=quantized_copy))
            cpu_s[way].append(time.process_time() - cpu_started)
    medians = {way: statistics.median(found) for way, found in seconds.items()}
    return {
        "parameters": parameters,
        "quantization": given.quantization,
        "base_bytes": sum(path.stat().st_size for path in base.glob("*.safetensors")),
        "copy_bytes": sum(path.stat().st_size for path in copies.glob("*/*.safetensors")),
        **{f"{name}_s": round(median, 2) for name, median in medians.items()},
        "times_faster": round(medians["base"] / medians["copy"], 2),
        "cpu_s": {way: round(statistics.median(found), 2) for way, found in cpu_s.items()},
    }


def write_base(folder: Path, *, hidden: int, layers: int) -> int:
    """Write a random Llama in bfloat16; its number of parameters."""
    config = AutoConfig.for_model(
        "llama",
        hidden_size=hidden,
        intermediate_size=hidden * 11 // 4 // 64 * 64,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 64,
        vocab_size=32_000,
    )
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    return int(model.num_parameters())


def loading(folder: Path, quantization: Any, *, quantized_copy: bool) -> float:
    """Seconds to load a model, ready to train or to answer."""
    settings = Model(path=str(folder), dtype="bfloat16", quantized_copy=quantized_copy)
    base = models.Base(folder, "random", settings)
    adapter = {"peft_type": "LORA"}
    method = PeftMethod(kind="peft", quantization=quantization, adapter=adapter)
    gc.collect()
    started = time.perf_counter()
    model = models.load(base, method)
    # weights that are mapped from a file have been read only when they are looked at
    for weight in model.parameters():
        weight.data.view(-1).view(torch.uint8).max()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
