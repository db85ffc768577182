"""The exported folder's README.md: a model card with the Hub's front matter."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tunebench import metrics, paths, results
from tunebench.report.digits import cell
from tunebench.winner import prompt
from tunebench.winner.checking import Checked
from tunebench.winner.runs import Ready

if TYPE_CHECKING:
    from tunebench.winner.prompt import ExactPrompt

LIBRARY = {"adapter": "peft", "merged": "transformers", "gguf": "gguf"}
LISTED_LABELS = 50
NOT_STATED = "not stated"


def text(ready: Ready, form: str, exact: ExactPrompt, checked: Checked | None) -> str:
    """The card: what the model is, how good, at what cost, and what it must not be read as."""
    sections = [
        f"# {ready.run}",
        _summary(ready, form),
        "## Use",
        _use(ready, exact),
        "## Scores",
        "\n".join(_scores(ready)),
        _evaluated(ready),
        *(["## Check of this folder", _checked(checked)] if checked else []),
        "## Costs",
        "\n".join(_costs(ready)),
        "## Data",
        "\n".join(_data(ready)),
        "## Training",
        "\n".join(_training(ready)),
        "## Limits",
        _limits(ready),
    ]
    front = _front_matter(ready, form)
    return f"---\n{front}---\n\n" + "\n\n".join(sections) + "\n"


def _front_matter(ready: Ready, form: str) -> str:
    from huggingface_hub import ModelCardData

    dataset, licence = ready.params.dataset(ready.run.dataset), ready.pin["licence"]
    quantized = form == "gguf"
    data = ModelCardData(
        base_model=ready.base.settings.hub,
        base_model_relation="adapter" if form == "adapter" else "finetune",
        library_name=LIBRARY[form],
        license=None if licence == NOT_STATED else licence,
        datasets=[dataset.hub] if dataset.hub else None,
        metrics=[metrics.HEADLINE[ready.answering.task].rstrip("12L")],
        pipeline_tag="text-generation",
        tags=["tunebench", *(["gguf"] if quantized else [])],
    )
    return f"{data.to_yaml()}\n"


def _summary(ready: Ready, form: str) -> str:
    run, settings = ready.run, ready.base.settings
    what = {
        "adapter": "A PEFT adapter for",
        "merged": "All weights, with what tuning changed merged in, of",
        "gguf": "One GGUF file, with what tuning changed merged in, of",
    }[form]
    task = "classifies" if ready.answering.labels else "summarizes"
    quantization = getattr(ready.method, "quantization", None)
    note = ""
    if quantization and form != "adapter":
        note = (
            f" It was trained beside weights quantized as {json.dumps(quantization)}; here they are"
            " dequantized, the adapter is added, and the sum is not quantized again, so that some"
            " answers may differ from those that were evaluated; `--check` counts them."
        )
    elif quantization:
        note = f" The base is quantized as in training: {json.dumps(quantization)}."
    return (
        f"{what} `{prompt.base_name(ready)}`, revision `{ready.base.revision}`,"
        f" {ready.pin['parameters']:,} parameters, dtype {settings.dtype}; licence of the base:"
        f" {ready.pin['licence']}. It {task} texts as the data set `{run.dataset}` does, tuned by"
        f" the method `{run.method}`.{note}"
    )


def _use(ready: Ready, exact: ExactPrompt) -> str:
    usage = " ".join(f'"{name}"' for name in exact.fields)
    if ready.answering.scored:
        how = (
            "`predict.py` computes the log-likelihood of each label's tokens after the prompt, and"
            " prints the highest one's label. The tokens of the labels stand in `prompt.json`."
        )
    else:
        how = (
            "`predict.py` lets the model write, until a token or the length that"
            " `generation_config.json` names, and prints the answer in that text."
        )
    return (
        f"```\npython predict.py {usage}\n```\n\n{how} The prompt is exactly that of training:"
        " another wording, or the chat template where there is none, gives other answers. A control"
        " token in a text gets a zero-width space, so that it stays text."
    )


def _scores(ready: Ready) -> Iterator[str]:
    measured = results.read(paths.evaluation(ready.run))
    yield "| metric | % | 95% interval |"
    yield "|---|---:|---:|"
    for name in metrics.QUALITY:
        if name in measured:
            low, high = (cell(measured[end], name) for end in metrics.interval(name))
            yield f"| {name} | {cell(measured[name], name)} | {low} to {high} |"


def _evaluated(ready: Ready) -> str:
    measured = results.read(paths.evaluation(ready.run))
    settings, rows = ready.answering.settings, measured["rows"]
    mode = "labels scored by log-likelihood" if ready.answering.scored else "text generated"
    epoch = (
        f" Epoch {measured['epoch']} was chosen on {measured['epoch_chosen_on']} rows"
        + (", so that the scores are optimistic." if measured["optimistic"] else ".")
        if "epoch" in measured
        else ""
    )
    return (
        f"By `evaluate` of tunebench, on {rows:,} test rows, {measured['rows_cut']:,} of them cut"
        f" to fit: {mode}, normalization of labels {settings.label_normalization}, select"
        f" {settings.select}. Intervals are over the test rows.{epoch}"
    )


def _checked(checked: Checked) -> str:
    score, low, high = (100 * value for value in (checked.score, checked.low, checked.high))
    return (
        f"`predict.py` answered the same {checked.rows:,} test rows in a process of its own, with"
        f" what is in this folder: {checked.metric} {score:.1f} ({low:.1f} to {high:.1f});"
        f" {checked.differ:,} answers ({100 * checked.differ / checked.rows:.1f}%) differ from"
        " those above (`check.json`)."
    )


def _costs(ready: Ready) -> Iterator[str]:
    run, size = ready.run, ready.params.inference.train_size
    yield f"On {ready.params.hardware.name}, {_provenance(ready)['device']}:"
    yield ""
    trained = results.read(paths.train(run))
    for name in ("train_s", "machine_s", "peak_memory_bytes", "trainable_parameters",
                 "adapter_bytes"):  # fmt: skip
        if name in trained:
            yield f"- {name.removesuffix('_s').removesuffix('_bytes')}: {cell(trained[name], name)}"
    timed = results.earlier(paths.timing(run)) if str(run.train_size) == str(size) else None
    for name, value in (timed or {}).items():
        if re.fullmatch(r"(merged_)?(latency_p50_s|requests_per_s_batch_\d+)", name):
            yield f"- {name.removesuffix('_s')}: {cell(value, name)}"
    price = ready.params.hardware.usd_per_hour
    if price:
        yield f"- training: {cell(trained['machine_s'] * price / 3600, 'usd')}"


def _data(ready: Ready) -> Iterator[str]:
    card = ready.card
    dataset = ready.params.dataset(ready.run.dataset)
    yield f"- source: {json.dumps(dataset.hub or card['source'], ensure_ascii=False)}"
    if revision := card.get("revision"):
        yield f"- revision: {revision}"
    yield f"- licence: {card['licence']}"
    yield f"- rows: {', '.join(f'{rows:,} {split}' for split, rows in card['rows'].items())}"
    yield f"- trained on: {results.read(paths.train(ready.run))['rows']:,} rows"
    yield f"- test rows that stand in the training rows: {card['test_rows_in_train']:,}"
    if labels := card["labels"]:
        more = f" and {len(labels) - LISTED_LABELS:,} more" if len(labels) > LISTED_LABELS else ""
        yield f"- labels: {', '.join(labels[:LISTED_LABELS])}{more}"


def _training(ready: Ready) -> Iterator[str]:
    assert ready.trained is not None
    provenance = _provenance(ready)
    for name in ("method", "training"):
        yield "```json"
        yield json.dumps({name: provenance["settings"][name]}, indent=2, ensure_ascii=False)
        yield "```"
        yield ""
    versions = provenance["libraries"].items()
    yield f"Seed {ready.run.seed}; " + ", ".join(f"{name} {version}" for name, version in versions)


def _provenance(ready: Ready) -> dict[str, Any]:
    return results.read(paths.adapter(ready.run) / paths.PROVENANCE)


def _limits(ready: Ready) -> str:
    kinds = "a probability that an answer is right" if ready.answering.labels else "facts"
    return (
        "The scores are those of rows like the test rows: texts of another kind, time or language"
        f" may fare worse, and nothing here says how much. Its output must not be read as {kinds}"
        " without a test on your own rows, nor as a decision about people. What the base model was"
        " not fit for, this one is not fit for either; both licences bind, the base's and the"
        " data's."
    )
