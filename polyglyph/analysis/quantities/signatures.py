"""Set signatures: which sets of groups an expert serves and the others not (methods section 2).

Letters of shapes: S sets, G groups, L MoE layers, E experts.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from polyglyph.analysis.evidence.errors import EvidenceError

RATIO = 4.0
"""How many times as often every group of the set must select the expert as any outside."""
FLOOR = 0.05
"""How often every group of the set must select it at least."""
MAX_ALL = 10
"""Groups up to which every subset is tried."""


@dataclass(frozen=True, eq=False)
class Signatures:
    """The sets that were tried, and the experts that have them; an expert may have several, nested in one another.

    Attributes:
        sets: Indices of groups, each set sorted; by size, then in order.
        members: bool [S, L, E].
    """

    sets: tuple[tuple[int, ...], ...]
    members: NDArray[np.bool_]

    @property
    def counts_SL(self) -> NDArray[np.int64]:
        """How many experts of each layer have each signature, int64 [S, L]."""
        counts: NDArray[np.int64] = self.members.sum(axis=2)
        return counts

    def of(self, *groups: int) -> NDArray[np.bool_]:
        """Give the experts of one set, bool [L, E].

        Raises:
            EvidenceError: The set was not tried.
        """
        wanted = tuple(sorted(groups))
        if wanted not in self.sets:
            raise EvidenceError(f"expected one of the {len(self.sets)} sets of groups that were tried, got {wanted}")
        members: NDArray[np.bool_] = self.members[self.sets.index(wanted)]
        return members


def signatures(
    a_GLE: ArrayLike, *, named: Collection[Collection[int]] = (), ratio: float = RATIO, floor: float = FLOOR
) -> Signatures:
    """Find the sets S of groups with min over S of a > ratio x max outside S, and min over S of a > floor.

    Such a set is always the groups that select the expert most, so that one sort per expert and one comparison per
    size decide all 2^G - 2 sets.

    Args:
        a_GLE: Selection frequencies, float64 [G, L, E].
        named: Sets of group indices to try besides; with up to 10 groups all proper subsets are tried anyway, with
            more only single groups, pairs and these.
        ratio: 4 in methods section 2.
        floor: 0.05 there.

    Raises:
        EvidenceError: A named set is empty, holds all groups or a group that is not there.
    """
    a = np.asarray(a_GLE, dtype=np.float64)
    num_groups = len(a)
    sets = tuple(_sets(num_groups, named))
    members = np.zeros((len(sets), *a.shape[1:]), dtype=bool)
    number = {groups: index for index, groups in enumerate(sets)}
    for groups_NS, cells_N in _prefixes(a.reshape(num_groups, -1), ratio=ratio, floor=floor):
        found, which_N = np.unique(groups_NS, axis=0, return_inverse=True)
        set_of = np.array([number.get(tuple(groups), -1) for groups in found.tolist()], dtype=np.int64)
        set_N = set_of[which_N.reshape(-1)]
        members.reshape(len(sets), -1)[set_N[set_N >= 0], cells_N[set_N >= 0]] = True
    return Signatures(sets, members)


def _prefixes(
    a_GC: NDArray[np.float64], *, ratio: float, floor: float
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Give, size by size, the sets of most selecting groups that qualify, [N, size], and the cells they are of [N]."""
    order_GC = np.argsort(-a_GC, axis=0, kind="stable")
    sorted_GC = np.take_along_axis(a_GC, order_GC, axis=0)
    for size in range(1, len(a_GC)):
        lowest_C, next_C = sorted_GC[size - 1], sorted_GC[size]
        cells_N = np.flatnonzero((lowest_C > ratio * next_C) & (lowest_C > floor))
        if len(cells_N):
            yield np.sort(order_GC[:size, cells_N].T, axis=1), cells_N


def _sets(num_groups: int, named: Collection[Collection[int]]) -> Iterator[tuple[int, ...]]:
    wanted = {_checked(groups, num_groups) for groups in named}
    largest = num_groups - 1 if num_groups <= MAX_ALL else 2
    for size in range(1, min(largest, num_groups - 1) + 1):
        yield from combinations(range(num_groups), size)
    yield from sorted((groups for groups in wanted if len(groups) > largest), key=lambda groups: (len(groups), groups))


def _checked(groups: Collection[int], num_groups: int) -> tuple[int, ...]:
    found = tuple(sorted(set(groups)))
    if not found or len(found) >= num_groups or found[0] < 0 or found[-1] >= num_groups:
        raise EvidenceError(
            f"expected a named set of some, but not all, of the groups 0 to {num_groups - 1}, got {list(groups)}"
        )
    return found
