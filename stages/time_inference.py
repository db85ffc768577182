"""Time one method's answers in this process:
python -m stages.time_inference --model tiny --dataset reviews --method few_shot.
"""

from tunebench import config, paths, prompts, results, stage, timing
from tunebench.paths import Run


def main(run: Run) -> None:
    """Write latency, throughput and memory."""
    params = config.load()
    measured = timing.time_inference(
        params.model(run.model),
        params.method(run.method),
        prompts.read(paths.test_prompts(run)),
        params.inference,
        labels=results.read(paths.card(run.dataset))["labels"],
        trained=paths.trained(run),
    )
    results.write(paths.timing(run), measured)


if __name__ == "__main__":
    stage.run(main)
