"""What a server is sent for each prompt, so that it reads the same tokens as an evaluation.

A server that tokenizes a text may add a second beginning-of-sequence token, or read a control token
in a row's text. So prompts are sent as token ids, which `/v1/completions` takes (vLLM and others).
Servers that take text only (`transformers serve`) are sent the prompts whose text becomes the same
tokens, and their token counts are checked first. Where labels are chosen, the tokens that all of
them begin with end the prompt.
"""

from __future__ import annotations

import logging
import urllib.error
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from types import MappingProxyType
from typing import Any

from tunebench.errors import ServingError
from tunebench.prompts import Prompt, encoding
from tunebench.prompts.tokenization import Ids, Tokenizer
from tunebench.serving import clients
from tunebench.serving.servers import Endpoint

log = logging.getLogger(__name__)

Payload = str | list[int]
NOTHING: Mapping[str, Ids] = MappingProxyType({})
CHECKED_TEXTS = 3  # texts whose tokens a server is asked to count


@dataclass(frozen=True)
class Sent:
    """The prompts that can be sent, and each one's payload: token ids, or text if `as_text`."""

    prompts: list[Prompt]
    payloads: list[Payload]
    as_text: bool


def payloads(
    endpoint: Endpoint,
    tokenizer: Tokenizer,
    prompts: Sequence[Prompt],
    appended: Mapping[str, Ids] = NOTHING,
    *,
    timeout_s: float,
) -> Sent:
    """What to send to a server for each prompt, checked by the tokens that it counts.

    Args:
        appended: tokens that follow a prompt, by its id.

    Raises:
        ServingError: if it reads other tokens, or does not report how many it reads.
    """
    contexts = encoding.contexts(tokenizer, prompts)
    ids = [
        (*context, *appended.get(prompt.id, ()))
        for prompt, context in zip(prompts, contexts, strict=True)
    ]
    shortest = list(sorted(ids, key=len)[0])
    accepted, counted = _count_tokens(endpoint, shortest, timeout_s)
    if accepted:
        _check_count(endpoint, counted or len(shortest), len(shortest), "token ids")
        return Sent(list(prompts), [list(row) for row in ids], as_text=False)
    texts = _texts(tokenizer, prompts, ids, appended)
    sent = [(prompt, text, row) for prompt, text, row in zip(prompts, texts, ids, strict=True)
            if text is not None]  # fmt: skip
    if not sent:
        raise ServingError(
            f"{endpoint.place}: takes texts only, and no text becomes the tokens of these prompts"
            f" there; name a server that takes token ids as a prompt, as vLLM's"
        )
    for _, text, row in sorted(sent, key=lambda entry: len(entry[2]))[
        :: -(-len(sent) // CHECKED_TEXTS)
    ]:
        accepted, counted = _count_tokens(endpoint, text, timeout_s)
        if accepted and counted is None:
            raise ServingError(
                f"{endpoint.place}: takes texts only, and does not count prompt_tokens, so nothing"
                " shows that it reads what was evaluated; name a server that does, or that takes"
                " token ids as a prompt"
            )
        if accepted and counted is not None:
            _check_count(endpoint, counted, len(row), "text")
    if len(sent) < len(prompts):
        log.warning(
            "%s: takes texts only; %d of %d prompts hold what it would turn into other tokens, and"
            " are not sent",
            endpoint.place,
            len(prompts) - len(sent),
            len(prompts),
        )
    return Sent([prompt for prompt, _, _ in sent], [text for _, text, _ in sent], as_text=True)


def _check_count(endpoint: Endpoint, counted: int, expected: int, kind: str) -> None:
    if counted != expected:
        raise ServingError(
            f"{endpoint.place}: counts {counted} tokens in a prompt, sent as {kind}, that has"
            f" {expected} in the evaluation, so its answers would be to another prompt; serve the"
            " model with its own tokenizer, and no chat template or prefix of the server's"
        )


def _texts(
    tokenizer: Tokenizer,
    prompts: Sequence[Prompt],
    ids: Sequence[Ids],
    appended: Mapping[str, Ids] = NOTHING,
) -> list[str | None]:
    """Each prompt as a text that is tokenized to `ids`; None where there is none."""
    texts: list[str | None] = [None] * len(prompts)
    full_texts = [
        prompt.marked_prompt.without_last_blanks().text
        + _ending(tokenizer, row, len(appended.get(prompt.id, ())))
        for prompt, row in zip(prompts, ids, strict=True)
    ]
    for prefix in ("", tokenizer.bos_token or ""):  # a server may add the template's own again
        missing = [row for row, text in enumerate(texts) if text is None]
        candidates = [full_texts[row].removeprefix(prefix) for row in missing]
        if not candidates:
            break
        encoded = tokenizer(candidates, verbose=False)["input_ids"]
        for row, text, token_ids in zip(missing, candidates, encoded, strict=True):
            if tuple(token_ids) == ids[row]:
                texts[row] = text
    return texts


def _ending(tokenizer: Tokenizer, ids: Ids, count: int) -> str:
    """The text of the last tokens, as it is after the others."""
    if not count:
        return ""
    whole, before = (
        str(tokenizer.decode(part, clean_up_tokenization_spaces=False))
        for part in (ids, ids[:-count])
    )
    return whole[len(before) :]


def _count_tokens(
    endpoint: Endpoint, payload: Payload, timeout_s: float
) -> tuple[bool, int | None]:
    """Whether a server accepts a payload, and how many tokens it counts in it, if it says so.

    Any other fault shows in the load that follows.

    Raises:
        ServingError: if it redirects.
    """
    endpoint.check()
    body = {"model": endpoint.model, "prompt": payload, "max_tokens": 1, "temperature": 0}
    url = f"{endpoint.url}/v1/completions"
    try:
        with clients.send(
            endpoint.place, url, endpoint.api_key, timeout_s=timeout_s, body=body
        ) as response:
            counted: Any = clients.read_json(response)["usage"]["prompt_tokens"]
    except urllib.error.HTTPError as error:
        error.close()
        return False, None
    except (OSError, ValueError, KeyError, TypeError, HTTPException):
        return True, None
    return True, counted if isinstance(counted, int) else None
