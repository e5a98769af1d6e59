"""The difference of two sides, expert by expert: effect, bootstrap interval, permutation p and false discovery rate.

Letters of shapes: N rows, L MoE layers, E experts, C cells, R resamples.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.identification.sides import FIRST, SECOND, SIDE, Sides
from polyglyph.analysis.identification.units import units_of
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
        p_LE: Two-sided, 0 to 1, NaN where nothing can differ; the same for index-aligned copies of one expert.
        q_LE: Benjamini-Hochberg over hypotheses, NaN where p is.
        frequencies_LE: Of both sides together, each weighted alike: what controls are matched on.
        unit: What is drawn and exchanged.
        num_first: Units of the first side.
        num_second: Units of the second side.
        num_items: What the bootstrap draws; 0 where tokens count as independent.
        num_hypotheses: Tests that q is adjusted for.
        notes: What to know before it is believed.
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
    num_hypotheses: int
    notes: tuple[str, ...]

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
    copies: Sequence[Sequence[int]] = (),
    seed: int = 0,
) -> Difference:
    """Compare two sides expert by expert.

    Args:
        counts: The evidence.
        sides: What is compared.
        weighting: Whether tokens or sequences weigh alike.
        copies: Groups of layers whose experts of the same index are copies of one another: one hypothesis each.
        seed: Of resamples and permutations.

    Raises:
        EvidenceError: A side has no tokens.
        IdentificationError: The sides cannot be compared.
    """
    split = sides.split(counts)
    groups = split.by(SIDE).pick(FIRST, SECOND)
    clusters = _clusters(copies, num_layers=split.model.layers)
    if split.has_sequences:
        # A sequence without tokens on a side has no frequencies there.
        rows = split.take(np.flatnonzero(split.tokens_N)).summed_by("sequence", SIDE)
        found = _of_sequences(rows, clusters, weighting=weighting, seed=seed)
    else:
        found = _of_sums(groups.selected_GLE, groups.tokens_G, clusters)
    return _without(found, np.flatnonzero(~routed_GL(groups.selected_GLE).all(axis=0)))


def _of_sequences(rows: "Counts", clusters: Sequence[Sequence[int]], *, weighting: Weighting, seed: int) -> Difference:
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
    # Copies of one expert are tested once, by the mean of their effects.
    tested_NCE = np.stack([sums_NLE[:, list(cluster)].mean(axis=1) for cluster in clusters], axis=1)
    units = units_of(tested_NCE.reshape(shape[0], -1), weights_N, is_first_N, items)
    num_items = len(set(items))
    # Sequences of one item say nothing of others.
    p_C = permutation_p(*units, seed=seed) if num_items > 1 else np.full(units.sums_UC.shape[1], np.nan)
    p_CE = p_C.reshape(len(clusters), shape[2])
    notes = _notes(clusters, num_layers=shape[1])
    if num_items < LEAST_ITEMS:
        notes += (f"there are only {num_items} items: intervals and p say next to nothing",)
    return Difference(
        first_LE=first_LE,
        second_LE=second_LE,
        effect_LE=first_LE - second_LE,
        low_LE=low_C.reshape(shape[1:]),
        high_LE=high_C.reshape(shape[1:]),
        **_spread(p_CE, clusters, num_layers=shape[1]),
        frequencies_LE=(first_LE + second_LE) / 2,
        unit="sequence",
        num_first=int(is_first_N.sum()),
        num_second=int((~is_first_N).sum()),
        num_items=num_items,
        num_hypotheses=int(np.isfinite(p_CE).sum()),
        notes=notes,
    )


def _of_sums(
    selected_GLE: NDArray[np.int64], tokens_G: NDArray[np.int64], clusters: Sequence[Sequence[int]]
) -> Difference:
    """Two proportions per expert, every token independent: all that sums can say."""
    first_LE, second_LE = (selected_GLE[side] / tokens_G[side] for side in (0, 1))
    num1, num2 = (int(number) for number in tokens_G)
    low_LE, high_LE = newcombe(first_LE, second_LE, num1=num1, num2=num2)
    # Copies are no independent evidence: their mean share is tested as that of one expert.
    tested = (
        np.stack([side_LE[list(cluster)].mean(axis=0) for cluster in clusters]) for side_LE in (first_LE, second_LE)
    )
    p_CE = two_proportion_p(*tested, num1=num1, num2=num2)
    return Difference(
        first_LE=first_LE,
        second_LE=second_LE,
        effect_LE=first_LE - second_LE,
        low_LE=low_LE,
        high_LE=high_LE,
        **_spread(p_CE, clusters, num_layers=len(first_LE)),
        frequencies_LE=(first_LE + second_LE) / 2,
        unit="token",
        num_first=num1,
        num_second=num2,
        num_items=0,
        num_hypotheses=int(np.isfinite(p_CE).sum()),
        notes=(*_notes(clusters, num_layers=len(first_LE)), TOO_OPTIMISTIC),
    )


def _without(found: Difference, layers: NDArray[np.int64]) -> Difference:
    """Say nothing of layers that one of the sides never routed."""
    if not len(layers):
        return found
    masked = {name: getattr(found, name).copy() for name in ("effect_LE", "low_LE", "high_LE", "p_LE", "q_LE")}
    for array_LE in masked.values():
        array_LE[layers] = np.nan
    masked["q_LE"] = np.fmax(masked["q_LE"], benjamini_hochberg(masked["p_LE"]))
    note = f"layers {', '.join(map(str, layers))} were never routed on one of the sides: nothing is said of them"
    return replace(found, **masked, notes=(*found.notes, note))


def _clusters(copies: Sequence[Sequence[int]], *, num_layers: int) -> list[tuple[int, ...]]:
    """Give the layers of each hypothesis: groups of copies, and every other layer by itself."""
    grouped = [tuple(sorted(group)) for group in copies if len(group) > 1]
    taken = {layer for group in grouped for layer in group}
    return sorted([*grouped, *((layer,) for layer in range(num_layers) if layer not in taken)])


def _spread(p_CE: Array, clusters: Sequence[Sequence[int]], *, num_layers: int) -> dict[str, Array]:
    """Give p and q by layer; layers of one cluster share theirs."""
    q_CE = benjamini_hochberg(p_CE)
    p_LE, q_LE = (np.empty((num_layers, p_CE.shape[1])) for _ in range(2))
    for index, cluster in enumerate(clusters):
        p_LE[list(cluster)], q_LE[list(cluster)] = p_CE[index], q_CE[index]
    return {"p_LE": p_LE, "q_LE": q_LE}


def _notes(clusters: Sequence[Sequence[int]], *, num_layers: int) -> tuple[str, ...]:
    if len(clusters) == num_layers:
        return ()
    named = "; ".join(", ".join(map(str, cluster)) for cluster in clusters if len(cluster) > 1)
    return (f"experts of the same index are copies of one another in layers {named}: each is tested once",)
