"""The correction of p for the number of experts that were tested, copies of one expert counted once.

Letters of shapes: G groups, L MoE layers, E experts.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.quantities.copies import clustered_p, clustered_q, find_copies
from polyglyph.analysis.statistics.multiplicity import benjamini_hochberg

Array = NDArray[np.float64]


class Corrected(NamedTuple):
    """What is left of p.

    Attributes:
        q_LE: Benjamini-Hochberg over hypotheses; NaN where p is.
        num_hypotheses: Tests that it is adjusted for.
        notes: Which layers are copies.
    """

    q_LE: Array
    num_hypotheses: int
    notes: tuple[str, ...]


def corrected(p_LE: Array, statistic: Array, *, looks_for_copies: bool, seed: int) -> Corrected:
    """Correct p values.

    Args:
        p_LE: Of each expert, NaN where it is not tested.
        statistic: What tells experts apart, [L, E] or [G, L, E]; copies are found by it.
        looks_for_copies: Whether experts of the same index in layers that are copies count as one hypothesis.
        seed: Of the permutations that copies are found by.
    """
    copies = find_copies(statistic, seed=seed) if looks_for_copies else None
    if copies is None or not copies.has_copies:
        return Corrected(benjamini_hochberg(p_LE), int(np.isfinite(p_LE).sum()), ())
    groups = "; ".join(", ".join(map(str, layers)) for layers in copies.clusters if len(layers) > 1)
    note = f"experts of the same index do the same in layers {groups}: they are tested as copies of one another, once"
    return Corrected(clustered_q(p_LE, copies), int(np.isfinite(clustered_p(p_LE, copies)).sum()), (note,))


def why_none(q_LE: Array, *, fdr: float, otherwise: str) -> tuple[str, ...]:
    """Say why no q is small enough; nothing where one is.

    Args:
        q_LE: NaN where nothing was tested.
        fdr: Largest q that would do.
        otherwise: What it means where all are larger.
    """
    if (q_LE <= fdr).any():
        return ()
    if np.isfinite(q_LE).any():
        return (f"no expert's q is {fdr:g} or less: {otherwise}",)
    return ("nothing could be tested: no expert of these layers is selected differently anywhere",)
