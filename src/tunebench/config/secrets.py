"""Secrets in params.yaml, which Git, dvc.lock and run.json would keep: refused, and never shown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from tunebench.config import yaml_file
from tunebench.config.yaml_file import Place

HIDDEN = "…"
KEPT = "holds a secret, which Git, dvc.lock and run.json would keep; take it out, and set"
TOKEN = "the environment variable HF_TOKEN"
SERVER = "an environment variable, whose name stands under api_key_env"
COMMAND = "the variable that the server reads from its environment, as VLLM_API_KEY or HF_TOKEN"

# as Hugging Face, OpenAI and Anthropic, GitHub, AWS, Google and Slack write them
ISSUED = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{20,}|sk-[\w-]{16,}|gh[opsu]_[A-Za-z0-9]{30,}|github_pat_\w{30,}"
    r"|AKIA[A-Z0-9]{16}|AIza[\w-]{30,}|xox[abp]-[\w-]{10,})"
)
IN_URL = re.compile(r"\w://(?P<secret>[^/@\s:]*:[^/@\s]+)@")
WORDS = r"(?:api[-_]?key|(?:hf|hub|auth|access|bearer)[-_]?token|password|secret)"
# an option or a variable of a command with its value, unless that is a placeholder
IN_COMMAND = re.compile(
    rf"(?:(?:\s--?(?:[\w-]*[-_])?{WORDS}|\s--?token)(?:\s+|\s*=\s*)|\b\w*{WORDS}=)"
    r"""["']?(?P<secret>[^-"'\s{][^"'\s]*)""",
    re.IGNORECASE,
)
COMMANDS = ("command", "adapter_arguments")
KEYS = re.compile(r"(?:\w+_)?(?:token|api_?key|password|secret)", re.IGNORECASE)
SHORTEST = 8  # a shorter value of such a key may be a word of the message


def faults(content: Any) -> Iterator[tuple[str, str]]:
    """The place of each secret in a parsed file, and the fault, which does not show it."""
    for place, value in _texts(content):
        if not _is_prompt(place) and any(_in_text(place, value)):
            of_server = place[:2] == ("inference", "servers")
            remedy = SERVER if of_server else TOKEN
            remedy = COMMAND if of_server and place[-1] in COMMANDS else remedy
            yield yaml_file.spelled(place), f"{KEPT} {remedy}"


def hidden(lines: Sequence[str], content: Any) -> list[str]:
    """Messages without the secrets of a parsed file."""
    secrets = {
        secret
        for place, value in _texts(content)
        for secret in (*_in_text(place, value), *_by_key(place, value))
    }
    for secret in sorted(secrets, key=len, reverse=True):  # one may be part of another
        lines = [line.replace(secret, HIDDEN) for line in lines]
    return list(lines)


def _texts(content: Any) -> Iterator[tuple[Place, str]]:
    return ((place, value) for place, value in yaml_file.values(content) if isinstance(value, str))


def _is_prompt(place: Place) -> bool:
    """Whether a text there is shown to a model, and may be about secrets."""
    return place[:1] == ("templates",) or place[-1:] == ("instruction",)


def _in_text(place: Place, text: str) -> Iterator[str]:
    yield from (match[0] for match in ISSUED.finditer(text))
    yield from (match["secret"] for match in IN_URL.finditer(text))
    if place[-1:] and place[-1] in COMMANDS:
        yield from (match["secret"] for match in IN_COMMAND.finditer(f" {text}"))


def _by_key(place: Place, text: str) -> Iterator[str]:
    """The value of a key that names a secret, as `hub_token`; it is refused for its key."""
    if place and KEYS.fullmatch(str(place[-1])) and len(text) >= SHORTEST:
        yield text
