"""What the tests of training share: a job's defaults, and how weights and gradients compare."""

import hashlib
from collections.abc import Callable
from typing import Any

from tunebench.prompts import Prompt
from tunebench.training import Job

MakeJob = Callable[..., Job]
MakePrompts = Callable[..., list[Prompt]]

LORA = {"peft_type": "LORA", "r": 4, "target_modules": ["q_proj", "v_proj"]}
SETTINGS = {
    "max_steps": 2,
    "per_device_train_batch_size": 4,
    "learning_rate": 0.02,
    "logging_steps": 1,
    "save_strategy": "no",
}


def digest(job: Job) -> str:
    """Of the weights that the job has left."""
    (path,) = job.output.glob("*.safetensors")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def gradients(model: Any, loss: Any) -> dict[str, Any]:
    """Of each weight that is trained, by its name."""
    model.zero_grad()
    loss.backward()
    found = {
        name: weight.grad.clone()
        for name, weight in model.named_parameters()
        if weight.grad is not None
    }
    model.zero_grad()
    return found


def assert_same_gradients(found: dict[str, Any], right: dict[str, Any]) -> None:
    """Within 1e-5 of the largest of all."""
    assert set(found) == set(right) != set()
    largest = max(float(gradient.abs().max()) for gradient in right.values())
    assert largest > 0
    for name, gradient in right.items():
        assert float((found[name] - gradient).abs().max()) <= 1e-5 * largest, name
