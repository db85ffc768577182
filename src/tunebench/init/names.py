"""Names that columns often have, the likelier first, and ids'."""

from __future__ import annotations

import re
from collections.abc import Sequence

TEXTS = (
    "text", "message", "review", "comment", "body", "content", "dialogue", "dialog", "conversation",
    "document", "article", "post", "tweet", "sentence", "utterance", "transcript", "description",
    "question", "query", "input", "prompt", "email", "ticket", "complaint", "feedback",
)  # fmt: skip
LABELS = (
    "label_text", "label_name", "label", "labels", "class", "category", "target", "sentiment",
    "intent", "topic", "queue", "emotion", "tag", "rating", "stars", "department", "type", "gold",
    "y",
)  # fmt: skip
SUMMARIES = (
    "summary", "summaries", "highlights", "abstract", "tldr", "headline", "title", "target",
    "completion", "output", "response", "answer", "reply", "translation",
)  # fmt: skip
SURE_SUMMARIES = SUMMARIES[:6]  # the others are often something else
IDS = re.compile(r"(.*[_ .-])?(id|idx|index|uuid|guid|key|no|nr)|unnamed: \d+|", re.IGNORECASE)


def _words(name: str) -> str:
    """A name in lower case, with `_` between its words."""
    return re.sub(r"[^\w]+|_+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)).lower().strip("_")


def rank(name: str, known: Sequence[str]) -> int | None:
    """The place among known names, those before the names that only hold one as a word."""
    words = _words(name)
    if words in known:
        return known.index(words)
    parts = words.split("_")
    inside = [known.index(part) for part in parts if part in known]
    return len(known) + min(inside) if inside else None


def order(name: str, known: Sequence[str]) -> int:
    """The same, and a number past all of them for a name without any."""
    place = rank(name, known)
    return 2 * len(known) if place is None else place
