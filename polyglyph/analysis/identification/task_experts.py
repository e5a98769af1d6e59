"""`task-experts`: middle-layer experts that the sequences of a task select more than plain text does (2510.04694).

Letters of shapes: L MoE layers, E experts, G scripts.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.identification.choosing import Choosing
from polyglyph.analysis.identification.difference import difference
from polyglyph.analysis.identification.editing import Editing, Operation
from polyglyph.analysis.identification.expert_table import expert_table
from polyglyph.analysis.identification.identified import Identified
from polyglyph.analysis.identification.sides import Sides
from polyglyph.analysis.quantities.information import information_gain_L
from polyglyph.analysis.search.bands import Band, bands_of
from polyglyph.contract.plan import PHASES, Phase

if TYPE_CHECKING:
    from polyglyph.analysis.evidence.counts import Counts

METHOD = "task-experts"
TAU = 0.25
NO_SCRIPT = "Zyyy"
DEFAULT_CHOOSING = Choosing()
DEFAULT_EDITING = Editing(op=Operation.ADD_STD, value=0.5)


def identify(
    counts: "Counts",
    sides: Sides,
    *,
    tau: float = TAU,
    bands_from: "Counts | None" = None,
    choosing: Choosing = DEFAULT_CHOOSING,
    editing: Editing = DEFAULT_EDITING,
    phases: Sequence[Phase] = PHASES,
    looks_for_copies: bool = True,
    seed: int = 0,
) -> Identified:
    """Choose experts whose mean over sequences of a_seq(task) - a_seq(plain) is above tau.

    Args:
        counts: The evidence, with sequences.
        sides: The task's sequences first, plain text second.
        tau: Smallest difference, 0 to 1.
        bands_from: Text in several scripts that the middle layers are found by; the evidence itself unless given.
        choosing: Which experts are chosen; the middle layers unless it names some.
        editing: What is done with them.
        phases: Of the plan.
        looks_for_copies: Whether index-aligned copies of an expert count as one hypothesis.
        seed: Of resamples and permutations.

    Raises:
        EvidenceError: A side has no tokens, or the text of the bands is of another model.
        IdentificationError: The sides cannot be compared.
    """
    notes: tuple[str, ...] = ()
    if choosing.layers is None:
        layers, notes = middle_layers(counts if bands_from is None else bands_from)
        choosing = replace(choosing, layers=layers)
    found = difference(counts, sides, weighting="sequences", looks_for_copies=looks_for_copies, seed=seed)
    chosen_LE = choosing.choose(found.effect_LE, found.q_LE, passes_LE=found.effect_LE > tau)
    if not chosen_LE.any():
        notes += (_why_none(found.effect_LE, choosing.layers or (), tau),)
    return Identified(
        method=METHOD,
        model=counts.model,
        table=expert_table(found.effect_LE, chosen_LE, found.columns, rank_LE=found.effect_LE),
        edits=editing.edits(chosen_LE.astype(np.int64)),
        phases=tuple(phases),
        frequencies_LE=found.frequencies_LE,
        parameters={**sides.to_json(), "tau": tau, **choosing.to_json(), **editing.to_json(), "seed": seed},
        statistics={**found.statistics, "chosen": int(chosen_LE.sum())},
        notes=found.notes + notes,
        evidence_sha256=counts.digest,
        description=f"Middle-layer experts of {sides}.",
    )


def middle_layers(counts: "Counts") -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Give the middle layers, and a note where the evidence cannot tell which they are.

    The middle is the valley of what routing tells of the token's script; with one script only, the second third.

    Args:
        counts: Text in several scripts.
    """
    scripts = [script for script in counts.values("script") if script != NO_SCRIPT]
    if len(scripts) < 2:
        flat_L = np.zeros(counts.model.layers)
        named = scripts[0] if scripts else "no script"
        note = (
            f"the middle layers are the second third of all, since the evidence has {named} only: name text in several "
            "scripts with --bands, or the layers with --layers"
        )
        return bands_of(flat_L).layers[Band.MIDDLE], (note,)
    information_L = information_gain_L(counts.where(script=scripts).by("script").frequencies_GLE)
    return bands_of(np.nan_to_num(information_L)).layers[Band.MIDDLE], ()


def _why_none(effect_LE: NDArray[np.float64], layers: Sequence[int], tau: float) -> str:
    middle = effect_LE[list(layers)] if layers else effect_LE
    return (
        f"no expert passes: the largest difference in layers {_span(layers)} is {middle.max():.3g}, and tau is {tau:g}"
    )


def _span(layers: Sequence[int]) -> str:
    return f"{min(layers)} to {max(layers)}" if layers else "of the middle"
