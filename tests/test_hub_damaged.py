"""A repository of the Hub with hostile files gives one line, and ends no process."""

import gzip
import io
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
from hub_place import Place, parquet

NO_UTF8 = "is damaged: a text is not UTF-8; choose another revision"
LINE = b'{"text": "a", "label": "b"}\n'
CSV = b"text,label\n" + b"".join(b"t%d,%d\n" % (n, n % 2) for n in range(20))
GOOD = parquet([f"text {n}" for n in range(40)], [n % 2 for n in range(40)])

_PLAIN = io.BytesIO()
pq.write_table(
    pa.table({"text": ["plain", "word"], "label": ["a", "b"]}), _PLAIN, compression="none"
)
NOT_UTF8 = _PLAIN.getvalue().replace(b"plain", b"pla\xffn")


def flipped(seed: int) -> bytes:
    """The Parquet file with some bytes of its footer, or of its pages, changed."""
    chance = Random(seed)
    content = bytearray(GOOD)
    for _ in range(3):
        low, high = (4, len(GOOD) - 600) if seed % 2 else (len(GOOD) - 600, len(GOOD) - 8)
        content[chance.randrange(low, high)] ^= chance.randrange(1, 256)
    return bytes(content)


FILES = {
    "deep": ("train.json", b"[" * 100_000),
    "deep_line": ("train.jsonl", LINE + b'{"a":' * 100_000 + b"\n"),
    "digits": ("train.jsonl", LINE + b'{"text": ' + b"9" * 5_000 + b', "label": "b"}\n'),
    "half": ("train.jsonl", LINE + b'{"text": "\\ud800", "label": "b"}\n'),
    "lists": ("train.jsonl", LINE + b'[1, 2]\n{"text": ["x"], "label": {}}\n'),
    "gzip": ("train.csv", gzip.compress(CSV)),
    "zeros": ("train.csv", bytes(1_000)),
    "cut": ("train.parquet", GOOD[:-20]),
    "no_text": ("train.parquet", NOT_UTF8),
    **{f"flipped_{seed}": ("train.parquet", flipped(seed)) for seed in range(24)},
}


def test_hostile_files_give_one_line_each(place: Place) -> None:
    for name, (path, content) in FILES.items():
        place.hub.repo("dataset", f"org/{name}", {path: content})
    place.write({name: {"hub": f"org/{name}"} for name in FILES})
    place.check()
    answers = place.each(*(f"download:{name}" for name in FILES))
    assert answers.keys() == FILES.keys()
    for name, answer in answers.items():
        assert answer in ("done", f"hub: org/{name} train: {NO_UTF8}") or answer.startswith(
            f"hub: the files of org/{name} are not alike, or not what their names say ("
        )
    done = {name for name, answer in answers.items() if answer == "done"}
    # `datasets` unpacks gzip itself
    assert {"gzip"} <= done <= {"gzip", *(name for name in FILES if "flipped" in name)}
    assert len(done) < 8
    assert answers["no_text"].endswith(NO_UTF8)
