"""Permutation: how often dealing labels anew within parallel items gives a difference at least as large as was seen.

Letters of shapes: N units (such as sequences), B permutations, K columns (such as layers x experts).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

NUM_PERMUTATIONS = 999
MAX_PERMUTATIONS = 199_999
LEVEL = 0.05
"""Share of false claims that small p values are refined for."""
FEW = 10
"""A p value of fewer exceedances than this is refined: its own error is a third of it or more."""
_MEMORY = 4_000_000
"""Numbers at a time: 32 MB."""
_MAX_DRAWS = 150_000_000
"""Labels to deal in all while refining: a few seconds. With 40 million, one true effect among 6,144 experts was found
in 200 sequences and no longer in 600: 66,000 dealings cannot give a p that survives the correction."""

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Design:
    """Which labels may change places: those of units of one stratum (a parallel item).

    Attributes:
        is_first_N: Which units are of the first group; some are, and some are not.
        strata: Of each unit, its stratum.
    """

    is_first_N: NDArray[np.bool_]
    strata: Sequence[str]

    @cached_property
    def stratum_N(self) -> NDArray[np.int64]:
        """Of each unit, the number of its stratum."""
        _, stratum_N = np.unique(np.asarray(self.strata, dtype=object).astype(str), return_inverse=True)
        return stratum_N

    @cached_property
    def is_paired(self) -> bool:
        """Whether every stratum has one unit of each group."""
        first = np.bincount(self.stratum_N[self.is_first_N], minlength=self.stratum_N.max(initial=-1) + 1)
        second = np.bincount(self.stratum_N[~self.is_first_N], minlength=self.stratum_N.max(initial=-1) + 1)
        return bool((first == 1).all() and (second == 1).all())

    @cached_property
    def is_one_stratum(self) -> bool:
        """Whether all units are of one stratum, which has units of both groups."""
        return self.can_vary and not self.stratum_N.any()

    @property
    def can_vary(self) -> bool:
        """Whether any dealing differs from what was seen: some stratum has units of both groups."""
        return bool(np.intersect1d(self.stratum_N[self.is_first_N], self.stratum_N[~self.is_first_N]).size)

    def deal(self, num_permutations: int, generator: np.random.Generator) -> NDArray[np.bool_]:
        """Deal the labels anew: bool [B, N], as many of each group in every stratum as there are."""
        if self.is_paired:
            flips_BS = generator.integers(0, 2, size=(num_permutations, len(self.is_first_N) // 2), dtype=np.uint8)
            flipped_BN: NDArray[np.bool_] = self.is_first_N ^ flips_BS.astype(bool)[:, self.stratum_N]
            return flipped_BN
        if self.is_one_stratum:
            return self._deal_one(num_permutations, generator)
        keys_BN = generator.random((num_permutations, len(self.is_first_N))) + self.stratum_N
        # Units sorted by stratum and, within it, by chance, take the labels of the units sorted by stratum.
        sorted_labels_N = self.is_first_N[np.argsort(self.stratum_N, kind="stable")]
        dealt_BN = np.empty(keys_BN.shape, dtype=bool)
        np.put_along_axis(
            dealt_BN, np.argsort(keys_BN, axis=1), np.broadcast_to(sorted_labels_N, keys_BN.shape), axis=1
        )
        return dealt_BN

    def _deal_one(self, num_permutations: int, generator: np.random.Generator) -> NDArray[np.bool_]:
        """Deal within one stratum: the units with the smallest keys are first, which takes a third of a sort's time."""
        num_first = int(self.is_first_N.sum())
        keys_BN = generator.random((num_permutations, len(self.is_first_N)), dtype=np.float32)
        dealt_BN: NDArray[np.bool_] = keys_BN < np.partition(keys_BN, num_first, axis=1)[:, num_first, None]
        # One row in tens of thousands has equal keys at the bound, and would have a unit fewer.
        uneven_B = dealt_BN.sum(axis=1) != num_first
        order_BN = np.argsort(keys_BN[uneven_B], axis=1, kind="stable")
        dealt_BN[uneven_B] = np.argsort(order_BN, axis=1) < num_first
        return dealt_BN


def permutation_p(
    sums_NK: NDArray[Any],
    tokens_N: ArrayLike,
    is_first_N: ArrayLike,
    strata: Sequence[str],
    *,
    seed: int,
    num_permutations: int = NUM_PERMUTATIONS,
    max_permutations: int = MAX_PERMUTATIONS,
) -> Array:
    """Give two-sided p values of the difference of sum / tokens between two groups (Phipson and Smyth 2010).

    p = (1 + b) / (1 + B), with b of B dealings at least as far from the mean of the dealings as what was seen. Where
    fewer than 10 are, and B dealings could not survive Benjamini and Hochberg's correction over the K columns, these
    columns are dealt more often, up to `max_permutations`.

    Args:
        sums_NK: Sums of each unit, such as selections, [N, K].
        tokens_N: Tokens of each unit, 1 or more.
        is_first_N: Which units are of the first group.
        strata: Of each unit, the parallel item within which labels change places; one for all where there are none.
        seed: Of the dealings.
        num_permutations: B of every column.
        max_permutations: B of the refined ones at most.

    Returns:
        float64 [K]; NaN where no dealing can differ from what was seen: no stratum with both groups, or a column of
        which all units have the same share, 0 included.
    """
    tokens = np.asarray(tokens_N, dtype=np.float64)
    design = Design(is_first_N=np.asarray(is_first_N, dtype=bool), strata=strata)
    p_K = np.full(sums_NK.shape[1], np.nan)
    if not len(tokens) or not design.can_vary:
        return p_K
    open_K = np.flatnonzero(_varies(sums_NK, tokens))
    dealer = _Dealer(sums_NK, tokens, design, np.random.default_rng(seed))
    most = min(max_permutations, _MAX_DRAWS // len(tokens))
    exceeding = np.zeros(len(open_K), dtype=np.int64)
    dealt, target = 0, num_permutations
    while len(open_K) and target > dealt:
        exceeding += dealer.count(open_K, target - dealt)
        dealt = target
        p_K[open_K] = (1 + exceeding) / (1 + dealt)
        open_K, exceeding = open_K[exceeding < FEW], exceeding[exceeding < FEW]
        # What is left is mostly chance at first: with fewer columns left, more dealings are needed for each.
        target = min(_needed(len(open_K), sums_NK.shape[1]), most)
    return p_K


class _Dealer:
    """Counts dealings that are as extreme as what was seen."""

    def __init__(self, sums_NK: NDArray[Any], tokens_N: Array, design: Design, generator: np.random.Generator) -> None:
        self._sums_NK = sums_NK
        self._tokens_N = tokens_N
        self._design = design
        self._generator = generator
        self._centre_K: Array | None = None

    def count(self, columns: NDArray[np.int64], num_permutations: int) -> NDArray[np.int64]:
        """Deal anew and count, by column."""
        sums_NK = self._sums_NK[:, columns].astype(np.float64)
        seen_K = self._differences(self._design.is_first_N[None], sums_NK)[0]
        exceeding_K = np.zeros(len(columns), dtype=np.int64)
        for labels_BN in self._batches(num_permutations, len(columns)):
            dealt_BK = self._differences(labels_BN, sums_NK)
            centre_K = self._centre(columns, dealt_BK, seen_K)
            # Equal dealings are added up in another order: 1e-12 is far above their rounding.
            exceeding_K += (np.abs(dealt_BK - centre_K) >= np.abs(seen_K - centre_K) - 1e-12).sum(axis=0)
        return exceeding_K

    def _batches(self, num_permutations: int, num_columns: int) -> Iterator[NDArray[np.bool_]]:
        step = max(1, _MEMORY // max(len(self._tokens_N), num_columns, 1))
        for begin in range(0, num_permutations, step):
            yield self._design.deal(min(step, num_permutations - begin), self._generator)

    def _differences(self, labels_BN: NDArray[np.bool_], sums_NK: Array) -> Array:
        labels = labels_BN.astype(np.float64)
        first_BK, tokens_B = labels @ sums_NK, labels @ self._tokens_N
        second_BK, rest_B = sums_NK.sum(axis=0) - first_BK, self._tokens_N.sum() - tokens_B
        difference_BK: Array = first_BK / tokens_B[:, None] - second_BK / rest_B[:, None]
        return difference_BK

    def _centre(self, columns: NDArray[np.int64], dealt_BK: Array, seen_K: Array) -> Array:
        """Give the mean of the dealings: 0 in pairs, whose labels can all change places; else of the first batch."""
        if self._design.is_paired:
            return np.zeros(len(columns))
        if self._centre_K is None:
            self._centre_K = np.full(self._sums_NK.shape[1], np.nan)
            self._centre_K[columns] = (dealt_BK.sum(axis=0) + seen_K) / (len(dealt_BK) + 1)
        return self._centre_K[columns]


def _varies(sums_NK: NDArray[Any], tokens_N: Array) -> NDArray[np.bool_]:
    """Tell which columns have units of different shares."""
    total_K = sums_NK.sum(axis=0, dtype=np.float64)
    whole = tokens_N.sum()
    varies_K = np.zeros(sums_NK.shape[1], dtype=bool)
    for sums_K, tokens in zip(sums_NK, tokens_N, strict=True):
        # Whole numbers below 2^53 each: compared as products they are equal to within rounding.
        varies_K |= np.abs(sums_K * whole - total_K * tokens) > 1e-9 * whole * tokens
    return varies_K


def _needed(num_few: int, num_columns: int) -> int:
    """Give how many dealings let the few columns survive the correction: 1 / (1 + B) well below LEVEL few / K."""
    return int(4 * num_columns / (LEVEL * max(1, num_few)))
