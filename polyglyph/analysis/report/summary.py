"""Summary: the document as a small table for the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table


def summary_table(document: Mapping[str, Any]) -> Table:
    """Give a line per group: tokens, entropy, the experts that only it selects, and what routing tells by band."""
    table = Table(title=_title(document), title_justify="left")
    table.add_column(" / ".join(document["by"]))
    for column in ("tokens", "entropy, bits", "experts of its own: early", "middle", "late"):
        table.add_column(column, justify="right")
    for name, group in document["groups"].items():
        own = document["signatures"].get(name)
        counts = ["none"] * 3 if own is None else [str(own[band]) for band in ("early", "middle", "late")]
        table.add_row(name, f"{group['tokens']:,}", _shown(group["entropy_bits"]), *counts)
    return table


def _title(document: Mapping[str, Any]) -> str:
    model = document["model"]
    information = [layer["information"] for layer in document["layers"] if not isinstance(layer["information"], dict)]
    told = f"; routing tells {min(information):.0%} to {max(information):.0%} of the group" if information else ""
    return f"{model['layers']} layers of {model['experts']} experts, top-{model['top_k']}{told}"


def _shown(cell: Any) -> str:
    return str(cell["cannot_be_computed"]) if isinstance(cell, dict) else f"{cell:.2f}"
