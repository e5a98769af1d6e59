"""The difference of two sides, expert by expert: effect, bootstrap interval, permutation p and false discovery rate.

Letters of shapes: N rows, L MoE layers, E experts, C cells, R resamples.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.identification.sides import FIRST, SECOND, SIDE, Sides
from polyglyph.analysis.identification.units import units_of
from polyglyph.analysis.quantities.copies import Copies, clustered_p, clustered_q, find_copies
from polyglyph.analysis.quantities.selection import routed_GL
from polyglyph.analysis.statistics.array_bootstrap import bootstrap_difference
from polyglyph.analysis.statistics.multiplicity import benjamini_hochberg
from polyglyph.analysis.statistics.permutation import permutation_p
from polyglyph.analysis.statistics.two_proportions import newcombe, two_proportion_p

if TYPE_CHECKING:
    from polyglyph.analysis.evidence.counts import Counts

Array = NDArray[np.float64]
Weighting = Literal["tokens", "sequences"]
"""Whether every token or every sequence of a side weighs alike."""

LEAST_ITEMS = 5
"""Items below which an interval or a permutation says next to nothing; the result says so."""
TOO_OPTIMISTIC = (
    "the evidence holds sums in which sequences cannot be told apart: intervals and p count tokens as independent and "
    "are too optimistic; ask prompts with 'polyglyph identify ask', or use traces"
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Difference:
    """What differs between two sides.

    Attributes:
        first_LE: Frequencies of the first side, float64; `second_LE` of the second.
        second_LE: Of the second.
        effect_LE: First minus second, -1 to 1.
        low_LE: Lower bound of the 95 % interval, NaN where there is none.
        high_LE: Upper bound.
        p_LE: Two-sided, 0 to 1, NaN where nothing can differ.
        q_LE: Benjamini-Hochberg over hypotheses, NaN where p is; the same for index-aligned copies of one expert.
        frequencies_LE: Of both sides together, each weighted alike: what controls are matched on.
        unit: What is drawn and exchanged.
        num_first: Units of the first side.
        num_second: Units of the second side.
        num_items: What the bootstrap draws; 0 where tokens count as independent.
        notes: What to know before it is believed.
        num_hypotheses: That q is adjusted for.
    """

    first_LE: Array
    second_LE: Array
    effect_LE: Array
    low_LE: Array
    high_LE: Array
    p_LE: Array
    q_LE: Array
    frequencies_LE: Array
    unit: Literal["sequence", "token"]
    num_first: int
    num_second: int
    num_items: int
    notes: tuple[str, ...]
    num_hypotheses: int = 0

    @property
    def columns(self) -> dict[str, NDArray[Any]]:
        """The columns of a method's table."""
        names = ("first", "second", "low", "high", "p", "q")
        return {name: getattr(self, f"{name}_LE") for name in names}

    @property
    def statistics(self) -> dict[str, Any]:
        """What the result rests on, as plain JSON types."""
        return {
            "unit": self.unit,
            "first": self.num_first,
            "second": self.num_second,
            "items": self.num_items,
            "hypotheses": self.num_hypotheses,
            "interval": "bootstrap 95 % over items" if self.num_items else "Newcombe 95 %, tokens independent",
            "p": "permutation within items, two-sided" if self.num_items else "two proportions, tokens independent",
            "q": "Benjamini-Hochberg",
        }


def difference(
    counts: "Counts",
    sides: Sides,
    *,
    weighting: Weighting,
    looks_for_copies: bool = True,
    seed: int = 0,
) -> Difference:
    """Compare two sides expert by expert.

    Args:
        counts: The evidence.
        sides: What is compared.
        weighting: Whether tokens or sequences weigh alike.
        looks_for_copies: Whether layers whose experts of the same index are copies of one another count as one
            hypothesis.
        seed: Of resamples and permutations.

    Raises:
        EvidenceError: A side has no tokens.
        IdentificationError: The sides cannot be compared.
    """
    split = sides.split(counts)
    groups = split.by(SIDE).pick(FIRST, SECOND)
    silent_L = ~routed_GL(groups.selected_GLE).all(axis=0)
    if split.has_sequences:
        # A sequence without tokens on a side has no frequencies there.
        rows = split.take(np.flatnonzero(split.tokens_N)).summed_by("sequence", SIDE)
        # What is 0 everywhere is not tested, and takes no dealings from what is.
        rows.selected_NLE[:, silent_L] = 0
        found = _of_sequences(rows, weighting=weighting, seed=seed)
    else:
        found = _of_sums(groups.selected_GLE, groups.tokens_G)
    found = _without(found, np.flatnonzero(silent_L))
    return _corrected(found, find_copies(found.effect_LE, seed=seed) if looks_for_copies else None)


def _of_sequences(rows: "Counts", *, weighting: Weighting, seed: int) -> Difference:
    shape = rows.selected_NLE.shape
    is_first_N = (rows.labels[SIDE] == FIRST).to_numpy()
    items = rows.labels["item"].to_list()
    sums_NLE, weights_N = rows.selected_NLE.astype(np.float64), rows.tokens_N.astype(np.float64)
    if weighting == "sequences":
        sums_NLE, weights_N = sums_NLE / weights_N[:, None, None], np.ones(shape[0])
    first_LE, second_LE = (
        sums_NLE[side_N].sum(axis=0) / weights_N[side_N].sum() for side_N in (is_first_N, ~is_first_N)
    )
    sums_NC = sums_NLE.reshape(shape[0], -1)
    low_C, high_C = bootstrap_difference(sums_NC, weights_N, is_first_N, items, seed=seed)
    units = units_of(sums_NC, weights_N, is_first_N, items)
    num_items = len(set(items))
    # Sequences of one item say nothing of others.
    p_C = permutation_p(*units, seed=seed) if num_items > 1 else np.full(sums_NC.shape[1], np.nan)
    few = f"there are only {num_items} items: intervals and p say next to nothing"
    return Difference(
        first_LE=first_LE,
        second_LE=second_LE,
        effect_LE=first_LE - second_LE,
        low_LE=low_C.reshape(shape[1:]),
        high_LE=high_C.reshape(shape[1:]),
        p_LE=p_C.reshape(shape[1:]),
        q_LE=np.full(shape[1:], np.nan),
        frequencies_LE=(first_LE + second_LE) / 2,
        unit="sequence",
        num_first=int(is_first_N.sum()),
        num_second=int((~is_first_N).sum()),
        num_items=num_items,
        notes=(few,) if num_items < LEAST_ITEMS else (),
    )


def _of_sums(selected_GLE: NDArray[np.int64], tokens_G: NDArray[np.int64]) -> Difference:
    """Two proportions per expert, every token independent: all that sums can say."""
    first_LE, second_LE = (selected_GLE[side] / tokens_G[side] for side in (0, 1))
    num1, num2 = (int(number) for number in tokens_G)
    low_LE, high_LE = newcombe(first_LE, second_LE, num1=num1, num2=num2)
    return Difference(
        first_LE=first_LE,
        second_LE=second_LE,
        effect_LE=first_LE - second_LE,
        low_LE=low_LE,
        high_LE=high_LE,
        p_LE=two_proportion_p(first_LE, second_LE, num1=num1, num2=num2),
        q_LE=np.full(first_LE.shape, np.nan),
        frequencies_LE=(first_LE + second_LE) / 2,
        unit="token",
        num_first=num1,
        num_second=num2,
        num_items=0,
        notes=(TOO_OPTIMISTIC,),
    )


def _without(found: Difference, layers: NDArray[np.int64]) -> Difference:
    """Say nothing of layers that one of the sides never routed."""
    if not len(layers):
        return found
    masked = {name: getattr(found, name).copy() for name in ("effect_LE", "low_LE", "high_LE", "p_LE")}
    for array_LE in masked.values():
        array_LE[layers] = np.nan
    note = f"layers {', '.join(map(str, layers))} were never routed on one of the sides: nothing is said of them"
    return replace(found, **masked, notes=(*found.notes, note))


def _corrected(found: Difference, copies: Copies | None) -> Difference:
    """Correct p for the number of hypotheses: of experts, or of clusters of their copies."""
    if copies is None or not copies.has_copies:
        num_hypotheses = int(np.isfinite(found.p_LE).sum())
        return replace(found, q_LE=benjamini_hochberg(found.p_LE), num_hypotheses=num_hypotheses)
    groups = "; ".join(", ".join(map(str, layers)) for layers in copies.clusters if len(layers) > 1)
    note = f"experts of the same index do the same in layers {groups}: they are tested as copies of one another, once"
    return replace(
        found,
        q_LE=clustered_q(found.p_LE, copies),
        num_hypotheses=int(np.isfinite(clustered_p(found.p_LE, copies)).sum()),
        notes=(*found.notes, note),
    )
