"""How much each stage has to do, by params.yaml."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

from tunebench.config.options import Options, OwnTraining, merge
from tunebench.config.schema import Params, PromptingMethod, TuningMethod
from tunebench.estimates.work import Answering, Training
from tunebench.paths import Run
from tunebench.planning import rows as sources
from tunebench.planning.rows import Rows
from tunebench.planning.tokens import TokenCounter, Tokens
from tunebench.training.batch_size import DEFAULT as DEFAULT_BATCH
from tunebench.training.search import trials

DEFAULT_EPOCHS = 3  # of TrainingArguments
# tokens around a text that come after it, and so are not shared with other prompts
AFTER_TEXT = 8
# an untuned model goes on after the answer, a tuned one ends it
GOES_ON = 1.5
FORGETTING_TOKENS = 96  # of a text


class Work:
    """The work of every run of a parameter file.

    Args:
        downloaded: names of the data sets whose rows are downloaded already.
        quickly: see `tokens.TokenCounter`.
    """

    def __init__(self, params: Params, downloaded: Sequence[str], *, quickly: bool) -> None:
        self.params = params
        self.tokens = TokenCounter(params, quickly=quickly)
        self._downloaded = downloaded
        self._rows: dict[str, Rows] = {}

    def rows(self, name: str) -> Rows:
        """The rows of a data set."""
        if name not in self._rows:
            dataset = self.params.datasets[name]
            self._rows[name] = sources.of(name, dataset, downloaded=name in self._downloaded)
        return self._rows[name]

    @cached_property
    def unknown(self) -> list[str]:
        """Data sets of the grid of whose rows nothing is known."""
        return [name for name in self.params.grid.datasets if not self.rows(name).sample]

    def lengths(self, run: Run, method: PromptingMethod | None = None) -> Tokens:
        """Tokens of a run's prompts, cut to `max_length`."""
        dataset = self.params.datasets[run.dataset]
        found = self.tokens.of(run.model, run.dataset, self.rows(run.dataset), method)
        return found.at_most(dataset.max_length)

    def trainings(self, run: Run, params: Params | None = None) -> list[Training]:
        """The trainings of a run: one, or one for each trial of its search.

        Args:
            params: other settings than the present ones, with which it ran before.
        """
        params = params or self.params
        method = params.tuning_method(run.method)
        options = params.training_for(params.dataset(run.dataset), method)
        rows = self.rows(run.dataset).training(run.sized[0])
        tokens = self.lengths(run)
        return [
            training(merge(options, trial), rows, tokens, virtual_tokens=_virtual(method))
            for trial in (trials(method.search) or [{}])
        ]

    def answering(self, run: Run) -> Answering:
        """What `evaluate` asks of a run's model."""
        params, dataset = self.params, self.params.dataset(run.dataset)
        method = params.method(run.method)
        prompting = method if isinstance(method, PromptingMethod) else None
        tokens = self.lengths(run, prompting)
        rows = self.rows(run.dataset).tested(dataset)
        shots = prompting.shots if prompting else 0
        drawn = shots and prompting and prompting.shots_order == "stratified"
        draws = len(params.grid.seeds) if drawn else 1
        scored = dataset.labelled and params.evaluation.mode == "score"
        limit = int(params.generation_for(dataset).get("max_new_tokens") or tokens.longest_answer)
        written = min(limit, tokens.answer * (GOES_ON if prompting else 1.0))
        forgetting = params.forgetting_for(run.dataset) if run.size_and_seed else None
        return Answering(
            rows=rows,
            draws=max(1, draws),
            fresh=min(tokens.prompt, tokens.text + AFTER_TEXT),
            prompt=tokens.prompt,
            labels=tokens.labels if scored else 0,
            written=0.0 if scored else written,
            limit=0 if scored else limit,
            longest=tokens.longest_prompt(rows),
            batch_tokens=params.evaluation.batch_tokens,
            forgetting_rows=forgetting.rows if forgetting else 0,
        )


def training(options: Options, rows: int, tokens: Tokens, *, virtual_tokens: int = 0) -> Training:
    """One training of so many rows, by TrainingArguments and this project's own settings."""
    own, arguments = OwnTraining.part(options)
    batch = int(arguments.get("per_device_train_batch_size") or DEFAULT_BATCH)
    accumulation = int(arguments.get("gradient_accumulation_steps") or 1)
    row = tokens.row + virtual_tokens
    sequences = max(1, rows)
    longest = tokens.longest_prompt(sequences) + round(tokens.answer) + virtual_tokens
    if own.packing:
        sequences = max(1, math.ceil(rows * row / own.packing_length))
        longest = own.packing_length
    epochs = float(arguments.get("num_train_epochs") or DEFAULT_EPOCHS)
    passes = math.ceil(sequences / batch)
    updates = math.ceil(epochs * math.ceil(passes / accumulation))
    steps = math.ceil(epochs * passes)
    limit = int(arguments.get("max_steps") or -1)
    if limit > 0:
        updates, steps = limit, limit * accumulation
    share = steps / max(1.0, passes)
    return Training(
        rows=min(batch, sequences),
        steps=steps,
        updates=updates,
        tokens=share * rows * row,
        longest=longest,
        labelled=tokens.row if own.loss_on == "all" else tokens.answer,
        checkpointing=bool(arguments.get("gradient_checkpointing")),
        optimizer=str(arguments.get("optim") or "adamw_torch"),
        accumulation=accumulation,
        packing=bool(own.packing),
    )


def _virtual(method: TuningMethod) -> int:
    adapter = getattr(method, "adapter", None) or {}
    return int(adapter.get("num_virtual_tokens") or 0)
