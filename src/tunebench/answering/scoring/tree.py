"""The labels of a task as a trie, so that a prompt is run once for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

ROOT = -1  # the prompt's last token, which predicts every label's first


@dataclass(frozen=True)
class LabelTree:
    """A trie of label tokens.

    Only inner nodes are inputs of the model: a label's last token is only predicted, unless a
    longer label starts with it. Node i is `tokens[i]`, its parent `parents[i]` (an earlier node, or
    ROOT); depth 0 follows the prompt. `paths` has each label's (node, predicted token) pairs, whose
    log-probabilities sum to its score.
    """

    tokens: tuple[int, ...]
    parents: tuple[int, ...]
    depths: tuple[int, ...]
    paths: tuple[tuple[tuple[int, int], ...], ...]

    @classmethod
    def of(cls, labels: Sequence[Sequence[int]]) -> LabelTree:
        """The tree of labels given as token ids."""
        nodes: dict[tuple[int, ...], int] = {(): ROOT}
        parents: list[int] = []
        for label in labels:
            for length in range(1, len(label)):
                prefix = tuple(label[:length])
                if prefix not in nodes:
                    nodes[prefix] = len(parents)
                    parents.append(nodes[prefix[:-1]])
        inner = [prefix for prefix in nodes if prefix]
        return cls(
            tokens=tuple(prefix[-1] for prefix in inner),
            parents=tuple(parents),
            depths=tuple(len(prefix) - 1 for prefix in inner),
            paths=tuple(
                tuple((nodes[tuple(label[:place])], token) for place, token in enumerate(label))
                for label in labels
            ),
        )

    def answer(self, label: int) -> tuple[int, ...]:
        """The tokens of a label."""
        return tuple(token for _, token in self.paths[label])

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def branches(self) -> list[tuple[int, int]]:
        """Each node paired with itself and with each of its ancestors."""
        pairs = []
        for node in range(len(self)):
            ancestor = node
            while ancestor != ROOT:
                pairs.append((node, ancestor))
                ancestor = self.parents[ancestor]
        return pairs

    @cached_property
    def steps(self) -> list[tuple[int, int, int]]:
        """The flattened paths: (node, where 0 is the root; the predicted token; label)."""
        return [
            (node - ROOT, token, label)
            for label, path in enumerate(self.paths)
            for node, token in path
        ]
