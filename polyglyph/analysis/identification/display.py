"""What a method found, as a table for a terminal and as a JSON document."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from polyglyph.analysis.identification.identified import Identified

if TYPE_CHECKING:
    import polars as pl
    from rich.table import Table

SCHEMA = "polyglyph.identified/1"
NUM_SHOWN = 20
"""Rows of a terminal's table, and of a document where no expert was chosen."""
DECIMALS = 6


def to_json(found: Identified) -> dict[str, Any]:
    """Give the document: every chosen expert, or the best of them that were not chosen."""
    model = found.model
    return {
        "schema": SCHEMA,
        "method": found.method,
        "model": {
            "architecture": model.architecture,
            "layers": model.layers,
            "experts": model.experts,
            "top_k": model.top_k,
            "fingerprint": model.fingerprint,
        },
        "parameters": dict(found.parameters),
        "statistics": dict(found.statistics),
        "notes": list(found.notes),
        "num_looked_at": len(found.table),
        "num_chosen": len(found.chosen),
        "experts": [
            {name: round(value, DECIMALS) if isinstance(value, float) else value for name, value in row.items()}
            for row in _shown(found).to_dicts()
        ],
    }


def as_table(found: Identified) -> "Table":
    """Give the best rows for a terminal."""
    from rich.table import Table

    rows = _shown(found).head(NUM_SHOWN)
    # Without frames ten columns fit into a pipe's 80.
    table = Table(*rows.columns, box=None, pad_edge=False, collapse_padding=True)
    for row in rows.iter_rows():
        table.add_row(*map(_cell, row))
    return table


def words_of(found: Identified) -> Iterator[str]:
    """Say what was found beside the table."""
    num_chosen = len(found.chosen)
    yield f"{found.method}: {num_chosen} of {len(found.table)} experts chosen"
    if num_chosen > NUM_SHOWN:
        yield f"the table above shows {NUM_SHOWN} of them; --json has all, -o NAME.csv every expert"
    yield from found.notes


def _shown(found: Identified) -> "pl.DataFrame":
    chosen = found.table.filter(found.table["chosen"])
    return chosen if len(chosen) else found.table.head(NUM_SHOWN)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, float):
        return str(value)
    return f"{value:.3f}" if value == 0 or abs(value) >= 0.001 else f"{value:.1e}"
