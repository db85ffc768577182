"""Lines of text files in any encoding; undecodable bytes are reported by line.

Files are read in chunks, so that large ones take little memory.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

from tunebench.errors import SourceError

CHUNK_BYTES = 1 << 20
# characters; more are no row of text but, say, a file without line feeds
LONGEST_LINE = 1 << 26
# how files begin that are not text, what they are, and what to do
BINARY_FILES = {
    b"\x1f\x8b\x08": ("compressed with gzip", "decompress it, as with gunzip"),
    b"BZh91AY&SY": ("compressed with bzip2", "decompress it, as with bunzip2"),
    b"\xfd7zXZ\0": ("compressed with xz", "decompress it, as with unxz"),
    b"\x28\xb5\x2f\xfd": ("compressed with zstd", "decompress it, as with unzstd"),
    b"PK\x03\x04": ("a ZIP archive or a spreadsheet", "unpack it, or export it as CSV"),
    b"\xd0\xcf\x11\xe0": ("a spreadsheet of Excel", "export it as CSV"),
    b"%PDF-": ("a PDF document", "export its rows as CSV"),
    b"SQLite format 3\0": ("a database of SQLite", "export a table as CSV"),
    b"PAR1\x15": ("Parquet", "name it .parquet"),
    b"ARROW1\0\0": ("an Arrow file", "save it as Parquet"),
}
BYTE_ORDER_MARKS = {  # UTF-32 first: its mark starts with UTF-16's
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def check_encoding(encoding: str | None) -> None:
    """Refuse a name that is no text encoding of Python."""
    try:
        "x".encode("utf-8" if encoding is None else encoding)
    except (LookupError, ValueError):
        raise SourceError(
            f"encoding: {encoding!r} is no encoding that Python knows;"
            " write its name, as cp1252, latin-1, utf-16 or shift_jis"
        ) from None


def lines(path: Path, encoding: str | None) -> Iterator[str]:
    """The lines with their line ends; only a line feed ends one, and a byte order mark is removed.

    Args:
        encoding: UTF-8 if None.

    Raises:
        SourceError: for undecodable bytes, with line and character, and the encoding that the file
            seems to have; for a line that is too long for a row; for a file that is not text, or
            cannot be read.
    """
    line_start: list[str] = []  # the start of a line that continues in the next chunk
    complete = 0
    for piece in _pieces(path, encoding):
        for line in StringIO(piece):
            if not line.endswith("\n"):
                line_start.append(line)
            elif line_start:
                yield "".join(line_start) + line
                line_start.clear()
            else:
                yield line
        complete += piece.count("\n")
        if sum(map(len, line_start)) > LONGEST_LINE:
            raise SourceError(
                f"{path}: line {complete + 1}: is longer than {LONGEST_LINE:,} characters; end each"
                " row with a line feed"
            )
    if line_start:
        yield "".join(line_start)


def text(path: Path, encoding: str | None) -> str:
    """All characters of a file; see `lines`."""
    return "".join(_pieces(path, encoding))


@contextmanager
def readable(place: object) -> Iterator[None]:
    """Turn an operating system's error in the block into one line.

    Raises:
        SourceError: with the place, the reason and the remedy.
    """
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error
        raise SourceError(
            f"{place}: cannot be read: {reason}; mend its permissions, or name another file"
        ) from None


def _chunks(path: Path) -> Iterator[bytes]:
    with readable(path), path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
    yield b""


def _pieces(path: Path, encoding: str | None) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8" if encoding is None else encoding)()
    line, character = 1, 1
    mark = "\ufeff"
    for number, chunk in enumerate(_chunks(path)):
        if number == 0:
            _refuse_binary(path, chunk)
            if encoding is None:
                _refuse_other(path, chunk)
        state = decoder.getstate()
        try:
            piece = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            decoder.setstate(state)
            good = decoder.decode(chunk[: max(0, error.start - len(state[0]))])
            line, character = _after(good.removeprefix(mark), line, character)
            place = f"{path}: line {line}: character {character}"
            raise _undecodable(place, error, encoding) from None
        piece = piece.removeprefix(mark)
        yield piece
        line, character = _after(piece, line, character)
        mark = ""


def _after(text: str, line: int, character: int) -> tuple[int, int]:
    """The position (line, character) after `text`."""
    last = text.rfind("\n")
    if last < 0:
        return line, character + len(text)
    return line + text.count("\n"), len(text) - last


def _refuse_binary(path: Path, head: bytes) -> None:
    for start, (kind, remedy) in BINARY_FILES.items():
        if head.startswith(start):
            raise SourceError(f"{path}: is {kind}, not text; {remedy}")


def _refuse_other(path: Path, head: bytes) -> None:
    """Refuse UTF-16 and UTF-32, some of which is also valid UTF-8 with many zero characters."""
    for mark, name in BYTE_ORDER_MARKS.items():
        if head.startswith(mark):
            raise SourceError(
                f"{path}: begins with the byte order mark of {name.upper()}; write encoding: {name}"
            )
    start = head[:4096]
    for name, zeros in (("utf-16-be", start[::2]), ("utf-16-le", start[1::2])):
        if zeros.count(0) > len(start) / 4:
            raise SourceError(
                f"{path}: every other byte is zero, as in UTF-16; write encoding: {name}"
            )


def _undecodable(place: str, error: UnicodeDecodeError, encoding: str | None) -> SourceError:
    culprit = f"{place}: byte 0x{error.object[error.start]:02X} is not {encoding or 'UTF-8'}"
    if encoding is not None:
        return SourceError(f"{culprit}; write the encoding that the file was saved in")
    line = error.object[error.start :].split(b"\n")[0]
    try:
        line.decode("cp1252")
    except UnicodeDecodeError:
        return SourceError(
            f"{culprit}; write the encoding that the file was saved in, as encoding: shift_jis"
        )
    return SourceError(f"{culprit}; it looks like cp1252: if it is, write encoding: cp1252")
