"""Stats as lines: what tells some groups from others, their tokens, routing entropy and most selected experts.

Letters: L MoE layers, E experts.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import numpy as np

from polyglyph.contract.exports.loaded import LoadedStats
from polyglyph.contract.sums import COLUMNS, GroupSums

NUM_RANGES = 3
Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False, kw_only=True)
class Line:
    """The sums of some groups together.

    Attributes:
        labels: What tells these groups from the others, by column; `layer` too where layers are told apart.
        tokens: Tokens the engine computed.
        cached_tokens: Prompt tokens from the prefix cache, in no other sum.
        selected_LE: int64, how often each expert was selected.
        first_layer: MoE layer of the first row.
    """

    labels: Mapping[str, str]
    tokens: int
    cached_tokens: int
    selected_LE: Array
    first_layer: int = 0

    @property
    def share_LE(self) -> Array:
        """Share of each expert in its layer's selections; a layer without selections is all zero."""
        total_L1 = self.selected_LE.sum(axis=1, keepdims=True)
        share: Array = self.selected_LE / np.maximum(total_L1, 1)
        return share

    @property
    def entropy_bits_L(self) -> Array:
        """Entropy of each layer's selections, in bits; at most log2 of the number of experts."""
        share_LE = self.share_LE
        bits_LE = -share_LE * np.log2(share_LE, out=np.zeros_like(share_LE), where=share_LE > 0)
        entropy: Array = bits_LE.sum(axis=1)
        return entropy

    def bits(self, layers: range) -> float:
        """Give the mean entropy of some MoE layers, in bits."""
        rows = slice(layers.start - self.first_layer, layers.stop - self.first_layer)
        return float(self.entropy_bits_L[rows].mean())

    def top(self, count: int) -> list["Choice"]:
        """Give the experts with the largest shares of their layer; never-selected ones are left out."""
        share_LE = self.share_LE
        order = np.argsort(-share_LE, axis=None, kind="stable")[:count]
        rows, experts = np.unravel_index(order, share_LE.shape)
        return [
            Choice(
                layer=self.first_layer + row,
                expert=expert,
                selected=int(self.selected_LE[row, expert]),
                share=float(share_LE[row, expert]),
            )
            for row, expert in zip(rows.tolist(), experts.tolist(), strict=True)
            if share_LE[row, expert] > 0
        ]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """How often one expert was selected; `share` is of all selections of its layer."""

    layer: int
    expert: int
    selected: int
    share: float


def lines_of(
    stats: LoadedStats, *, by: Sequence[str], plan_names: Mapping[str, str] = MappingProxyType({})
) -> list[Line]:
    """Give a line per group that is told apart, most tokens first.

    Args:
        stats: The sums; columns that are not in `by` are summed away.
        by: Columns, and `layer` for a line per layer.
        plan_names: Names of plans by fingerprint; others are shown by the beginning of their fingerprint.
    """
    columns = [column for column in COLUMNS if column in by]
    members: dict[tuple[str, ...], list[GroupSums]] = defaultdict(list)
    for group in stats.groups:
        members[tuple(_label(group, column, plan_names) for column in columns)].append(group)
    lines = [_add_up(dict(zip(columns, labels, strict=True)), groups) for labels, groups in members.items()]
    lines.sort(key=lambda line: (-line.tokens, tuple(line.labels.values())))
    return [layer for line in lines for layer in _split_layers(line)] if "layer" in by else lines


def layer_ranges(num_layers: int) -> list[range]:
    """Cut the layers into early, middle and late ones."""
    edges = [round(index * num_layers / NUM_RANGES) for index in range(NUM_RANGES + 1)]
    return [range(start, stop) for start, stop in pairwise(edges) if stop > start]


def _add_up(labels: Mapping[str, str], groups: Sequence[GroupSums]) -> Line:
    return Line(
        labels=labels,
        tokens=sum(group.tokens for group in groups),
        cached_tokens=sum(group.cached_tokens for group in groups),
        selected_LE=np.sum([group.selected_LE for group in groups], axis=0),
    )


def _label(group: GroupSums, column: str, plan_names: Mapping[str, str]) -> str:
    value = str(getattr(group.key, column))
    return (plan_names.get(value) or value[:19] or "none") if column == "plan" else value or "none"


def _split_layers(line: Line) -> list[Line]:
    return [
        Line(
            labels={**line.labels, "layer": str(layer)},
            tokens=line.tokens,
            cached_tokens=line.cached_tokens,
            selected_LE=line.selected_LE[layer : layer + 1],
            first_layer=layer,
        )
        for layer in range(len(line.selected_LE))
    ]
