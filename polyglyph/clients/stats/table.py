"""Lays lines of stats out as a table, or as JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from polyglyph.clients.stats.lines import Choice, Line, layer_ranges


def line_table(lines: Sequence[Line], *, columns: Sequence[str], num_layers: int, num_top: int) -> Table:
    """Give a row per line.

    Args:
        lines: What to show.
        columns: The labels to show, and in which order.
        num_layers: MoE layers of the model.
        num_top: Experts to name per line.
    """
    per_layer = "layer" in columns
    table = _table(columns)
    table.add_column("tokens", justify="right")
    table.add_column("cached", justify="right")
    ranges = [] if per_layer else layer_ranges(num_layers)
    for layers in ranges:
        table.add_column(f"bits, {_name(layers)}", justify="right")
    if per_layer:
        table.add_column("bits", justify="right")
    table.add_column("most selected experts")
    for line in lines:
        bits = [line.bits(layers) for layers in ranges or [range(line.first_layer, line.first_layer + 1)]]
        table.add_row(
            *line.labels.values(),
            str(line.tokens),
            str(line.cached_tokens),
            *(f"{value:.2f}" for value in bits),
            ", ".join(map(_short, line.top(num_top))),
        )
    return table


def expert_table(lines: Sequence[Line], *, columns: Sequence[str], num_top: int) -> Table:
    """Give a row per expert: the `num_top` of each line."""
    table = _table([*(column for column in columns if column != "layer"), "layer", "expert"])
    table.add_column("selected", justify="right")
    table.add_column("share of the layer", justify="right")
    for line in lines:
        labels = [value for column, value in line.labels.items() if column != "layer"]
        for choice in line.top(num_top):
            table.add_row(*labels, str(choice.layer), str(choice.expert), str(choice.selected), f"{choice.share:.1%}")
    return table


def line_json(line: Line, *, num_layers: int, num_top: int) -> dict[str, Any]:
    """Give a line as JSON values."""
    ranges = [range(line.first_layer, line.first_layer + 1)] if "layer" in line.labels else layer_ranges(num_layers)
    return {
        **line.labels,
        "tokens": line.tokens,
        "cached_tokens": line.cached_tokens,
        "bits": [{"layers": [layers.start, layers.stop - 1], "mean": line.bits(layers)} for layers in ranges],
        "experts": [asdict(choice) for choice in line.top(num_top)],
    }


def _table(columns: Sequence[str]) -> Table:
    return Table(*(column.replace("_", " ") for column in columns))


def _name(layers: range) -> str:
    return f"layer {layers.start}" if len(layers) == 1 else f"layers {layers.start}-{layers.stop - 1}"


def _short(choice: Choice) -> str:
    return f"L{choice.layer}:{choice.expert} {choice.share:.0%}"
