"""The tokenizer in a model's folder, by built-in classes only, or what is wrong with its files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tunebench.errors import SourceError
from tunebench.prompts.control_tokens import Tokenizer

# generic classes, which load without torch and give the same object as AutoTokenizer
_GENERIC = ("TokenizersBackend", "PreTrainedTokenizerFast")
# vocabularies as tokenizers of transformers name them
_VOCABULARIES = (
    "tokenizer.json", "*.model", "*.spm", "*.tiktoken", "tekken.json", "vocab.*", "*-vocab.json",
    "bpe.codes",
)  # fmt: skip
_AGAIN = "get the whole file again"


def load(folder: Path) -> Tokenizer:
    """The tokenizer in a folder, the same as by `transformers.AutoTokenizer`, without its own code.

    Raises:
        SourceError: if its files are missing or damaged, or only their own code could read them.
    """
    settings = _object(folder / "tokenizer_config.json")
    if not any(any(folder.glob(pattern)) for pattern in _VOCABULARIES):
        raise SourceError(
            f"{folder} holds no tokenizer (tokenizer.json or tokenizer.model); copy the model's"
            " there"
        )
    fast = folder / "tokenizer.json"
    generic = settings.get("tokenizer_class") in _GENERIC and fast.exists()
    try:
        if generic:
            from transformers import PreTrainedTokenizerFast

            return PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
        from transformers import AutoTokenizer

        # no code of the model, no question whether to run it, no download
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # `tokenizers` raises no more special class
        if fast.exists():
            _object(fast)
        if own := settings.get("auto_map"):
            raise SourceError(
                f"{folder / 'tokenizer_config.json'}: auto_map names code of the tokenizer's own"
                f" ({_first(own)}), and transformers has no class for it: a model's own code is"
                " never run here; choose a model whose tokenizer transformers has"
            ) from None
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise SourceError(
            f"{folder}: its tokenizer cannot be loaded ({type(error).__name__}: {reason}); get its"
            " tokenizer files again"
        ) from error


def _object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty if there is none."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path} is cut or damaged ({error}); {_AGAIN}") from None
    if not isinstance(content, dict):
        raise SourceError(f"{path} holds no JSON object; {_AGAIN}")
    return content


def _first(own: Any) -> Any:
    """One name of an `auto_map`, which is a mapping, a list or a name."""
    while isinstance(own, dict | list) and own:
        own = next(iter(own.values())) if isinstance(own, dict) else own[0]
    return own
