"""`random`: the control of any plan, matched on layer and selection frequency (methods section 3).

Letters of shapes: L MoE layers, E experts.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.evidence.model_shape import ModelShape
from polyglyph.analysis.identification.errors import IdentificationError
from polyglyph.analysis.identification.expert_table import expert_table
from polyglyph.analysis.identification.identified import Identified
from polyglyph.analysis.search.random_matched import frequency_bins, random_matched
from polyglyph.contract.plan import Plan

if TYPE_CHECKING:
    from polyglyph.analysis.evidence.counts import Counts

METHOD = "random"


def identify(plan: Plan, counts: "Counts", *, draw: int) -> Identified:
    """Give the control of a plan.

    Args:
        plan: What is controlled.
        counts: Of the plan's model.
        draw: Which control; the same number is the same control.

    Returns:
        A row per expert that the control edits; its score is its selection frequency.

    Raises:
        EvidenceError: The plan is of another model.
        NoControlError: Nothing can be dealt that differs from the plan.
    """
    frequencies_LE = overall_frequencies(counts)
    counts.model.check_same(ModelShape.of_binding(plan.model), what=f"plan '{plan.name}'")
    control = random_matched(plan, frequencies_LE, draw=draw)
    chosen_LE = np.zeros(frequencies_LE.shape, dtype=bool)
    for edit in control.edits:
        chosen_LE[edit.layer, list(edit.experts)] = True
    bins_LE = np.stack([frequency_bins(row_E) for row_E in frequencies_LE])
    return Identified(
        method=METHOD,
        model=plan.model,
        table=expert_table(frequencies_LE, chosen_LE, {"frequency_bin": bins_LE}),
        edits=control.edits,
        phases=control.phases,
        frequencies_LE=frequencies_LE,
        parameters={"control_of": plan.fingerprint, "draw": draw},
        statistics={"num_tokens": int(counts.tokens_N.sum())},
        evidence_sha256=counts.digest,
        description=control.description,
    )


def overall_frequencies(counts: "Counts") -> NDArray[np.float64]:
    """Give how often each expert is selected over all rows, float64 [L, E]: what controls are matched on."""
    if not counts.tokens_N.any():
        raise IdentificationError("the evidence holds no tokens, so there are no frequencies to match a control on")
    frequencies_LE: NDArray[np.float64] = counts.selected_NLE.sum(axis=0, dtype=np.float64) / counts.tokens_N.sum()
    return frequencies_LE
