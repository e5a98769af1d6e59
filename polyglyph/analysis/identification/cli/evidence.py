"""What a method reads: the evidence of a command, and the layers that are copies of one another in it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from polyglyph.analysis.evidence.counts import Counts


def copies_in(counts: "Counts", *, column: str, looks: bool) -> Sequence[Sequence[int]]:
    """Give groups of layers whose experts of the same index are copies of one another.

    Args:
        counts: The evidence.
        column: The label whose groups differ.
        looks: Whether to look for them at all.
    """
    del counts, column, looks
    return ()


def read(path: Path, labels: Path | None) -> "Counts":
    """Read the evidence of a command; polars is imported only now, so that `--help` answers at once."""
    from polyglyph.analysis.evidence.reading import read_evidence

    return read_evidence(path, labels=labels)
