"""The smallest change of params.yaml with which a stage fits in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from tunebench.estimates import memory, seconds
from tunebench.estimates.loaded import LoadedModel
from tunebench.estimates.memory import Kind
from tunebench.estimates.seconds import Speed
from tunebench.estimates.work import Answering, Training, smaller

SHORTEST = 64  # tokens of a row that say anything
HARDER = "name a smaller model under grid.models, or use a larger machine"


@dataclass(frozen=True)
class Remedy:
    """A change, as params.yaml would hold it, and what is trained then."""

    change: str
    model: LoadedModel
    work: Training


@dataclass(frozen=True)
class Places:
    """Where params.yaml holds what may change: the method's name, and the data set's."""

    method: str
    dataset: str

    @property
    def training(self) -> str:
        """The training settings of the method, which override all others."""
        return f"methods.{self.method}.training"


def of_training(
    model: LoadedModel, work: Training, places: Places, *, fits: Callable[[int], bool],
    speed: Speed, kind: Kind,
) -> str:  # fmt: skip
    """What to change so that a training fits: what leaves its result as it is first, then the
    fastest.

    Args:
        fits: whether a peak of so many bytes fits.
    """
    for group in _groups(model, work, places):
        found = [
            (seconds.of_training(one.model, one.work, speed, 0.0), number, one.change)
            for number, one in enumerate(group)
            if fits(memory.of_training(one.model, one.work, kind).total)
        ]
        if found:
            return min(found)[2]
    return HARDER


def _groups(model: LoadedModel, work: Training, places: Places) -> Iterator[list[Remedy]]:
    """Changes, of each group of which the fastest that fits is to be taken."""
    fewer = [_fewer(model, work, places, rows) for rows in _halves(work.rows)]
    kept = f"{places.training}.gradient_checkpointing: true"
    alone = Remedy(kept, model, replace(work, checkpointing=True))
    yield fewer + [alone] * (not work.checkpointing)
    least = [alone, *(_and(one, kept, replace(one.work, checkpointing=True)) for one in fewer)]
    yield least[1:]
    if model.trains == "adapter" and not model.quantization:
        smaller_base = replace(model, quantization="nf4")
        change = f"methods.{places.method}.quantization: nf4"
        yield [Remedy(change, smaller_base, work)]
        least = [Remedy(f"{change}, {one.change}", smaller_base, one.work) for one in least]
        yield least
    for length in _halves(work.longest):
        if length >= SHORTEST:
            shorter = replace(least[-1].work, longest=length)
            yield [_and(least[-1], f"datasets.{places.dataset}.max_length: {length}", shorter)]


def _and(one: Remedy, change: str, work: Training) -> Remedy:
    return Remedy(f"{one.change}, {change}", one.model, work)


def _fewer(model: LoadedModel, work: Training, places: Places, rows: int) -> Remedy:
    """Fewer rows at once, and as many in each optimizer step."""
    divided = smaller(work, rows)
    change = (
        f"{places.training}.per_device_train_batch_size: {rows},"
        f" {places.training}.gradient_accumulation_steps: {divided.accumulation}"
    )
    return Remedy(change, model, divided)


def _halves(number: int) -> Iterator[int]:
    """Its halves, quarters, … that divide it, or nearly, the largest first."""
    while number > 1:
        number //= 2
        yield number


def of_answering(
    model: LoadedModel, work: Answering, *, fits: Callable[[int], bool], kind: Kind
) -> str:
    """What to change so that an evaluation fits: smaller batches, or narrower weights."""
    for tokens in _halves(work.batch_tokens):
        if tokens < work.longest:
            break
        if fits(memory.of_answering(model, replace(work, batch_tokens=tokens), kind).total):
            return f"evaluation.batch_tokens: {tokens}"
    if model.dtype == "float32":
        narrow = replace(model, dtype="bfloat16")
        if fits(memory.of_answering(narrow, work, kind).total):
            return "dtype: bfloat16 of the model"
    return HARDER
