"""A tuned model as plain weights: what was quantized dequantized, the adapter merged in.

The merged model computes with the very weights that its adapter was trained on: a quantized base is
dequantized first, and the sum is not rounded to 4 bits again.
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
    """The model that a method's training left, as weights that `save_pretrained` writes plainly.

    They load everywhere: no PEFT, no quantization, the dtype of `base`. Without an adapter it is
    the model itself, dequantized.

    Args:
        trained: the folder that `training.train` wrote; None for an untouched model.

    Returns:
        None where PEFT cannot merge the adapter (virtual tokens, an adaptation that depends on the
        input), or transformers cannot dequantize the base; stderr says why.

    Raises:
        SourceError: if the adapter there was trained on another model.
    """
    adapter = trained if has_adapter(trained) else None
    plain = _dequantized(models.load(base, method, trained=None if adapter else trained))
    if plain is None or adapter is None:
        return plain
    return _merged(adapters.restore(plain, adapter, getattr(method, "adapter", {})))


def has_adapter(trained: Path | None) -> bool:
    """Whether training left an adapter, not a whole model or nothing."""
    return trained is not None and (trained / "adapter_config.json").exists()


def _dequantized(model: PreTrainedModel) -> PreTrainedModel | None:
    quantizer = getattr(model, "hf_quantizer", None)
    if quantizer is None:
        return model
    try:
        plain = model.dequantize()
    except NotImplementedError as error:  # a base that was published quantized, in another way
        log.warning("not merged: %s", error)
        return None
    # transformers 5.23 takes away what `save_pretrained` reads, but leaves these
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
    except (NotImplementedError, ValueError, RuntimeError) as error:  # as each tuner refuses
        if memory.is_exhausted(error):
            raise
        log.warning("not merged: %s", error)
        return None
    return merged


def _untie(attached: PeftModel) -> None:
    """Part the weight that input and output embeddings share, where one of them is adapted.

    Merged into the shared weight, what was learned for one would change the other too.
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
