"""Whether the Hugging Face Hub answers, and what the token may do; the token is never shown."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Thread
from typing import Any

from tunebench.doctor.findings import Finding, fault, ok, warning

PATIENCE_S = 1.5
OF_A_HUB = (200, 401, 403, 429)  # to the question whose a token is, or without one
TOKENS = "https://huggingface.co/settings/tokens"


def reach(*, offline: bool = False) -> Iterator[Finding]:
    """One request, waited for a second and a half: whoever the token belongs to."""
    from huggingface_hub import constants

    if offline or constants.HF_HUB_OFFLINE:
        why = "--offline" if offline else "HF_HUB_OFFLINE is set: models come from the cache alone"
        yield ok("hub", "hub", f"not asked ({why})", endpoint=constants.ENDPOINT)
        return
    yield from _answered(constants.ENDPOINT)


def _answered(endpoint: str) -> Iterator[Finding]:
    from huggingface_hub import get_token

    outcome: list[tuple[int, Any]] = []
    # the look-up of a name knows no time limit, and a daemon holds up no end
    asking = Thread(target=lambda: outcome.extend(_ask(endpoint)), daemon=True)
    asking.start()
    asking.join(PATIENCE_S)
    status, answer = outcome[0] if outcome else (0, "no answer in time")
    values = {"endpoint": endpoint, "reachable": status > 0, "status": status}
    if not status:
        yield warning(
            "hub",
            "hub",
            f"{endpoint}: {answer}; models and data sets of the Hub cannot be downloaded",
            remedy="check the network, or: export HF_ENDPOINT=<a mirror>; with all of it in the"
            " cache: export HF_HUB_OFFLINE=1",
            **values,
        )
        return
    if status not in OF_A_HUB:
        yield warning(
            "hub",
            "hub",
            f"{endpoint} answers {status} to who you are, as no Hub does",
            remedy="correct HF_ENDPOINT, or: unset HF_ENDPOINT; a mirror may be right all the same",
            **values,
        )
        return
    yield ok("hub", "hub", f"{endpoint} answers", **values)
    if get_token() is None:
        yield ok("hub", "token", f"none; only gated and private repositories need one: {TOKENS}")
    elif status == 200:
        yield ok("hub", "token", _described(answer), **_scope(answer))
    elif status in (401, 403):
        yield fault(
            "hub", "token", "the Hub refuses it, for public repositories too",
            remedy="hf auth login --force; if HF_TOKEN is set, it counts first: unset HF_TOKEN",
        )  # fmt: skip
    else:
        yield warning(
            "hub", "token", f"the Hub answers {status} and does not say what it may do",
            remedy="try again in a minute: tunebench doctor",
        )  # fmt: skip


def _ask(endpoint: str) -> Iterator[tuple[int, Any]]:
    """The status and the answer of one request; status 0 where none came."""
    from huggingface_hub.utils import build_hf_headers, get_session

    try:
        response = get_session().get(
            f"{endpoint}/api/whoami-v2", headers=build_hf_headers(), timeout=PATIENCE_S
        )
    except Exception as error:  # of several HTTP libraries, and of a malformed endpoint
        yield 0, f"no connection ({type(error).__name__})"
        return
    try:
        yield response.status_code, response.json()
    except ValueError:  # a proxy's own page
        yield response.status_code, {}


def _scope(answer: Any) -> dict[str, Any]:
    token = (answer.get("auth") or {}).get("accessToken") or {}
    return {"user": answer.get("name", ""), "role": token.get("role", "")}


def _described(answer: Any) -> str:
    """Whose the token is, and what it may do: read, write, or what was chosen for it."""
    scope = _scope(answer)
    token = (answer.get("auth") or {}).get("accessToken") or {}
    text = f"of {scope['user'] or 'an unnamed account'}, {scope['role'] or 'role not said'}"
    fine = token.get("fineGrained") or {}
    granted = sorted({name for each in fine.get("scoped", []) for name in each["permissions"]})
    return f"{text}: {', '.join(granted)}" if granted else text
