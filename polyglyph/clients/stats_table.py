"""Lays stats out as a table: tokens, routing entropy, top experts.

L MoE layers, E experts.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType

import numpy as np
from rich.table import Table

from polyglyph.contract.stats import Stats, StatsGroup

NUM_RANGES = 3


@dataclass(frozen=True)
class Sums:
    """The sums of some groups together.

    Attributes:
        labels: What tells these groups from the others.
        num_tokens: Tokens the engine computed.
        selected_LE: int64, how often each expert was selected.
        first_layer: MoE layer of the first row.
    """

    labels: tuple[str, ...]
    num_tokens: int
    selected_LE: np.ndarray
    first_layer: int = 0

    @property
    def share_LE(self) -> np.ndarray:
        """Share of each expert in its layer's selections; a layer without selections is all zero."""
        total_L1 = self.selected_LE.sum(axis=1, keepdims=True)
        share: np.ndarray = self.selected_LE / np.maximum(total_L1, 1)
        return share

    @property
    def entropy_bits_L(self) -> np.ndarray:
        """Entropy of each layer's selections, in bits; at most log2 of the number of experts."""
        share_LE = self.share_LE
        bits_LE = -share_LE * np.log2(share_LE, out=np.zeros_like(share_LE), where=share_LE > 0)
        entropy: np.ndarray = bits_LE.sum(axis=1)
        return entropy


def stats_table(
    stats: Stats, *, by: Sequence[str], num_top: int, plan_names: Mapping[str, str] = MappingProxyType({})
) -> Table:
    """Give a line per group.

    Args:
        stats: The document.
        by: What to tell apart: script, phase, plan, tag, layer, expert.
        num_top: Experts to name per line; lines per group when `by` has expert.
        plan_names: Names of plans by fingerprint; others are shown by the beginning of their fingerprint.
    """
    keys = [key for key in ("script", "phase", "plan", "tag") if key in by]
    groups = merge(stats, keys, plan_names)
    if "expert" in by:
        return _expert_table(groups, keys, num_top=num_top)
    if "layer" in by:
        groups = [layer for group in groups for layer in _split_layers(group)]
        return _group_table(groups, [*keys, "layer"], [range(1)], num_top=num_top)
    return _group_table(groups, keys, _ranges(stats.layers), num_top=num_top)


def merge(stats: Stats, keys: Sequence[str], plan_names: Mapping[str, str]) -> list[Sums]:
    """Add groups that agree on the keys, most tokens first."""
    groups: dict[tuple[str, ...], list[StatsGroup]] = defaultdict(list)
    for group in stats.groups:
        groups[tuple(_label(group, key, plan_names) for key in keys)].append(group)
    sums = [
        Sums(
            labels,
            sum(group.group_tokens for group in members),
            np.sum([group.selected.to_numpy() for group in members], axis=0),
        )
        for labels, members in groups.items()
    ]
    return sorted(sums, key=lambda group: (-group.num_tokens, group.labels))


def _label(group: StatsGroup, key: str, plan_names: Mapping[str, str]) -> str:
    if key == "script":
        return group.request_script
    if key == "plan":
        return plan_names.get(group.plan) or group.plan[:19] or "none"
    return str(getattr(group, key)) or "none"


def _ranges(num_layers: int) -> list[range]:
    """Cut the layers into early, middle and late ones."""
    edges = [round(index * num_layers / NUM_RANGES) for index in range(NUM_RANGES + 1)]
    return [range(start, stop) for start, stop in pairwise(edges) if stop > start]


def _split_layers(group: Sums) -> list[Sums]:
    return [
        Sums((*group.labels, str(layer)), group.num_tokens, group.selected_LE[layer : layer + 1], first_layer=layer)
        for layer in range(len(group.selected_LE))
    ]


def _group_table(groups: Sequence[Sums], keys: Sequence[str], ranges: Sequence[range], *, num_top: int) -> Table:
    table = Table(*keys)
    table.add_column("tokens", justify="right")
    for layers in ranges:
        table.add_column("bits" if len(ranges) == 1 else f"bits, {_name(layers)}", justify="right")
    table.add_column("most selected experts")
    for group in groups:
        bits_L = group.entropy_bits_L
        bits = (f"{bits_L[layers.start : layers.stop].mean():.2f}" for layers in ranges)
        table.add_row(*group.labels, str(group.num_tokens), *bits, ", ".join(_top(group, num_top)))
    return table


def _expert_table(groups: Sequence[Sums], keys: Sequence[str], *, num_top: int) -> Table:
    table = Table(*keys, "layer", "expert")
    table.add_column("selected", justify="right")
    table.add_column("share of the layer", justify="right")
    for group in groups:
        for layer, expert in _ranking(group, num_top):
            count, share = group.selected_LE[layer, expert], group.share_LE[layer, expert]
            table.add_row(*group.labels, str(layer), str(expert), str(count), f"{share:.1%}")
    return table


def _top(group: Sums, num_top: int) -> list[str]:
    share_LE = group.share_LE
    return [
        f"L{group.first_layer + layer}:{expert} {share_LE[layer, expert]:.0%}"
        for layer, expert in _ranking(group, num_top)
    ]


def _ranking(group: Sums, num_top: int) -> list[tuple[int, int]]:
    """Give the (row, expert) pairs with the largest shares; never-selected experts are left out."""
    share_LE = group.share_LE
    order = np.argsort(-share_LE, axis=None, kind="stable")[:num_top]
    rows, experts = np.unravel_index(order, share_LE.shape)
    pairs = zip(rows.tolist(), experts.tolist(), strict=True)
    return [(row, expert) for row, expert in pairs if share_LE[row, expert] > 0]


def _name(layers: range) -> str:
    return f"layer {layers.start}" if len(layers) == 1 else f"layers {layers.start}-{layers.stop - 1}"
