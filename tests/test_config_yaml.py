"""What YAML can hold and later stages cannot store is refused where the file is read."""

from pathlib import Path

import pytest
from faults import faults_of_text
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunebench.config import yaml_file
from tunebench.errors import ParameterError

LAUGHS = "a: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"b{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 10)
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("study: *s\n", "line 1: found undefined alias 's'"),
        ("study: &s {x: *s}\n", "study.x: stands within itself; write it without that alias"),
        ("study: &s\n  x: *s\n", "study.x: stands within itself; write it without that alias"),
        ("study: &s [1, [*s]]\n", "study[1][0]: stands within itself"),
        (LAUGHS, "holds more than 100,000 values, aliases written out; use fewer of them"),
        ("study: " + "[" * 40 + "]" * 40, "is nested more than 30 levels deep"),
        ("study: " + "[" * 5000 + "]" * 5000, "is nested more than 30 levels deep"),
        ("study:\n\tx: 1\n", "line 2: found character '\\t' that cannot start any token"),
        ("study: a\x00b\n", "not valid YAML: unacceptable character"),
        ("study: 2001-99-99\n", "not valid YAML: month must be in 1..12"),
        ("study: 2001-09-09\n", "study: is of type date, which no setting takes"),
        ("study: !!binary aGk=\n", "study: is of type bytes"),
        ("study: !!set {a}\n", "study: is of type set"),
        ("study: !!bool x\n", "not valid YAML: "),
        ("study: !!timestamp x\n", "failed to construct timestamp"),
        ("study: !!python/object:os.system {}\n", "line 1: could not determine a constructor"),
        ('study: "\\uD800"\n', "study: holds half a character"),
        (f"study: {2**63}\n", "study: is too large a number"),
        (f"study: {'9' * 5000}\n", "not valid YAML: "),
        ("study: {1.5: x}\n", "study: 1.5 is no key; write text"),
        ("study: {null: x}\n", "study: None is no key; write text"),
        ("study: {[1, 2]: x}\n", ""),
        ("a: 1\n---\nb: 2\n", "line 2: but found another document"),
        ("- study: x\n", "the file: [{'study': 'x'}] should be a valid dictionary"),
        ("just text\n", "the file: 'just text' should be a valid dictionary"),
    ],
)
def test_odd_yaml_is_one_line(text: str, expected: str, tmp_path: Path) -> None:
    first = faults_of_text(text, tmp_path)[0]
    assert expected in first
    assert len(first.splitlines()) == 1


def test_large_file_and_folder(tmp_path: Path) -> None:
    assert "has 1,000,009 characters" in faults_of_text(f"study: {'x' * 1_000_001}\n", tmp_path)[0]
    with pytest.raises(ParameterError, match="cannot be read: Is a directory"):
        yaml_file.read(tmp_path)


def test_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes("study: x\n".encode("utf-8-sig"))
    assert yaml_file.read(path) == {"study": "x"}


SNIPPETS = st.sampled_from(
    ["&a ", "*a", "!!int ", "!!float ", "!!null ", "!!omap ", "!!pairs ", "!!map ", "!!seq ", "!x ",
     "[", "]", "{", "}", ": ", "- ", "? ", "| ", "> ", "<<: ", "---\n", "...\n", "%YAML 1.1\n", '"',
     "'", "\\", "\t", "\n", " ", "#", "0x", "0o8", "1_0", ".inf", ".nan", "~", "é", "2001-01-01",
     "12:30:45", "=", "@", "`", ",", "x", "1"]
)  # fmt: skip


@settings(
    max_examples=500,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(snippets=st.lists(SNIPPETS, max_size=12))
def test_any_text_is_read_or_refused(snippets: list[str], tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("study: x\n" + "".join(snippets))
    try:
        yaml_file.read(path)
    except ParameterError as error:
        assert error.faults
        assert all(len(line.splitlines()) == 1 for line in error.faults)
