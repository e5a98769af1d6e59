"""Counts: how often each expert was selected, by row, and what rows have in common.

Letters of shapes: N rows, G groups, L MoE layers, E experts.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from polyglyph.analysis.evidence.checks import COLUMNS, check_counts
from polyglyph.analysis.evidence.errors import EvidenceError
from polyglyph.analysis.evidence.groups import Groups
from polyglyph.analysis.evidence.model_shape import ModelShape
from polyglyph.contract.sums import SUMMED

__all__ = ["COLUMNS", "Counts", "Groups", "ModelShape"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Counts:
    """Selections by row: the tokens of one sequence (or of one group of stats) that share all labels.

    Attributes:
        model: The model that was counted.
        labels: N rows of text: `COLUMNS`, then labels of the user's own; `*` where a column was summed away.
        tokens_N: int64 [N].
        selected_NLE: int32 or int64 [N, L, E], how often each expert was selected; at most the row's tokens.
        weight_NLE: float32 or float64 [N, L, E], sums of routing weights; None where they were not recorded.
        has_sequences: False where rows are sums of a server, in which sequences cannot be told apart.
        digest: `sha256:<hex>` of the source, for provenance; the same for all that is derived from it.

    Raises:
        EvidenceError: Shapes disagree, or counts are negative, beyond 2^53 or more than the tokens can have made.
    """

    model: ModelShape
    labels: pl.DataFrame
    tokens_N: NDArray[np.int64]
    selected_NLE: NDArray[Any]
    weight_NLE: NDArray[Any] | None
    has_sequences: bool
    digest: str

    def __post_init__(self) -> None:
        check_counts(self.model, self.labels, self.tokens_N, self.selected_NLE, self.weight_NLE)

    @property
    def num_rows(self) -> int:
        """Number of rows, N."""
        return len(self.tokens_N)

    def values(self, column: str) -> tuple[str, ...]:
        """Give the values of a label, sorted, each once.

        Raises:
            EvidenceError: There is no such label, or it was summed away.
        """
        return tuple(sorted(self._column(column).unique().to_list()))

    def where(self, **labels: str | Collection[str]) -> "Counts":
        """Keep the rows whose labels have the asked values.

        Args:
            labels: A value, or several of which any will do, by label.

        Raises:
            EvidenceError: There is no such label, or no row is left; the text says what there is.
        """
        kept_N = np.ones(self.num_rows, dtype=bool)
        for column, wanted in labels.items():
            values = [wanted] if isinstance(wanted, str) else list(wanted)
            kept_N &= self._column(column).is_in(values).to_numpy()
            if not kept_N.any():
                there = ", ".join(value or "''" for value in self.values(column)[:12])
                raise EvidenceError(
                    f"expected evidence with {column} = {' or '.join(values) or 'nothing'}, got none: {column} is "
                    f"{there} here{' in other rows' if set(values) & set(self.values(column)) else ''}"
                )
        return self.take(np.flatnonzero(kept_N))

    def by(self, *columns: str) -> Groups:
        """Sum the rows by the values of one or more labels; groups are sorted by name.

        Raises:
            EvidenceError: There is no such label, it was summed away, or a group has no tokens.
        """
        keys, members = self._grouped(columns)
        tokens_G, selected_GLE, weight_GLE = self._summed(members)
        return Groups(
            columns=columns,
            names=tuple("/".join(key) for key in keys),
            tokens_G=tokens_G,
            selected_GLE=selected_GLE,
            weight_GLE=weight_GLE,
            model=self.model,
        )

    def summed_by(self, *columns: str) -> "Counts":
        """Give coarser rows, one for each combination of values; sorted.

        Other labels stay where the rows that were added agree on them, and read `*` where they do not.
        """
        _, members = self._grouped(columns)
        index_N = np.empty(self.num_rows, dtype=np.int64)
        for number, rows in enumerate(members):
            index_N[rows] = number
        labels = _agreed(self.labels, index_N)
        tokens_N, selected_NLE, weight_NLE = self._summed(members)
        return replace(
            self,
            labels=labels,
            tokens_N=tokens_N,
            selected_NLE=selected_NLE,
            weight_NLE=weight_NLE,
            has_sequences=self.has_sequences and not (labels["item"] == SUMMED).any(),
        )

    def with_label(self, column: str, values: Sequence[str]) -> "Counts":
        """Give the same rows with one label more, or with another value of one.

        Args:
            column: Its name.
            values: One text per row.
        """
        return replace(self, labels=self.labels.with_columns(pl.Series(column, list(values), dtype=pl.String)))

    def frame(self) -> pl.DataFrame:
        """Give a table: the labels, layer, expert, selected, weight_sum (where recorded) and group_tokens.

        It has N x L x E rows: sum first (`summed_by`) where there are many.
        """
        cells = self.model.layers * self.model.experts
        row_R = np.repeat(np.arange(self.num_rows), cells)
        columns: dict[str, Any] = {
            "layer": np.tile(np.repeat(np.arange(self.model.layers), self.model.experts), self.num_rows),
            "expert": np.tile(np.arange(self.model.experts), self.num_rows * self.model.layers),
            "selected": self.selected_NLE.ravel().astype(np.int64),
        }
        if self.weight_NLE is not None:
            columns["weight_sum"] = self.weight_NLE.ravel().astype(np.float64)
        columns["group_tokens"] = self.tokens_N[row_R]
        return pl.concat([self.labels[row_R], pl.DataFrame(columns)], how="horizontal")

    def take(self, rows: NDArray[np.int64]) -> "Counts":
        """Give some of the rows, by their positions."""
        return replace(
            self,
            labels=self.labels[rows],
            tokens_N=self.tokens_N[rows],
            selected_NLE=self.selected_NLE[rows],
            weight_NLE=None if self.weight_NLE is None else self.weight_NLE[rows],
        )

    def _column(self, column: str) -> pl.Series:
        if column not in self.labels.columns:
            raise EvidenceError(f"expected a label out of {', '.join(self.labels.columns)}, got {column!r}")
        series = self.labels[column]
        if (series == SUMMED).all():
            raise EvidenceError(
                f"the label '{column}' was summed away, so that nothing can be told apart by it: pull the stats with "
                f"--by {column}, or use traces"
            )
        return series

    def _summed(
        self, members: Sequence[NDArray[np.int64]]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64] | None]:
        """Give tokens, selections and weights of each group of rows."""
        tokens = np.array([self.tokens_N[rows].sum() for rows in members], dtype=np.int64)
        selected = _sums(self.selected_NLE, members, dtype=np.dtype(np.int64))
        if self.weight_NLE is None:
            return tokens, selected, None
        return tokens, selected, _sums(self.weight_NLE, members, dtype=np.dtype(np.float64))

    def _grouped(self, columns: Sequence[str]) -> tuple[list[tuple[str, ...]], list[NDArray[np.int64]]]:
        """Give the combinations of values that there are, sorted, and the rows of each."""
        if not columns:
            raise EvidenceError(f"expected one label or more out of {', '.join(self.labels.columns)}, got none")
        members: dict[tuple[str, ...], list[int]] = {}
        for row, key in enumerate(zip(*(self._column(column).to_list() for column in columns), strict=True)):
            members.setdefault(key, []).append(row)
        keys = sorted(members)
        return keys, [np.array(members[key], dtype=np.int64) for key in keys]


def _sums(values_NLE: NDArray[Any], members: Sequence[NDArray[np.int64]], *, dtype: np.dtype[Any]) -> NDArray[Any]:
    sums_GLE = np.empty((len(members), *values_NLE.shape[1:]), dtype)
    for row, rows in enumerate(members):
        # A slice is summed where it lies; a list of rows would be copied first.
        is_run = rows[-1] - rows[0] == len(rows) - 1
        part_NLE = values_NLE[rows[0] : rows[-1] + 1] if is_run else values_NLE[rows]
        part_NLE.sum(axis=0, dtype=dtype, out=sums_GLE[row])
    return sums_GLE


def _agreed(labels: pl.DataFrame, index_N: NDArray[np.int64]) -> pl.DataFrame:
    """Give each group's labels where its rows agree, `*` where they do not."""
    agreed = [
        pl.when(pl.col(name).n_unique() == 1).then(pl.col(name).first()).otherwise(pl.lit(SUMMED)).alias(name)
        for name in labels.columns
    ]
    return (
        labels.with_columns(pl.Series("__group", index_N))
        .group_by("__group")
        .agg(agreed)
        .sort("__group")
        .drop("__group")
    )
