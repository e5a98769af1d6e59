"""Conservation: every token selects top-k experts in every layer, and nothing else is counted (promise 6).

Letters: L MoE layers, E experts.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from polyglyph.contract.stats import StatsHeader
from polyglyph.contract.sums import GroupSums


@dataclass(frozen=True, kw_only=True)
class Conservation:
    """Selections, and what they must be.

    Attributes:
        selections: Sum of all selected counts.
        tokens: Tokens computed.
        layers: MoE layers.
        top_k: Experts per token.
    """

    selections: int
    tokens: int
    layers: int
    top_k: int

    @property
    def expected(self) -> int:
        """Selections that the tokens make."""
        return self.tokens * self.layers * self.top_k

    @property
    def holds(self) -> bool:
        """Whether nothing is lost and nothing counted twice."""
        return self.selections == self.expected

    def __str__(self) -> str:
        """Write the equation, or by how much it fails."""
        product = f"{self.tokens} tokens x {self.layers} layers x top-{self.top_k}"
        if self.holds:
            return f"{self.selections} selections = {product}"
        return f"{self.selections} selections, but {product} are {self.expected}"


def conservation_of(header: StatsHeader, groups: Iterable[GroupSums]) -> Conservation:
    """Add up groups and compare."""
    selections = tokens = 0
    for group in groups:
        selections += exact_sum(group.selected_LE)
        tokens += group.tokens
    return Conservation(selections=selections, tokens=tokens, layers=header.layers, top_k=header.top_k)


def exact_sum(count_LE: "np.ndarray[Any, Any]") -> int:
    """Add up int64 counts of 0 or more, however large, without wrapping round."""
    high, low = count_LE >> 32, count_LE & 0xFFFF_FFFF
    return (int(high.sum()) << 32) + int(low.sum())
