"""Hand-written metrics of two methods, as their runs would have left them: for the report."""

from pathlib import Path
from typing import Any

from projects import Project

from tunebench import config, paths, results, training
from tunebench.config.schema import Params
from tunebench.paths import Run

TRAINED = {
    "rows": 12,
    "steps": 3,
    "loss": 0.5,
    "train_s": 10.0,
    "machine_s": 12.0,
    "tokens_per_s": 100.0,
    "model_flops_per_s": 5e9,
    "model_flops_utilization": 0.25,
    "trainable_parameters": 512,
    "adapter_bytes": 4096,
    "peak_memory_bytes": 1000,
    "peak_memory_above_baseline_bytes": 600,
}


ANSWERS = [
    {"id": f"test-{index}", "prompt": f"Text: {index}", "gold": gold, "answer": answer}
    for index, (gold, answer) in enumerate([("positive", "positive"), ("negative", "positive")] * 4)
]


TIMED = {
    "latency_p50_s": 0.02,
    "latency_p50_s_low": 0.0195,
    "latency_p50_s_high": 0.0225,
    "latency_p90_s": 0.03,
    "latency_p99_s_needs": 368,
    "output_tokens_mean": 2.5,
    "requests_per_s_batch_1": 50.0,
    "requests_per_s_batch_8": 200.0,
    "requests_per_s_batch_8_low": 100.0,
    "requests_per_s_batch_8_high": 400.0,
    "load_s": 1.0,
    "peak_memory_bytes": 3000,
    "peak_memory_above_baseline_bytes": 1000,
}


MERGED = {
    "quantization": "nf4",
    "mergeable": True,
    "merge_s": 2.0,
    "merged_latency_p50_s": 0.01,
    "merged_latency_p50_s_low": 0.009,
    "merged_latency_p50_s_high": 0.011,
    "merged_requests_per_s_batch_1": 100.0,
    "merged_requests_per_s_batch_8": 500.0,
    "merged_requests_per_s_batch_32": 1000.0,
    "merged_answers_that_differ": 0.125,
}


def quality(accuracy: float) -> dict[str, float]:
    """Metrics of one evaluation, with an interval of three points to each side."""
    return {
        "accuracy": accuracy,
        "accuracy_low": accuracy - 0.03,
        "accuracy_high": accuracy + 0.03,
        "macro_f1": 0.5,
        "macro_f1_low": 0.25,
        "macro_f1_high": 0.75,
        "rows": 8,
    }


def markup(path: Path) -> str:
    """A page without its data and scripts, which are its end."""
    return path.read_text(encoding="utf-8").partition("<script")[0]


def written(project: Project, valid: dict[str, Any]) -> Params:
    """Parameters of two seeds and two sizes, and the metrics that their runs would have left."""
    valid["study"] = "<script>alert(1)</script>"
    valid["grid"] |= {"seeds": [0, 1], "prompting": ["zero_shot"]}
    valid["hardware"] = {"name": "a & b", "usd_per_hour": 3.6}
    project.write_params(valid)
    zero = Run("tiny", "reviews", "zero_shot")
    results.write_lines(paths.predictions(zero), ANSWERS)
    results.write(paths.evaluation(zero), quality(0.5))
    results.write(paths.timing(zero), TIMED)
    for size, rows in ((0.5, 12), (1.0, 24)):
        for seed in (0, 1):
            run = Run("tiny", "reviews", "lora", size, seed)
            results.write_lines(paths.predictions(run), ANSWERS)
            results.write(paths.evaluation(run), quality(0.6 + size / 10 + seed / 5))
            measured = {
                "rows": rows,
                "train_s": 10.0 + 10 * seed,
                "machine_s": 12.0 + 10 * seed,
                "peak_memory_bytes": 1000 + seed,
            }
            results.write(paths.train(run), TRAINED | measured)
            losses = [("loss", 2, 0.75 - seed / 2), ("eval_loss", 2, 0.9), ("loss", 3, 0.5)]
            history = [{"step": step, name: value} for name, step, value in losses]
            training.write_history(paths.history(run), history)
    results.write(paths.timing(Run("tiny", "reviews", "lora")), TIMED)
    return config.load()
