"""Classes of transformers only: code in a model's folder or repository never runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunebench.errors import SourceError, suggest

if TYPE_CHECKING:
    from transformers import PretrainedConfig

# of `from_pretrained`: run no code of the model, never ask whether to, and fetch nothing
SAFELY: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
# what to do with damaged files: of a base model, and of what training wrote
AGAIN = "get the model's files again, all from one revision"
RETRAIN = "run its training again (dvc repro)"
NEVER_RUNS = (
    "a model's own code is never run here; choose a model that transformers has a class for"
)


def config(folder: Path, remedy: str = AGAIN) -> PretrainedConfig:
    """The configuration in a model's folder, of a class that transformers has.

    Args:
        remedy: what to do if it is damaged.

    Raises:
        SourceError: if transformers has no such class, nor one for a causal language model; if the
            configuration is damaged; or if it names a kernel on the Hub.
    """
    from transformers import AutoConfig, PretrainedConfig, dynamic_module_utils
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    # nor does transformers ask where another library loads from the Hub, as PEFT a tokenizer
    dynamic_module_utils.TIME_OUT_REMOTE_CODE = 0
    path = folder / "config.json"
    if not path.exists():
        raise SourceError(f"{path} is missing; {remedy}")
    try:
        settings, _ = PretrainedConfig.get_config_dict(folder, local_files_only=True)
        kind = settings.get("model_type")
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise SourceError(f"{path} is cut or damaged ({one_line(error)}); {remedy}") from None
    if kind not in CONFIG_MAPPING:
        raise SourceError(f"{path}: {_no_class(settings, CONFIG_MAPPING, remedy)}")
    for kernel in _kernels(settings):
        raise SourceError(
            f"{path}: {kernel!r} is a kernel on the Hub, whose code would run here; take the line"
            " out"
        )
    try:
        loaded = AutoConfig.from_pretrained(folder, **SAFELY)
    except Exception as error:  # of many kinds: a class checks its own fields
        raise SourceError(
            f"{path} is no configuration of a {kind} model ({one_line(error)}); {remedy}"
        ) from error
    if type(loaded) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        own = _own_code(settings)
        raise SourceError(
            f"{path}: transformers has no causal language model of model_type {kind!r}; "
            + (f"{own}, and {NEVER_RUNS}" if own else "choose a model that writes text")
        )
    return loaded


def one_line(error: BaseException) -> str:
    """An error's message in one line."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def _no_class(settings: dict[str, Any], known: Any, remedy: str) -> str:
    """Why a configuration has no class of transformers."""
    from transformers import __version__

    kind, own = settings.get("model_type"), _own_code(settings)
    if own:
        return f"{own}, and transformers {__version__} has no model_type {kind!r}: {NEVER_RUNS}"
    if kind is None:
        return f"it has no model_type; choose a transformers model, or {remedy}"
    hint = suggest(kind, known)
    hint = "choose another model" if hint.startswith("choose") else hint
    return f"transformers {__version__} has no model_type {kind!r}; {hint}"


def _own_code(settings: dict[str, Any]) -> str:
    """What a configuration says of code of its own; empty if it names none."""
    named = settings.get("auto_map")
    if not named:
        return ""
    first = next(iter(named.values()), named) if isinstance(named, dict) else named
    return f"auto_map names code of the model's own ({first})"


def _kernels(settings: Any) -> Iterator[str]:
    """Kernels on the Hub that a configuration, or one in it, asks for."""
    for key, value in settings.items() if isinstance(settings, dict) else ():
        if key.endswith("_implementation") and isinstance(value, str) and "/" in value:
            yield value
        yield from _kernels(value)
