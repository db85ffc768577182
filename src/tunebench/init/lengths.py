"""The template for a model, and how long rows are in its tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunebench.config.data import RESERVED_FIELDS, Template
from tunebench.config.schema import Model, Params
from tunebench.data import tables
from tunebench.data.tables import TextRow
from tunebench.errors import PromptError, SourceError
from tunebench.estimates import sizes
from tunebench.estimates.sizes import Size

if TYPE_CHECKING:
    from tunebench.prompts.tokenization import Tokenizer

CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "{instruction}\n\n{text}"}]}
PLAIN: dict[str, Any] = {
    "prompt": "{instruction}\n\n{shots}Text: {text}\nAnswer:",
    "shot": "Text: {text}\nAnswer: {completion}\n\n",
    "completion": " {completion}",
}
CHARACTERS = 600_000  # half a second of tokenization
MEASURED_WITH_SHOTS = 20  # prompts, each several rows long
# of UTF-8, where the tokenizer is not here: English has 4 to 5 in a token, other scripts 3 to 6
BYTES_PER_TOKEN = 3
AROUND_SHOT = 16  # tokens of the template around a solved example
PARAMETERS = 1_000_000_000


@dataclass(frozen=True)
class Base:
    """What is known of the model before it is fetched.

    A model on the Hub that is not in the cache has no tokenizer here, and its `size` by its name at
    best; `where` names it.
    """

    name: str
    tokenizer: Tokenizer | None = None
    size: Size | None = None
    where: str = ""

    @property
    def context(self) -> int | None:
        """The context length in tokens."""
        return self.size.context if self.size else None

    @property
    def parameters(self) -> int:
        """How many weights it has; a guess where nothing tells."""
        return self.size.parameters if self.size else PARAMETERS


@dataclass(frozen=True)
class Lengths:
    """Tokens of each sampled text, of its prompt with the template, and of its answer."""

    texts: list[int]
    prompts: list[int]
    answers: list[int]
    estimated: bool

    @property
    def sequences(self) -> list[int]:
        """Prompt and answer together, ascending."""
        longest = percentile(self.answers, 0.99)  # as many are reserved for every answer
        return sorted(prompt + longest for prompt in self.prompts)


def percentile(values: Sequence[int], fraction: float) -> int:
    """The smallest value that this fraction of all does not exceed."""
    return sorted(values)[max(0, math.ceil(fraction * len(values)) - 1)]


def base(name: str, model: Model) -> Base:
    """A model's tokenizer and size, from its folder or the Hugging Face cache.

    Raises:
        SourceError: if its local files are missing or damaged.
    """
    from tunebench.prompts import tokenization

    folder = sizes.folder_of(model)
    try:
        size = sizes.of(model)
        if folder is None:
            return Base(name, size=size, where=str(model.path or model.hub))
        return Base(name, tokenization.load(folder), size)
    except SourceError as error:
        raise SourceError(f"params.yaml: models.{name}: {error}") from None


def template(params: Params, model: Base) -> tuple[str, dict[str, Any] | None]:
    """The template's name, and its definition if params.yaml has none that fits.

    It is the chat template of the model, where it has one.
    """
    chat = model.tokenizer is not None and model.tokenizer.chat_template is not None
    for name, defined in params.templates.items():
        fits = (defined.messages is not None) == chat and defined.takes_shots
        if fits and "instruction" in defined.fields and defined.fields <= set(RESERVED_FIELDS):
            return name, None
    preferred, definition = ("chat", CHAT) if chat else ("plain", PLAIN)
    name = preferred
    while name in params.templates:
        name += "_"
    return name, definition


def measure(
    model: Base,
    shown: Template,
    rows: Sequence[TextRow],
    *,
    instruction: str,
    labels: Sequence[str],
) -> Lengths:
    """The lengths of these rows without solved examples; of fewer if they are long.

    Raises:
        PromptError: if the template does not work with the tokenizer.
    """
    if model.tokenizer is None:
        return _estimated(shown, rows, instruction)
    rows = next(tables.grouped(rows, rows_at_once=len(rows), characters_at_once=CHARACTERS))
    from tunebench.formatting import fitting, templates
    from tunebench.prompts import tokenization
    from tunebench.prompts.tokenization import MarkedText

    layout = templates.build_layout(shown, model.tokenizer, instruction=instruction)
    texts = [MarkedText.from_row(row["text"]) for row in rows]
    lengths = [len(ids) for ids in tokenization.encode_all(model.tokenizer, texts)]
    first = layout.fill(rows[0] | {"labels": ", ".join(labels)}, [])
    # a token more or less where the template joins a text matters not, and spares half the time
    around = len(tokenization.contexts(model.tokenizer, [first])[0]) - lengths[0]
    targets = sorted(labels) or [row["target"] for row in rows]
    completions = [layout.complete(target) for target in targets]
    return Lengths(
        texts=lengths,
        prompts=[around + length for length in lengths],
        answers=fitting.answer_lengths(layout, model.tokenizer, completions),
        estimated=False,
    )


def with_shots(
    model: Base,
    shown: Template,
    rows: Sequence[TextRow],
    *,
    instruction: str,
    shots: int,
) -> list[int]:
    """Tokens of some prompts that begin with solved examples.

    Raises:
        PromptError: if the template takes none.
    """
    if model.tokenizer is None:
        plain = _estimated(shown, rows, instruction)
        example = AROUND_SHOT + sum(plain.texts + plain.answers) // len(rows)
        return [prompt + shots * example for prompt in plain.prompts]
    from tunebench.formatting import templates
    from tunebench.prompts import tokenization

    if not shown.takes_shots:
        raise PromptError("the template takes no solved examples")
    layout = templates.build_layout(shown, model.tokenizer, instruction=instruction, shots=shots)
    whole = [row | {"completion": row["target"], "labels": ""} for row in rows]
    groups = [whole[at : at + shots + 1] for at in range(0, len(whole), shots + 1)]
    filled = [
        layout.fill(group[-1], group[:-1])
        for group in groups[:MEASURED_WITH_SHOTS]
        if len(group) == shots + 1
    ]
    return [len(ids) for ids in tokenization.contexts(model.tokenizer, filled)]


def _estimated(shown: Template, rows: Sequence[TextRow], instruction: str) -> Lengths:
    def tokens(text: str) -> int:
        return 1 + len(text.encode()) // BYTES_PER_TOKEN

    turns = "".join(message.content for message in shown.messages or [])
    around = tokens((shown.prompt or turns) + instruction)
    texts = [tokens(row["text"]) for row in rows]
    answers = [tokens(row["target"]) for row in rows]
    return Lengths(texts, [around + length for length in texts], answers, estimated=True)
