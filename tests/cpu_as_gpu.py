"""A training process in which accelerate, which has FSDP for GPUs only, takes the CPU for one."""

import os
from pathlib import Path

from accelerate import DistributedType, PartialState
from transformers import training_args

from tunebench.quiet import calm_libraries
from tunebench.training import process, worker

if __name__ == "__main__":
    os.environ["ACCELERATE_TORCH_DEVICE"] = "cpu"
    PartialState._prepare_backend = lambda *_: ("gloo", DistributedType.MULTI_GPU)
    training_args.is_torch_bf16_gpu_available = lambda: True
    calm_libraries()
    worker.main(Path(os.environ[process.FOLDER]))
