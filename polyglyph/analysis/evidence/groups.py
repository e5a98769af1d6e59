"""Groups: counts summed by the values of one or more columns.

Letters of shapes: G groups, L MoE layers, E experts.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from polyglyph.analysis.evidence.errors import EvidenceError
from polyglyph.analysis.evidence.model_shape import ModelShape


@dataclass(frozen=True, eq=False, kw_only=True)
class Groups:
    """Sums of each group, in the order of the names.

    Attributes:
        columns: What the groups are told apart by.
        names: Values of the columns, joined by "/", each once.
        tokens_G: int64 [G], 1 or more.
        selected_GLE: int64 [G, L, E], how often each expert was selected.
        weight_GLE: float64 [G, L, E], sums of routing weights; None where they were not recorded.
        model: The model that was counted.

    Raises:
        EvidenceError: A group has no tokens; the text names it.
    """

    columns: tuple[str, ...]
    names: tuple[str, ...]
    tokens_G: NDArray[np.int64]
    selected_GLE: NDArray[np.int64]
    weight_GLE: NDArray[np.float64] | None
    model: ModelShape

    def __post_init__(self) -> None:
        empty = [name for name, tokens in zip(self.names, self.tokens_G, strict=True) if tokens < 1]
        if empty:
            there = [name for name in self.names if name not in empty]
            raise EvidenceError(
                f"no tokens were counted for {_listed(empty)} by {self._by}, only for {_listed(there)}: leave such "
                "groups out, or profile text of them"
            )

    @cached_property
    def frequencies_GLE(self) -> NDArray[np.float64]:
        """Selection frequencies a(l, e; group) = A / N, float64, 0 to 1; the sum over experts is k."""
        frequencies_GLE: NDArray[np.float64] = self.selected_GLE / self.tokens_G[:, None, None]
        return frequencies_GLE

    @property
    def num_groups(self) -> int:
        """Number of groups, G."""
        return len(self.names)

    def index(self, name: str) -> int:
        """Give the position of a group.

        Raises:
            EvidenceError: There is none of that name; the text lists those that are.
        """
        if name not in self.names:
            raise EvidenceError(f"expected a group by {self._by} out of {_listed(self.names)}, got {name!r}")
        return self.names.index(name)

    def pick(self, *names: str) -> "Groups":
        """Give some of the groups, in the order asked for."""
        rows = [self.index(name) for name in names]
        return Groups(
            columns=self.columns,
            names=names,
            tokens_G=self.tokens_G[rows],
            selected_GLE=self.selected_GLE[rows],
            weight_GLE=None if self.weight_GLE is None else self.weight_GLE[rows],
            model=self.model,
        )

    def require_several(self) -> "Groups":
        """Give the groups back where there are two or more.

        Raises:
            EvidenceError: There is one group only, or none.
        """
        if self.num_groups < 2:
            raise EvidenceError(
                f"expected two groups or more by {self._by}, got {_listed(self.names)} only: a comparison needs "
                "another group; profile more text, or tell groups apart by another column"
            )
        return self

    def frame(self) -> pl.DataFrame:
        """Give a table, one row per group, layer and expert: group, layer, expert, selected, tokens, frequency."""
        num_layers, num_experts = self.selected_GLE.shape[1:]
        cells = num_layers * num_experts
        weights = {} if self.weight_GLE is None else {"weight_sum": self.weight_GLE.ravel()}
        return pl.DataFrame(
            {
                "group": np.repeat(np.array(self.names, dtype=object).astype(str), cells),
                "layer": np.tile(np.repeat(np.arange(num_layers), num_experts), self.num_groups),
                "expert": np.tile(np.arange(num_experts), self.num_groups * num_layers),
                "selected": self.selected_GLE.ravel(),
                **weights,
                "group_tokens": np.repeat(self.tokens_G, cells),
                "frequency": self.frequencies_GLE.ravel(),
            }
        )

    @property
    def _by(self) -> str:
        return "/".join(self.columns)


def _listed(names: "tuple[str, ...] | list[str]") -> str:
    shown = ", ".join(name or "''" for name in names[:12])
    return (shown + (f" and {len(names) - 12} more" if len(names) > 12 else "")) or "none"
