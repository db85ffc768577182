"""What a server is sent for each prompt, so that it reads the tokens that an evaluation read.

A text that a server tokenizes by itself may gain a second beginning-of-sequence token, and what a
row says may become a control token. So prompts are sent as token ids, which `/v1/completions` takes
(vLLM and others). Servers that take texts only (`transformers serve`) get those that they turn into
the same tokens, and are asked to count them first.
"""

from __future__ import annotations

import json
import logging
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tunebench.errors import ServingError
from tunebench.prompts import Prompt, encoding
from tunebench.prompts.tokenization import Ids, Tokenizer
from tunebench.serving.servers import Endpoint

log = logging.getLogger(__name__)

Payload = str | list[int]
COUNTED = 3  # texts whose tokens a server is asked to count


@dataclass(frozen=True)
class Sent:
    """The prompts that can be sent, and each one's payload: token ids, or where `as_text` texts."""

    prompts: list[Prompt]
    payloads: list[Payload]
    as_text: bool


def payloads(
    endpoint: Endpoint, tokenizer: Tokenizer, prompts: Sequence[Prompt], *, timeout_s: float
) -> Sent:
    """What to send to a server for each prompt, tried on it.

    Raises:
        ServingError: if it would read other tokens, or does not say how many it reads.
    """
    ids = encoding.contexts(tokenizer, prompts)
    shortest = list(sorted(ids, key=len)[0])
    taken, counted = _ask(endpoint, shortest, timeout_s)
    if taken:
        _compare(endpoint, counted or len(shortest), len(shortest), "token ids")
        return Sent(list(prompts), [list(row) for row in ids], as_text=False)
    texts = _texts(tokenizer, prompts, ids)
    sent = [(prompt, text, row) for prompt, text, row in zip(prompts, texts, ids, strict=True)
            if text is not None]  # fmt: skip
    if not sent:
        raise ServingError(
            f"{endpoint.place}: takes texts only, and no text becomes the tokens of these prompts"
            f" there; name a server that takes token ids as a prompt, as vLLM's"
        )
    for _, text, row in sorted(sent, key=lambda each: len(each[2]))[:: -(-len(sent) // COUNTED)]:
        taken, counted = _ask(endpoint, text, timeout_s)
        if taken and counted is None:
            raise ServingError(
                f"{endpoint.place}: takes texts only, and does not count prompt_tokens, so nothing"
                " shows that it reads what was evaluated; name a server that does, or that takes"
                " token ids as a prompt"
            )
        if taken and counted is not None:
            _compare(endpoint, counted, len(row), "text")
    if len(sent) < len(prompts):
        log.warning(
            "%s: takes texts only; %d of %d prompts hold what it would turn into other tokens, and"
            " are not sent",
            endpoint.place,
            len(prompts) - len(sent),
            len(prompts),
        )
    return Sent([prompt for prompt, _, _ in sent], [text for _, text, _ in sent], as_text=True)


def _compare(endpoint: Endpoint, counted: int, ours: int, kind: str) -> None:
    if counted != ours:
        raise ServingError(
            f"{endpoint.place}: counts {counted} tokens in a prompt, sent as {kind}, that has"
            f" {ours} in the evaluation, so its answers would be to another prompt; serve the model"
            " with its own tokenizer, and no chat template or prefix of the server's"
        )


def _texts(tokenizer: Tokenizer, prompts: Sequence[Prompt], ids: Sequence[Ids]) -> list[str | None]:
    """Each prompt as a text that the tokenizer turns into its tokens; None where there is none."""
    texts: list[str | None] = [None] * len(prompts)
    whole = [prompt.shown.without_last_blanks().text for prompt in prompts]
    for cut in ("", tokenizer.bos_token or ""):  # a server adds the one that a template wrote
        left = [row for row, text in enumerate(texts) if text is None]
        tried = [whole[row].removeprefix(cut) for row in left]
        if not tried:
            break
        found = tokenizer(tried, verbose=False)["input_ids"]
        for row, text, theirs in zip(left, tried, found, strict=True):
            if tuple(theirs) == ids[row]:
                texts[row] = text
    return texts


def _ask(endpoint: Endpoint, payload: Payload, timeout_s: float) -> tuple[bool, int | None]:
    """Whether a server takes a payload, and how many tokens it counts in it, if it does.

    What else may be wrong with it, the load that follows shows.
    """
    endpoint.check()
    body = {"model": endpoint.model, "prompt": payload, "max_tokens": 1, "temperature": 0}
    headers = {"Content-Type": "application/json"}
    if endpoint.api_key:
        headers["Authorization"] = f"Bearer {endpoint.api_key}"
    request = urllib.request.Request(
        f"{endpoint.url}/v1/completions", json.dumps(body).encode(), headers
    )
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as response:
            told: Any = json.load(response)
            counted = told["usage"]["prompt_tokens"]
    except urllib.error.HTTPError as error:
        error.close()
        return False, None
    except (OSError, ValueError, KeyError, TypeError):
        return True, None
    return True, counted if isinstance(counted, int) else None
