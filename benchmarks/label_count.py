"""Does the time to score a prompt grow with anything but its labels' own tokens?

    python benchmarks/label_count.py                                # assets/tiny
    python benchmarks/label_count.py --model PATH --plot labels.svg

Prints one JSON line: for each number of labels, the seconds (tokenization included, loading not),
the tokens that went through the model, and those that one pass for each label would have needed.
With `--plot`, the same as a picture (needs altair and vl-convert, in benchmarks/requirements.txt).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from measure import machine, timed
from transformers import logging
from workload import make_labels, make_prompts

from tunebench import models
from tunebench.answering import scoring
from tunebench.config.schema import Model, PromptingMethod

ROOT = Path(__file__).resolve().parents[1]
COUNTS = (2, 20, 77, 150)


def main() -> None:
    """Measure each number of labels and print one line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=str(ROOT / "assets" / "tiny"))
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--batch-tokens", type=int, default=8192)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--plot", type=Path)
    given = parser.parse_args()
    logging.set_verbosity_error()

    base = models.Base(Path(given.model), "", Model(path=given.model))
    model = models.load(base, PromptingMethod(kind="prompting")).eval()
    points = [measure(model, models.load_tokenizer(base), count, given) for count in COUNTS]
    found = {
        "benchmark": "label_count",
        "machine": machine(),
        "model": Path(given.model).name,
        "parameters": model.num_parameters(),
        "prompts": given.prompts,
        "points": points,
    }
    print(json.dumps(found))
    if given.plot:
        plot(points, given.plot)


def measure(model: Any, tokenizer: Any, count: int, given: Any) -> dict[str, Any]:
    """Seconds and tokens of one number of labels."""
    prompts, labels = make_prompts(given.prompts), make_labels(count)
    fed = 0

    def add(_: Any, __: Any, options: dict[str, Any]) -> None:
        nonlocal fed
        fed += options["input_ids"].numel()

    def work() -> Any:
        return scoring.score(model, tokenizer, prompts, labels, batch_tokens=given.batch_tokens)

    handle = model.register_forward_pre_hook(add, with_kwargs=True)
    work()
    handle.remove()
    seconds, _ = timed(work, given.repeats)
    asked = scoring.questions(tokenizer, prompts, labels)
    apart = sum(len(each.context) + len(path) for each in asked for path in each.tree.paths)
    return {
        "labels": count,
        "seconds": round(seconds, 2),
        "tokens_computed": fed,
        "tokens_one_pass_each": apart,
        "us_per_token": round(1e6 * seconds / fed, 1),
    }


def plot(points: list[dict[str, Any]], path: Path) -> None:
    """Seconds by labels, beside what the same seconds a token would take with a pass for each."""
    import altair as alt

    rows = []
    for point in points:
        apart_s = point["us_per_token"] * point["tokens_one_pass_each"] / 1e6
        for seconds, way in (
            (point["seconds"], "in one tree, measured"),
            (apart_s, "a pass for each label, reckoned from its tokens"),
        ):
            rows.append({"labels": point["labels"], "seconds": seconds, "way": way})
    axis = alt.Axis(values=list(COUNTS), grid=False)
    chart = (
        alt.Chart(alt.Data(values=rows))
        .mark_line(point=True)
        .encode(
            x=alt.X("labels:Q", title="labels", axis=axis),
            y=alt.Y("seconds:Q", title="seconds for all prompts", scale=alt.Scale(type="log")),
            color=alt.Color("way:N", title=None, legend=alt.Legend(orient="top")),
        )
        .properties(width=480, height=300)
    )
    chart.save(path)


if __name__ == "__main__":
    main()
