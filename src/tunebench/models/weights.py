"""A model from its folder, all of it: no weight left out, none of another shape."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunebench.errors import SourceError
from tunebench.models import built_in

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def load(
    folder: Path, *, complete: bool = True, remedy: str = built_in.AGAIN, **options: Any
) -> PreTrainedModel:
    """The model in a folder, by transformers' own class.

    Args:
        complete: False where another process reads the weights, and this one gets its shard later.
        remedy: what to do if a file is damaged.
        options: of `from_pretrained`.

    Raises:
        SourceError: if a file is damaged, or the weights are not those of the configuration:
            transformers itself gives random numbers to those that are missing.
    """
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    built_in.config(folder, remedy)
    try:
        model, found = AutoModelForCausalLM.from_pretrained(
            folder,
            use_safetensors=True,
            ignore_mismatched_sizes=True,  # they are refused below, each with its name
            output_loading_info=True,
            **built_in.SAFELY,
            **options,
        )
    except (OSError, SafetensorError) as error:
        raise SourceError(
            f"{folder}: its weights cannot be read ({built_in.one_line(error)}); {remedy}"
        ) from error
    if complete and (fault := _fault(found)):
        raise SourceError(
            f"{folder}: its weights are not those of its config.json: {fault}; {remedy}"
        )
    return model


def check(folder: Path) -> None:
    """Refuse weights that `load` would, without reading them: on torch's meta device.

    A model that is quantized in its files is not checked here, since its quantizer may need the
    device that it will run on.

    Raises:
        SourceError: as `load`.
    """
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    if getattr(built_in.config(folder), "quantization_config", None) is None:
        load(folder, device_map={"": "meta"})


def empty(folder: Path, quantization: Any = None) -> PreTrainedModel:
    """The model without its weights, on torch's meta device, its layers quantized or not.

    Args:
        quantization: a `BitsAndBytesConfig`.
    """
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.quantizers import AutoHfQuantizer

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(
            built_in.config(folder), trust_remote_code=built_in.SAFELY["trust_remote_code"]
        )
    if quantization is not None:
        quantizer = AutoHfQuantizer.from_config(quantization, pre_quantized=False)
        quantizer.preprocess_model(model, device_map=None)
        quantizer.postprocess_model(model)
    return model


def _fault(found: dict[str, Any]) -> str:
    """What `from_pretrained` says is missing or of another shape; empty if nothing is."""
    for name, there, here in sorted(found["mismatched_keys"]):
        return f"{name} is {_size(there)} there, and {_size(here)} by the configuration"
    missing = sorted(found["missing_keys"])
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    return f"{missing[0]}{more} missing" if missing else ""


def _size(shape: Any) -> str:
    return " × ".join(map(str, shape))
