"""`contrast`: experts that are more active where the response is of a class than where it is not (MoTE, 2502.11096).

Letters of shapes: L MoE layers, E experts.
"""

from collections.abc import Sequence
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

METHOD = "contrast"
TOP = 10
DEFAULT_CHOOSING = Choosing(top=TOP)
DEFAULT_EDITING = Editing(op=Operation.BAN)


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
    """Subtract the mean activation map of all other prompts from that of a class, and choose the largest entries.

    A prompt's activation map holds the share of its tokens that select each expert; prompts weigh alike.

    Args:
        counts: The evidence, with sequences.
        sides: The class of the response first.
        choosing: Which experts are chosen.
        editing: What is done with them: switched off unless said otherwise.
        phases: Of the plan.
        looks_for_copies: Whether index-aligned copies of an expert count as one hypothesis.
        seed: Of resamples and permutations.

    Raises:
        EvidenceError: A class has no tokens.
        IdentificationError: The classes cannot be compared.
    """
    found = difference(counts, sides, weighting="sequences", looks_for_copies=looks_for_copies, seed=seed)
    chosen_LE = choosing.choose(found.effect_LE, found.q_LE, passes_LE=found.effect_LE > 0)
    return Identified(
        method=METHOD,
        model=counts.model,
        table=expert_table(found.effect_LE, chosen_LE, found.columns, rank_LE=found.effect_LE),
        edits=editing.edits(chosen_LE.astype(np.int64)),
        phases=tuple(phases),
        frequencies_LE=found.frequencies_LE,
        parameters={**sides.to_json(), **choosing.to_json(), **editing.to_json(), "seed": seed},
        statistics={**found.statistics, "chosen": int(chosen_LE.sum())},
        notes=found.notes + (() if chosen_LE.any() else choosing.why_none(found.q_LE)),
        evidence_sha256=counts.digest,
        description=f"Experts of responses that are {sides}.",
    )
