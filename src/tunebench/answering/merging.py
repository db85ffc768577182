"""A tuned model as plain weights: dequantized, with the adapter merged.

The adapter is merged into the weights that it was trained on: a quantized base is dequantized
first, and the sum is not quantized again.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunebench import models
from tunebench.models import adapters, memory

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

log = logging.getLogger(__name__)


def merge(base: models.Base, method: models.Method, trained: Path | None) -> PreTrainedModel | None:
    """The tuned model as plain weights, which `save_pretrained` can write.

    They load without PEFT and without quantization, in the dtype of `base`. Without an adapter it
    is the model itself, dequantized.

    Args:
        trained: the folder that `training.train` wrote; None for the base model.

    Returns:
        None if PEFT cannot merge the adapter (virtual tokens, or an adaptation that depends on the
        input), or transformers cannot dequantize the base; a warning says why.

    Raises:
        SourceError: if the adapter was trained on another model.
    """
    adapter = trained if has_adapter(trained) else None
    plain = _dequantized(models.load(base, method, trained=None if adapter else trained))
    if plain is None or adapter is None:
        return plain
    return _merged(adapters.restore(plain, adapter, getattr(method, "adapter", {})))


def has_adapter(trained: Path | None) -> bool:
    """Whether `trained` has an adapter, rather than a full model."""
    return trained is not None and (trained / "adapter_config.json").exists()


def _dequantized(model: PreTrainedModel) -> PreTrainedModel | None:
    quantizer = getattr(model, "hf_quantizer", None)
    if quantizer is None:
        return model
    try:
        plain = model.dequantize()
    except NotImplementedError as error:  # a base that was published in another quantization
        log.warning("not merged: %s", error)
        return None
    # transformers 5.23 removes the quantization config, but leaves these flags
    for flag in ("is_loaded_in_4bit", "is_loaded_in_8bit"):
        if hasattr(plain, flag):
            setattr(plain, flag, False)
    return plain


def _merged(attached: PeftModel) -> PreTrainedModel | None:
    tuner: Any = attached.base_model
    config = attached.active_peft_config
    if config.is_prompt_learning or not hasattr(tuner, "merge_and_unload"):
        kind = config.peft_type.value
        log.warning("not merged: %s adds what no weight of the model can hold", kind)
        return None
    _untie(attached)
    try:
        merged: PreTrainedModel = tuner.merge_and_unload().eval()
    except (NotImplementedError, ValueError, RuntimeError) as error:  # tuners refuse differently
        if memory.is_exhausted(error):
            raise
        log.warning("not merged: %s", error)
        return None
    return merged


def _untie(attached: PeftModel) -> None:
    """Untie input and output embeddings if one of them is adapted.

    Merging into a tied weight would change the other one too.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer
    from torch.nn import Parameter

    model = attached.get_base_model()
    layers = [model.get_input_embeddings(), model.get_output_embeddings()]
    if not any(isinstance(layer, BaseTunerLayer) for layer in layers):
        return
    into, out = (
        layer.get_base_layer() if isinstance(layer, BaseTunerLayer) else layer for layer in layers
    )
    if out is None or into.weight is not out.weight:
        return
    out.weight = Parameter(out.weight.detach().clone(), requires_grad=False)
    for config in (model.config, model.config.get_text_config()):
        config.tie_word_embeddings = False
