"""Joins counts of several files into one, each with a label that says where its rows came from."""

from collections.abc import Mapping

import numpy as np
import polars as pl

from polyglyph.analysis.evidence.counts import Counts
from polyglyph.analysis.evidence.errors import EvidenceError
from polyglyph.contract.base import digest


def join_counts(parts: Mapping[str, Counts], *, column: str = "evidence") -> Counts:
    """Put the rows of several counts under one another.

    Args:
        parts: Counts of one model, by the value that their rows get.
        column: The label that holds it.

    Returns:
        Counts with sequences only where all parts have them, and with weights only where all parts have them. A
        user's label that a part lacks is empty there.

    Raises:
        EvidenceError: There is no part, or two are of different models; the text has both.
    """
    if not parts:
        raise EvidenceError("expected counts to join, got none")
    counts = [part.with_label(column, [name] * part.num_rows) for name, part in parts.items()]
    first = counts[0]
    for name, part in zip(parts, counts, strict=True):
        first.model.check_same(part.model, what=name)
    weights = [part.weight_NLE for part in counts if part.weight_NLE is not None]
    return Counts(
        model=first.model,
        labels=pl.concat([part.labels for part in counts], how="diagonal").with_columns(pl.all().fill_null("")),
        tokens_N=np.concatenate([part.tokens_N for part in counts]),
        selected_NLE=np.concatenate([part.selected_NLE for part in counts]),
        weight_NLE=np.concatenate(weights) if len(weights) == len(counts) else None,
        has_sequences=all(part.has_sequences for part in counts),
        digest=digest([part.digest for part in counts]),
    )
