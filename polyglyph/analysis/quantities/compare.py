"""Comparison: how two groups differ in each expert's selection frequency, with interval, p and q.

Letters of shapes: N rows, L MoE layers, E experts.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.evidence.counts import Counts
from polyglyph.analysis.evidence.errors import EvidenceError
from polyglyph.analysis.evidence.groups import Groups
from polyglyph.analysis.quantities.selection import risk_difference, routed_GL
from polyglyph.analysis.statistics.array_bootstrap import NUM_RESAMPLES, bootstrap_difference
from polyglyph.analysis.statistics.multiplicity import benjamini_hochberg
from polyglyph.analysis.statistics.permutation import NUM_PERMUTATIONS, permutation_p
from polyglyph.analysis.statistics.two_proportions import newcombe, two_proportion_p

Array = NDArray[np.float64]
Unit = Literal["item", "sequence", "token"]
WARNINGS: dict[Unit, str] = {
    "item": "",
    "sequence": "the groups have no items in common: what differs may be the texts and not the group",
    "token": "sums do not tell sequences apart: tokens count as independent, so that intervals and p are far too small",
}
"""What a document says beside figures of a unit; empty where there is nothing to say."""
_UNPAIRED = "not in both groups"


@dataclass(frozen=True, eq=False, kw_only=True)
class Comparison:
    """The first group less the second. NaN where there is nothing to say (`quantities/reasons.py`).

    Attributes:
        groups: Names of the two.
        difference_LE: float64, a of the first less a of the second, -1 to 1; NaN where a group's layer routed nothing.
        low_LE: Lower bound of the 95 % interval; NaN where there is one unit only.
        high_LE: Upper bound.
        p_LE: Two-sided p of no difference; NaN where the expert was selected for none or all tokens, or with one unit.
        q_LE: p corrected over all experts (Benjamini and Hochberg).
        unit: What counts as independent: parallel items, sequences, or, in sums of a server, tokens.
        num_units: How many there are; the tokens of both groups where these are the unit.
        num_paired: Items that are in both groups.
    """

    groups: tuple[str, str]
    difference_LE: Array
    low_LE: Array
    high_LE: Array
    p_LE: Array
    q_LE: Array
    unit: Unit
    num_units: int
    num_paired: int = 0

    @property
    def warning(self) -> str:
        """What to read beside the figures; empty where there is nothing to say."""
        if self.unit == "item" and self.num_paired < self.num_units:
            return f"only {self.num_paired} of {self.num_units} items are in both groups; the others may differ in text"
        return WARNINGS[self.unit]

    def is_significant(self, *, level: float = 0.05) -> NDArray[np.bool_]:
        """Tell the experts with q up to a level, bool [L, E]; none where q is missing."""
        # A comparison with NaN is false, without a warning.
        significant: NDArray[np.bool_] = self.q_LE <= level
        return significant


def compare(
    counts: Counts,
    column: str,
    first: str | Collection[str],
    second: str | Collection[str],
    *,
    seed: int = 0,
    num_permutations: int = NUM_PERMUTATIONS,
    num_resamples: int = NUM_RESAMPLES,
) -> Comparison:
    """Compare two values (or two sets of values) of a label.

    Where sequences are told apart, p comes of labels dealt anew within the items that are in both groups, and among
    the items that are in one only; the interval comes of items drawn anew. In sums, tokens count as independent.

    Args:
        counts: What was observed; filter it first.
        column: The label that tells the groups apart.
        first: Its value in the one group, or several.
        second: In the other.
        seed: Of dealings and draws.
        num_permutations: Dealings of every expert; more where p gets small.
        num_resamples: Draws for the intervals.

    Raises:
        EvidenceError: The groups overlap, one has no tokens, or the label is none.
    """
    names = _names(first), _names(second)
    if both := set(names[0]) & set(names[1]):
        raise EvidenceError(f"expected two groups with nothing in common, got {', '.join(sorted(both))} in both")
    parts = [counts.where(**{column: values}) for values in names]
    sums = _two_groups(parts, column, names)
    difference_LE = risk_difference(*sums.frequencies_GLE)
    difference_LE[~routed_GL(sums.selected_GLE).all(axis=0)] = np.nan
    found = (
        _by_sequences(parts, seed=seed, num_permutations=num_permutations, num_resamples=num_resamples)
        if counts.has_sequences
        else _by_tokens(sums)
    )
    is_missing_LE = np.isnan(difference_LE)
    low_LE, high_LE, p_LE = (np.where(is_missing_LE, np.nan, values) for values in found.arrays)
    return Comparison(
        groups=(sums.names[0], sums.names[1]),
        difference_LE=difference_LE,
        low_LE=low_LE,
        high_LE=high_LE,
        p_LE=p_LE,
        q_LE=benjamini_hochberg(p_LE),
        unit=found.unit,
        num_units=found.num_units,
        num_paired=found.num_paired,
    )


class _Tested(NamedTuple):
    """Bounds and p, each [L, E], and what they count as independent."""

    arrays: tuple[Array, Array, Array]
    unit: Unit
    num_units: int
    num_paired: int = 0


def _names(values: str | Collection[str]) -> tuple[str, ...]:
    return (values,) if isinstance(values, str) else tuple(values)


def _two_groups(parts: list[Counts], column: str, names: tuple[tuple[str, ...], tuple[str, ...]]) -> Groups:
    return Groups(
        columns=(column,),
        names=("+".join(names[0]), "+".join(names[1])),
        tokens_G=np.array([part.tokens_N.sum() for part in parts], dtype=np.int64),
        selected_GLE=np.stack([part.selected_NLE.sum(axis=0, dtype=np.int64) for part in parts]),
        weight_GLE=None,
        model=parts[0].model,
    )


def _by_tokens(sums: Groups) -> _Tested:
    (a1_LE, a2_LE), (num1, num2) = sums.frequencies_GLE, sums.tokens_G.tolist()
    low_LE, high_LE = newcombe(a1_LE, a2_LE, num1=num1, num2=num2)
    p_LE = two_proportion_p(a1_LE, a2_LE, num1=num1, num2=num2)
    return _Tested((low_LE, high_LE, p_LE), "token", num1 + num2)


def _by_sequences(parts: list[Counts], *, seed: int, num_permutations: int, num_resamples: int) -> _Tested:
    first, second = (set(part.labels["item"].to_list()) for part in parts)
    paired = first & second
    units = [_units(part, paired) for part in parts]
    sums_NK = np.concatenate([unit.selected_NLE.reshape(unit.num_rows, -1) for unit in units])
    tokens_N = np.concatenate([unit.tokens_N for unit in units])
    is_first_N = np.repeat([True, False], [unit.num_rows for unit in units])
    items = [item for unit in units for item in unit.labels["item"].to_list()]
    strata = [f"in both: {item}" if item in paired else _UNPAIRED for item in items]
    p_K = permutation_p(sums_NK, tokens_N, is_first_N, strata, seed=seed, num_permutations=num_permutations)
    low_K, high_K = bootstrap_difference(sums_NK, tokens_N, is_first_N, items, seed=seed, num_resamples=num_resamples)
    if len(first | second) < 2:
        p_K = np.full(p_K.shape, np.nan)
    shape = parts[0].selected_NLE.shape[1:]
    return _Tested(
        (low_K.reshape(shape), high_K.reshape(shape), p_K.reshape(shape)),
        "item" if paired else "sequence",
        len(first | second),
        len(paired),
    )


def _units(part: Counts, paired: set[str]) -> Counts:
    """Sum a group's rows to what is dealt as one: a sequence of an item in both groups, else a whole item."""
    some = part.take(np.flatnonzero(part.tokens_N))
    rows = zip(some.labels["item"], some.labels["sequence"], strict=True)
    return some.with_label("__unit", [sequence if item in paired else "" for item, sequence in rows]).summed_by(
        "item", "__unit"
    )
