"""The smallest change of params.yaml with which a stage fits in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from tunebench.planning import memory, seconds
from tunebench.planning.memory import Kind
from tunebench.planning.seconds import Speed
from tunebench.planning.subject import Subject
from tunebench.planning.work import Answering, Training, smaller

SHORTEST = 64  # tokens of a row that say anything
HARDER = "name a smaller model under grid.models, or use a larger machine"


@dataclass(frozen=True)
class Remedy:
    """A change, as params.yaml would hold it; `same` if it changes no result, only its seconds."""

    change: str
    same: bool
    subject: Subject
    work: Training


def of_training(
    subject: Subject, work: Training, *, place: str, fits: Callable[[int], bool], speed: Speed,
    kind: Kind,
) -> str:  # fmt: skip
    """What to change so that a training fits: what leaves its result as it is first, then the
    fastest.

    Args:
        place: of the method's training settings in params.yaml.
        fits: whether a peak of so many bytes fits.
    """
    for group in _groups(subject, work, place):
        found = [
            (seconds.of_training(one.subject, one.work, speed, 0.0), number, one.change)
            for number, one in enumerate(group)
            if fits(memory.of_training(one.subject, one.work, kind).total)
        ]
        if found:
            return min(found)[2]
    return HARDER


def _groups(subject: Subject, work: Training, place: str) -> Iterator[list[Remedy]]:
    """Changes, those together of which the faster is to be taken."""
    fewer = [_fewer(subject, work, place, rows) for rows in _halves(work.rows)]
    kept = replace(work, checkpointing=True)
    checkpointing = Remedy(f"{place}.gradient_checkpointing: true", True, subject, kept)
    alone = [] if work.checkpointing else [checkpointing]
    yield fewer + alone
    yield [
        replace(one, change=f"{one.change}, {checkpointing.change}", work=replace(
            one.work, checkpointing=True))
        for one in fewer
    ]  # fmt: skip
    method = place.removesuffix(".training")
    quantized = replace(subject, quantization="nf4")
    smallest = replace(smaller(work, 1) if work.rows > 1 else work, checkpointing=True)
    least = f"{place}.per_device_train_batch_size: 1, {checkpointing.change}"
    if subject.trains == "adapter" and not subject.quantization:
        change = f"{method}.quantization: nf4"
        yield [Remedy(change, False, quantized, work)]
        yield [Remedy(f"{change}, {least}", False, quantized, smallest)]
    for length in _halves(work.longest):
        if length >= SHORTEST:
            change = f"max_length: {length} of the data set, {least}"
            yield [Remedy(change, False, subject, replace(smallest, longest=length))]


def _fewer(subject: Subject, work: Training, place: str, rows: int) -> Remedy:
    """Fewer rows at once, and as many in each optimizer step."""
    divided = smaller(work, rows)
    change = (
        f"{place}.per_device_train_batch_size: {rows},"
        f" {place}.gradient_accumulation_steps: {divided.accumulation}"
    )
    return Remedy(change, True, subject, divided)


def _halves(number: int) -> Iterator[int]:
    """Its halves, quarters, … that divide it, or nearly, the largest first."""
    while number > 1:
        number //= 2
        yield number


def of_answering(
    subject: Subject, work: Answering, *, fits: Callable[[int], bool], kind: Kind
) -> str:
    """What to change so that an evaluation fits: smaller batches, or narrower weights."""
    for tokens in _halves(work.batch_tokens):
        if tokens < work.longest:
            break
        if fits(memory.of_answering(subject, replace(work, batch_tokens=tokens), kind).total):
            return f"evaluation.batch_tokens: {tokens}"
    if subject.dtype == "float32":
        narrow = replace(subject, dtype="bfloat16")
        if fits(memory.of_answering(narrow, work, kind).total):
            return "dtype: bfloat16 of the model"
    return HARDER
