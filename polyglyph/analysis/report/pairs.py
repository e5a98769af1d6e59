"""Pairs: the difference of every two groups, expert by expert, with its test.

Letters of shapes: N rows, L MoE layers, E experts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.evidence.counts import Counts, Groups
from polyglyph.analysis.evidence.errors import EvidenceError
from polyglyph.analysis.quantities import reasons
from polyglyph.analysis.quantities.compare import Comparison, compare
from polyglyph.analysis.quantities.copies import Copies, clustered_q
from polyglyph.analysis.quantities.parallel import ParallelDivergence, parallel_divergence
from polyglyph.analysis.report.source import Source
from polyglyph.analysis.statistics.figure import Missing

ALPHA = 0.05
MOST_PAIRS = 45
"""Pairs of ten groups; of more groups only the largest is compared with the others, unless pairs are named."""

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Pair:
    """Two groups compared, the first minus the second.

    Attributes:
        first: Name of the one.
        second: Name of the other.
        comparison: Of their frequencies.
        parallel: Entropy-normalised divergence of the items that both have.
    """

    first: str
    second: str
    comparison: Comparison
    parallel: ParallelDivergence | Missing


@dataclass(frozen=True, eq=False, kw_only=True)
class Pairs:
    """The pairs that were compared, or why none was.

    Attributes:
        pairs: In the order asked for.
        alpha: Up to which q a difference is called significant.
        is_clustered: Whether q counts the experts of one index in copied layers as one hypothesis.
    """

    pairs: Sequence[Pair] | Missing
    alpha: float
    is_clustered: bool = False

    @property
    def parallel_L(self) -> Array | Missing:
        """Entropy-normalised divergence of parallel items, the mean over the pairs that have any, float64 [L]."""
        if isinstance(self.pairs, Missing):
            return self.pairs
        found = [pair.parallel for pair in self.pairs]
        means = [parallel.mean_L for parallel in found if not isinstance(parallel, Missing)]
        if not means:
            return next(parallel for parallel in found if isinstance(parallel, Missing))
        mean_L: Array = np.mean(means, axis=0)
        return mean_L


def pairs_of(source: Source, asked: Sequence[tuple[str, str]], copies: Copies | Missing) -> Pairs:
    """Compare groups.

    Args:
        source: Evidence and its groups.
        asked: Pairs; none for all of up to ten groups, and for the largest with each other of more.
        copies: Layers that are copies of one another, whose experts of one index are tested as one.

    Raises:
        EvidenceError: A pair names a group that is not there, one group twice, or was named before.
    """
    groups = source.groups
    if groups.num_groups < 2:
        missing = Missing(f"{reasons.ONE_GROUP}, got {groups.names[0]} only")
        return Pairs(pairs=missing, alpha=ALPHA)
    chosen = _checked(asked, groups) or _usual(groups)
    column, counts = "/".join(groups.columns), source.counts
    if len(groups.columns) > 1:
        counts = counts.with_label(column, [groups.names[group] for group in source.member_N])
    copied = copies if isinstance(copies, Copies) and copies.has_copies else None
    pairs = [
        Pair(first, second, _compared(counts, column, first, second, copied), _parallel(counts, column, first, second))
        for first, second in chosen
    ]
    return Pairs(pairs=pairs, alpha=ALPHA, is_clustered=copied is not None)


def _compared(counts: Counts, column: str, first: str, second: str, copied: Copies | None) -> Comparison:
    found = compare(counts, column, first, second)
    return found if copied is None else replace(found, q_LE=clustered_q(found.p_LE, copied))


def _checked(asked: Sequence[tuple[str, str]], groups: Groups) -> list[tuple[str, str]]:
    seen: set[frozenset[str]] = set()
    for first, second in asked:
        groups.index(first)
        groups.index(second)
        if first == second:
            raise EvidenceError(f"expected two different groups to compare, got {first!r} twice")
        if frozenset((first, second)) in seen:
            raise EvidenceError(f"expected each pair once, got {first} and {second} again")
        seen.add(frozenset((first, second)))
    return list(asked)


def _usual(groups: Groups) -> list[tuple[str, str]]:
    pairs = list(combinations(groups.names, 2))
    if len(pairs) <= MOST_PAIRS:
        return pairs
    largest = groups.names[int(groups.tokens_G.argmax())]
    by_size = [groups.names[group] for group in np.argsort(-groups.tokens_G, kind="stable")]
    return [(name, largest) for name in by_size if name != largest][:MOST_PAIRS]


def _parallel(counts: Counts, column: str, first: str, second: str) -> ParallelDivergence | Missing:
    if not counts.has_sequences:
        return Missing(reasons.NO_SEQUENCES)
    sides = [set(counts.where(**{column: name}).values("item")) for name in (first, second)]
    if not sides[0] & sides[1]:
        return Missing(reasons.NO_PARALLEL_ITEMS)
    return parallel_divergence(counts, column, first, second)
