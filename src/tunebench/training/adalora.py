"""AdaLoRA's allocation of ranks to matrices (arXiv 2303.10512), which PEFT leaves to its caller."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from tunebench.errors import TrainingError
from tunebench.models.adapters import STEPS_UNKNOWN

FILE = "ranks.safetensors"
AVERAGES = ("exp_avg_ipt", "exp_avg_unc")  # importance of each weight, and its uncertainty


def allocates_ranks(model: Any) -> bool:
    """Whether a model's adapter reallocates ranks during training."""
    return hasattr(getattr(model, "base_model", None), "rankallocator")


class AllocateRanks(TrainerCallback):  # type: ignore[misc]
    """Reallocates ranks after each step, and saves the allocator's state with each checkpoint.

    Pruned ranks stay in the files as zeros: PEFT would write smaller matrices, which a resumed run
    could not load into the model.
    """

    def __init__(self, name: str, model: Any) -> None:
        self._name, self._tuner = name, model.base_model
        (self._adapter,) = self._tuner.peft_config
        self._config = self._tuner.peft_config[self._adapter]
        self._ranks: dict[str, list[bool]] | None = None

    def on_train_begin(self, args: Any, state: Any, _control: Any, **_: Any) -> None:
        """Set the schedule to the run's number of steps, and restore the state of a checkpoint.

        Raises:
            TrainingError: if the schedule leaves no step to reallocate in, or no rank to prune.
        """
        config = self._config
        if config.total_step == STEPS_UNKNOWN:
            config.total_step = state.max_steps
        if config.tinit >= config.total_step - config.tfinal:
            raise TrainingError(
                f"{self._name}: adapter: tinit ({config.tinit}) and tfinal ({config.tfinal}) leave"
                f" none of {config.total_step} steps to share out ranks; lower them"
            )
        if config.target_r >= config.init_r:
            raise TrainingError(
                f"{self._name}: adapter: target_r ({config.target_r}) is no less than init_r"
                f" ({config.init_r}): no rank would be taken away; lower it, or use LORA"
            )
        if state.global_step:
            self._restore(_checkpoint(args, state))

    def on_optimizer_step(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        """Reallocate ranks; called before the step's gradients are cleared."""
        self._config.rank_pattern = self._ranks
        self._tuner.update_and_allocate(state.global_step)
        self._ranks, self._config.rank_pattern = self._config.rank_pattern, None

    def on_save(self, args: Any, state: Any, _control: Any, **_: Any) -> None:
        """Write the allocator's state."""
        from safetensors.torch import save_file

        if state.is_world_process_zero:
            tensors = {
                f"{kind}/{name}": tensor.contiguous()
                for kind in AVERAGES
                for name, tensor in getattr(self._tuner.rankallocator, kind).items()
            }
            save_file(tensors, _checkpoint(args, state) / FILE, {"ranks": json.dumps(self._ranks)})

    def _restore(self, checkpoint: Path) -> None:
        from safetensors import safe_open

        allocator = self._tuner.rankallocator
        with safe_open(checkpoint / FILE, "pt", device=str(self._tuner.model.device)) as file:
            self._ranks = json.loads(file.metadata()["ranks"])
            for key in file.keys():  # noqa: SIM118 - no mapping
                kind, _, name = key.partition("/")
                getattr(allocator, kind)[name] = file.get_tensor(key)
                allocator.ipt[name] = None  # only the key matters: the next step sets the value


def _checkpoint(args: Any, state: Any) -> Path:
    return Path(args.output_dir) / f"checkpoint-{state.global_step}"
