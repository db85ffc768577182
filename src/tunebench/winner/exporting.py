"""A run's model as a folder that needs no tunebench: weights, prompt, script and model card."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from tunebench import disk, models, paths, results, stage
from tunebench.answering import generation, merging
from tunebench.config.schema import PeftMethod
from tunebench.errors import ParameterError
from tunebench.models import built_in, deployment
from tunebench.paths import Run
from tunebench.serving import artifact
from tunebench.winner import checking, gguf, model_card, prompt, runs
from tunebench.winner.prompt import ExactPrompt
from tunebench.winner.runs import Ready

Form = Literal["adapter", "merged", "gguf"]
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
SPARE_BYTES = 20_000_000  # tokenizer, prompt, card
# imports that not every script needs
UNUSED = {
    "copy": "import copy\n",
    "GenerationConfig": ", GenerationConfig",
    "np": "import numpy as np\n",
}
SCRIPTS = Path(__file__).with_name("scripts")


def lines(run: Run, folder: Path, forms: dict[Form, bool], *, check: bool) -> Iterator[str]:
    """Export a run as `export` does, and say what was written, for a terminal.

    Args:
        forms: which are asked for; one must be.
    """
    asked = [form for form, given in forms.items() if given]
    if len(asked) != 1:
        raise ParameterError(["give one of --adapter, --merged and --gguf"])
    [form] = asked
    stage.set_up()
    checked = export(runs.ready(run), folder, form, check=check)
    size = sum(path.stat().st_size for path in folder.iterdir())
    yield f"{run}: {size / 1e6:,.1f} MB written to {folder}"
    for name in sorted(path.name for path in folder.iterdir()):
        yield f"  {name}"
    if checked is not None:
        yield from checking.described(checked)


def export(
    ready: Ready, folder: Path, form: Form, *, check: bool = False
) -> checking.Checked | None:
    """Write a run's model, its prompt, a script that uses both, and a model card.

    Args:
        folder: new or empty; written beside, and renamed at the end.
        form: `adapter` as PEFT loads it, beside its base; `merged` into plain weights (of a
            quantized base: dequantized); or these as one `gguf` file, by llama.cpp's converter.
        check: answer the test rows with the folder, in a process without tunebench.

    Returns:
        The check's result; None without one.

    Raises:
        ParameterError: if the folder has files, or the form does not suit the run's method.
        SourceError: if llama.cpp is not installed, or a file of the model is damaged.
        DiskError: if the model does not fit on the disk.
        EvaluationError: if the script fails.
    """
    _check_folder(folder)
    _check_form(ready, form)
    if form == "gguf":
        gguf.check_installed(reader=check)
    folder.parent.mkdir(parents=True, exist_ok=True)
    disk.check_free(folder.parent, _bytes(ready, form))
    exact = prompt.of(ready)
    with results.replacing_folder(folder) as temporary:
        _write_weights(ready, temporary, form)
        _write_settings(ready, temporary, exact)
        results.write(temporary / "prompt.json", exact.content(ready, form))
        (temporary / "predict.py").write_text(_script(ready, exact, form), encoding="utf-8")
        checked = checking.check(ready, temporary, exact) if check else None
        if checked is not None:
            results.write(temporary / "check.json", checked.content())
        (temporary / "README.md").write_text(
            model_card.text(ready, form, exact, checked), encoding="utf-8"
        )
    return checked


def _check_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise ParameterError([f"{folder} is a file; name a new folder"])
    if folder.exists() and any(folder.iterdir()):
        raise ParameterError([f"{folder} holds files already; name a new or an empty folder"])


def _check_form(ready: Ready, form: Form) -> None:
    """Refuse a form that a method does not have, with the one that it has."""
    run = ready.run
    if ready.trained is None:
        raise ParameterError(
            [
                f"{run}: trains nothing, so that there is no model to export: it asks"
                f" {prompt.base_name(ready)} as it is; `tunebench predict {run}` answers rows"
            ]
        )
    has_adapter = merging.has_adapter(ready.trained)
    if form == "adapter" and not has_adapter:
        raise ParameterError([f"--adapter: {run} trained all weights; give --merged or --gguf"])
    if form == "adapter" or not has_adapter:
        return
    assert isinstance(ready.method, PeftMethod)
    if fault := deployment.merge_fault(ready.method.adapter):
        raise ParameterError([f"--{form}: {run} cannot be merged: {fault}; give --adapter"])


def _bytes(ready: Ready, form: Form) -> int:
    """How many bytes the export takes, at most."""
    assert ready.trained is not None
    trained = sum(path.stat().st_size for path in ready.trained.glob("*.safetensors"))
    if form == "adapter":
        return trained + SPARE_BYTES
    plain = ready.pin["parameters"] * BYTES[ready.base.settings.dtype]
    # merging may untie embeddings; the converter reads a folder of plain weights
    return int(1.2 * max(plain, trained)) * (2 if form == "gguf" else 1) + SPARE_BYTES


def _write_weights(ready: Ready, folder: Path, form: Form) -> None:
    assert ready.trained is not None
    if form == "adapter":
        _copy_model(ready.trained, folder)
        _name_base(ready, folder / "adapter_config.json")
    elif form == "merged":
        _write_merged(ready, folder)
    else:
        plain = folder / "plain"
        plain.mkdir()
        _write_merged(ready, plain)
        models.load_tokenizer(ready.base).save_pretrained(plain)
        gguf.convert(plain, folder / "model.gguf", dtype=ready.base.settings.dtype)
        shutil.rmtree(plain)


def _write_merged(ready: Ready, folder: Path) -> None:
    """The tuned model as plain weights in transformers' layout."""
    assert ready.trained is not None
    if not merging.has_adapter(ready.trained):
        _copy_model(ready.trained, folder)
        return
    merged = merging.merge(ready.base, ready.method, ready.trained)
    if merged is None:  # a warning said why
        raise ParameterError([f"{ready.run}: cannot be merged; give --adapter"])
    merged.save_pretrained(folder)


def _copy_model(trained: Path, folder: Path) -> None:
    """A trained folder's weights and configurations; not what the pipeline wrote beside them."""
    own = {paths.PROVENANCE, "failed.json"}
    for path in sorted(trained.iterdir()):
        if path.is_file() and path.suffix in (".json", ".safetensors") and path.name not in own:
            shutil.copy(path, folder)


def _name_base(ready: Ready, path: Path) -> None:
    """Name the base as other machines find it, and its exact revision."""
    content = json.loads(path.read_text("utf-8"))
    content |= {"base_model_name_or_path": prompt.base_name(ready)}
    content |= {"revision": prompt.base_revision(ready)}
    results.write(path, content)


def _write_settings(ready: Ready, folder: Path, exact: ExactPrompt) -> None:
    """The tokenizer, and when a generated answer ends."""
    tokenizer = models.load_tokenizer(ready.base)
    tokenizer.save_pretrained(folder)
    base = ready.base.folder
    own = artifact.own_generation_config(base, built_in.config(base))
    options = exact.options
    generation.build_config(
        own, built_in.config(base), tokenizer, options, tail=exact.tail
    ).save_pretrained(folder)


def _script(ready: Ready, exact: ExactPrompt, form: Form) -> str:
    """predict.py: how the model is loaded, the prompt, and how the answer is found."""
    scored = ready.answering.scored
    if form == "gguf":
        parts = ["encode", "score_gguf"] if scored else ["encode", "extract", "generate_gguf"]
    elif scored:
        parts = ["encode", "score" if exact.cached else "score_whole"]
    else:
        parts = ["encode", "extract", "generate"]
    parts = [f"load_{form}", *parts, "main"]
    texts = [(SCRIPTS / f"{part}.txt").read_text("utf-8") for part in parts]
    needs = {"adapter": "torch, transformers and peft", "merged": "torch and transformers",
             "gguf": "llama-cpp-python and transformers"}[form]  # fmt: skip
    if form == "adapter" and getattr(ready.method, "quantization", None):
        needs = "torch, transformers, peft and bitsandbytes"
    usage = " ".join(f'"{name}"' for name in exact.fields)
    title = f'"""Answer one row: python predict.py {usage}. Needs {needs}."""\n\n'
    script = title + "\n\n".join(text.strip("\n") + "\n" for text in texts)
    for name, written in UNUSED.items():
        script = script if f"{name}." in script else script.replace(written, "")
    return script
