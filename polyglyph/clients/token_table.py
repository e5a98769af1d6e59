"""One sequence as a table: each token's text, script and phase, and the first experts of the layers that fit."""

from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text

from polyglyph.clients.routing import Trace

NUM_EXPERTS = 2
TEXT_WIDTH = 18
LABELS_WIDTH = TEXT_WIDTH + 22
"""Of the columns before the layers, with what stands between them."""


def token_table(trace: Trace, texts: Mapping[int, str], *, width: int) -> Table:
    """Give a row per token.

    Args:
        trace: The sequence.
        texts: The text of each token id.
        width: Columns of the terminal; of more layers than fit, evenly spaced ones are shown.
    """
    table = Table(box=None, pad_edge=False)
    table.add_column("token", no_wrap=True, max_width=TEXT_WIDTH)
    table.add_column("script")
    table.add_column("phase", no_wrap=True)
    cells = [_cells(trace, row) for row in range(len(trace))]
    cell_width = max((len(cell) for row in cells for cell in row), default=0) + 1
    shown = shown_layers(len(trace.layers), num_fitting=(width - LABELS_WIDTH) // cell_width)
    for index in shown:
        table.add_column(str(trace.layers[index]), justify="right", no_wrap=True)
    for row in range(len(trace)):
        phase = f"{trace.phases[row]}{' *' if trace.steered[row] else ''}"
        # As a literal, so that a line break stays in its line.
        text = Text(repr(texts[int(trace.token_ids[row])])[1:-1])
        table.add_row(text, str(trace.scripts[row]), phase, *(cells[row][index] for index in shown))
    return table


def shown_layers(num_layers: int, *, num_fitting: int) -> Sequence[int]:
    """Choose evenly spaced layers, the first and the last among them; at least one, all when they fit."""
    num_shown = max(1, min(num_layers, num_fitting))
    if num_shown == 1:
        return range(min(1, num_layers))
    return [round(index * (num_layers - 1) / (num_shown - 1)) for index in range(num_shown)]


def _cells(trace: Trace, row: int) -> list[str]:
    if not trace.computed[row]:
        return ["cached"] * len(trace.layers)
    no_expert = trace.none
    return [
        "+".join(str(expert) for expert in chosen[:NUM_EXPERTS] if expert != no_expert) for chosen in trace.ids[row]
    ]
