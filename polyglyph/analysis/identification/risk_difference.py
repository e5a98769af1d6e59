"""`risk-difference`: experts that tokens of one group select more often than tokens of another (SteerMoE, 2509.09660).

Letters of shapes: L MoE layers, E experts.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from polyglyph.analysis.identification.choosing import Choosing
from polyglyph.analysis.identification.difference import difference
from polyglyph.analysis.identification.editing import Editing, Operation
from polyglyph.analysis.identification.expert_table import expert_table
from polyglyph.analysis.identification.identified import Identified
from polyglyph.analysis.identification.sides import Sides
from polyglyph.contract.plan import PHASES, Phase

if TYPE_CHECKING:
    from polyglyph.analysis.evidence.counts import Counts

METHOD = "risk-difference"
TOP = 20
DEFAULT_CHOOSING = Choosing(top=TOP)
DEFAULT_EDITING = Editing(op=Operation.FORCE)


def identify(
    counts: "Counts",
    sides: Sides,
    *,
    choosing: Choosing = DEFAULT_CHOOSING,
    editing: Editing = DEFAULT_EDITING,
    phases: Sequence[Phase] = PHASES,
    looks_for_copies: bool = True,
    seed: int = 0,
) -> Identified:
    """Rank experts by |a(l, e; first) - a(l, e; second)| over all layers.

    Args:
        counts: The evidence.
        sides: What is compared; its spans are the target tokens.
        choosing: Which experts are chosen. At most k of a layer are promoted, since no more can be selected.
        editing: What is done with those that the first side selects more; those it selects less get the opposite.
        phases: Of the plan.
        looks_for_copies: Whether index-aligned copies of an expert count as one hypothesis.
        seed: Of resamples and permutations.

    Raises:
        EvidenceError: A side has no tokens.
        IdentificationError: The sides cannot be compared.
    """
    found = difference(counts, sides, weighting="tokens", looks_for_copies=looks_for_copies, seed=seed)
    limited = replace(choosing, per_layer=min(choosing.per_layer or counts.model.top_k, counts.model.top_k))
    chosen_LE = limited.choose(found.effect_LE, found.q_LE)
    return Identified(
        method=METHOD,
        model=counts.model,
        table=expert_table(found.effect_LE, chosen_LE, found.columns),
        edits=editing.edits(np.sign(found.effect_LE) * chosen_LE),
        phases=tuple(phases),
        frequencies_LE=found.frequencies_LE,
        parameters={**sides.to_json(), **limited.to_json(), **editing.to_json(), "seed": seed},
        statistics={**found.statistics, "chosen": int(chosen_LE.sum())},
        notes=found.notes + (() if chosen_LE.any() else limited.why_none(found.q_LE)),
        evidence_sha256=counts.digest,
        description=f"Experts selected more, and less, by {sides}.",
    )
