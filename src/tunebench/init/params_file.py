"""params.yaml with new values and entries in it, and every other character as it was.

ruamel.yaml tells where each value stands; dumping what it loaded would indent lists anew and join
mappings that run over several lines.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from tunebench.errors import ParameterError

Place = tuple[str, ...]


@dataclass
class ParamsFile:
    """The text of a parameter file, what is to change in it, and its content with the changes."""

    text: str
    _edits: list[tuple[int, int, str]] = field(default_factory=list)
    content: Any = None

    def __post_init__(self) -> None:
        self._mark = "\ufeff" * self.text.startswith("\ufeff")  # of byte order
        self.text = self.text.removeprefix(self._mark)
        self._root = YAML(typ="rt", pure=True).compose(self.text)
        self.content = _plain(self.text)

    def set(self, place: Place, value: Any) -> None:
        """Give a key another value; it is added to its mapping if it is not there."""
        *above, key = place
        mapping = self._mapping(tuple(above))
        expected = self.content
        for part in above:
            expected = expected[part]
        if key in expected and expected[key] == value and type(expected[key]) is type(value):
            return
        expected[key] = value
        for key_node, node in mapping.value:
            if key_node.value == key:
                self._replace(key_node, node, key, value, flow=bool(mapping.flow_style))
                return
        self._add(mapping, key, value)

    def edited(self) -> str:
        """The text with all changes.

        Raises:
            ParameterError: if it does not read back as intended, because of anchors or tags.
        """
        text = self.text
        for start, end, new in sorted(self._edits, reverse=True):
            text = text[:start] + new.replace("\n", self._newline) + text[end:]
        try:
            same = _plain(text) == self.content
        except Exception as error:  # of many kinds
            raise _unsafe() from error
        if not same:
            raise _unsafe()
        return self._mark + text

    @property
    def _newline(self) -> str:
        return "\r\n" if "\r\n" in self.text else "\n"

    def _mapping(self, place: Place) -> MappingNode:
        node: Node | None = self._root
        for part in place:
            inner = node.value if isinstance(node, MappingNode) else []
            node = next((value for key, value in inner if key.value == part), None)
        if not isinstance(node, MappingNode):
            raise ParameterError([f"params.yaml: {'.'.join(place)}: is no mapping; write one"])
        return node

    def _replace(self, key: Node, node: Node, name: str, value: Any, *, flow: bool) -> None:
        start, end = key.start_mark.index, self._end(node)
        new = _rendered(name, value, flow=flow)
        if "\n" in new:
            new = _indented(new, key.start_mark.column).lstrip()
        if self.text[end - 1] == "\n":  # it ended with a block of text
            new += "\n"
        rest = self.text[end:].split("\n", 1)[0]
        if gap := re.match(r"( +)#", rest):  # the comment stays in its column
            width = len(gap[1]) + end - start - len(new)
            new, end = new + " " * max(1, width), end + len(gap[1])
        self._edits.append((start, end, new))

    def _add(self, mapping: MappingNode, key: str, value: Any) -> None:
        if mapping.flow_style or not mapping.value:
            end = self._end(mapping) - 1
            separator = ", " if mapping.value else ""
            self._edits.append((end, end, separator + _rendered(key, value, flow=True)))
            return
        last_key, last = mapping.value[-1]
        end = self._end(last)
        line_end = self.text.find("\n", end - 1 if self.text[end - 1] == "\n" else end)
        end = len(self.text) if line_end < 0 else line_end + 1
        before = "" if self.text[end - 1 : end] == "\n" else "\n"
        new = _indented(_rendered(key, value, flow=False), last_key.start_mark.column)
        after = "\n" if self.text[:end].endswith(("\n\n", "\n\r\n")) else ""  # between sections
        self._edits.append((end, end, f"{before}{new}\n{after}"))

    def _end(self, node: Node) -> int:
        """Where a node's own text ends, before the comments and empty lines after it."""
        if isinstance(node, ScalarNode) and node.style in ("|", ">"):
            end = len(self.text[: node.end_mark.index].rstrip())
            # with `|+`, empty lines belong to the value
            for _ in range(max(1, len(node.value) - len(node.value.rstrip("\n")))):
                end = self.text.find("\n", end) + 1 or len(self.text)
            return end
        if not isinstance(node, CollectionNode) or node.flow_style or not node.value:
            return int(node.end_mark.index)
        last = node.value[-1]
        return self._end(last[1] if isinstance(node, MappingNode) else last)


def _plain(text: str) -> Any:
    """The content of a YAML text as plain values, in which no two places share one."""
    return _unshared(YAML(typ="safe", pure=True).load(text))


def _unshared(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _unshared(value) for key, value in node.items()}
    return [_unshared(value) for value in node] if isinstance(node, list) else node


def _unsafe() -> ParameterError:
    return ParameterError(
        [
            "params.yaml: cannot be edited without changing what it says, because of anchors, tags"
            " or braces across sections; enter what is shown above by hand"
        ]
    )


def _rendered(key: str, value: Any, *, flow: bool) -> str:
    """A key and its value as YAML, without a line feed at its end."""
    yaml = YAML(typ="rt", pure=True)
    yaml.width = 10**6
    mapping = CommentedMap({key: _styled(value, depth=0, flow=flow)})
    if flow:
        mapping.fa.set_flow_style()
    stream = io.StringIO()
    yaml.dump(mapping, stream)
    text = stream.getvalue().rstrip("\n").removesuffix("\n...")
    return text[1:-1] if flow else text


def _styled(value: Any, *, depth: int, flow: bool) -> Any:
    """A value for ruamel.yaml: an entry in lines of its own, mappings and lists in it in braces."""
    if isinstance(value, Mapping):
        pairs = {key: _styled(inner, depth=depth + 1, flow=flow) for key, inner in value.items()}
        mapping = CommentedMap(pairs)
        if depth or flow:
            mapping.fa.set_flow_style()
        return mapping
    if isinstance(value, Sequence) and not isinstance(value, str):
        sequence = CommentedSeq(_styled(inner, depth=depth + 1, flow=True) for inner in value)
        sequence.fa.set_flow_style()
        return sequence
    if isinstance(value, str) and "\n" in value:
        return DoubleQuotedScalarString(value)
    return value


def _indented(text: str, column: int) -> str:
    return "\n".join(" " * column + line if line else "" for line in text.split("\n"))
