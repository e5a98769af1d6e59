"""`core-experts`: experts that tell prompts of one kind from prompts of another, as a readout (CEAI, 2410.15438).

Letters of shapes: N sequences, L MoE layers, E experts.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.identification.choosing import Choosing
from polyglyph.analysis.identification.difference import TOO_OPTIMISTIC, Difference, difference
from polyglyph.analysis.identification.editing import Editing
from polyglyph.analysis.identification.errors import IdentificationError
from polyglyph.analysis.identification.expert_table import expert_table
from polyglyph.analysis.identification.expert_weights import ExpertWeights
from polyglyph.analysis.identification.identified import Identified
from polyglyph.analysis.identification.readout import area_under_curve, best_threshold, fit_readout, held_out
from polyglyph.analysis.identification.sides import FIRST, SIDE, Sides
from polyglyph.contract.plan import PHASES, Phase

if TYPE_CHECKING:
    from polyglyph.analysis.evidence.counts import Counts

METHOD = "core-experts"
PHASE: Phase = "prompt"
DEFAULT_CHOOSING = Choosing()


def identify(
    counts: "Counts",
    sides: Sides,
    *,
    choosing: Choosing = DEFAULT_CHOOSING,
    editing: Editing | None = None,
    phases: Sequence[Phase] = PHASES,
    looks_for_copies: bool = True,
    seed: int = 0,
) -> Identified:
    """Choose experts whose mean of a(positive prompt) - a(negative prompt) is significant, and fit them a readout.

    The readout's area under the ROC curve is measured on items that neither chose its experts nor fitted its weights.

    Args:
        counts: The evidence, with sequences.
        sides: The positive prompts first. A readout is taken from tokens of one phase, which the sides' only span
            names; the prompt unless it does.
        choosing: Which experts are chosen.
        editing: What a plan does with them: promotes those of the positive prompts, demotes the others; None for none.
        phases: Of the plan.
        looks_for_copies: Whether index-aligned copies of an expert count as one hypothesis.
        seed: Of resamples, permutations and folds.

    Raises:
        EvidenceError: A side has no tokens.
        IdentificationError: The sides cannot be compared, or the evidence has no sequences.
    """
    if not counts.has_sequences:
        raise IdentificationError(f"core-experts compares prompts with one another, and {TOO_OPTIMISTIC}")
    spans = sides.spans or (PHASE,)
    if len(spans) > 1:
        raise IdentificationError(f"core-experts reads one phase, got {', '.join(spans)}: name one with --span")
    sides = Sides(column=sides.column, first=sides.first, second=sides.second, spans=spans)
    found = difference(counts, sides, weighting="sequences", looks_for_copies=looks_for_copies, seed=seed)
    chosen_LE = choosing.choose(found.effect_LE, found.q_LE)
    experts, readout = _readout(counts, sides, chosen_LE, seed=seed) if chosen_LE.any() else (None, {})
    return Identified(
        method=METHOD,
        model=counts.model,
        table=expert_table(found.effect_LE, chosen_LE, _columns(found, experts)),
        edits=() if editing is None else editing.edits(np.sign(found.effect_LE) * chosen_LE),
        phases=tuple(phases),
        experts=experts,
        frequencies_LE=found.frequencies_LE,
        parameters={
            **sides.to_json(),
            **choosing.to_json(),
            **(editing.to_json() if editing else {}),
            "seed": seed,
        },
        statistics={**found.statistics, "chosen": int(chosen_LE.sum()), **readout},
        notes=found.notes + (() if chosen_LE.any() else choosing.why_none(found.q_LE)),
        evidence_sha256=counts.digest,
        description=f"Reads whether a request is like {' or '.join(sides.first)}; fitted on {sides}.",
    )


def _readout(
    counts: "Counts", sides: Sides, chosen_LE: NDArray[np.bool_], *, seed: int
) -> tuple[ExpertWeights, dict[str, Any]]:
    rows = sides.split(counts).summed_by("sequence", SIDE)
    items = rows.labels["item"].to_list()
    is_first_N = (rows.labels[SIDE] == FIRST).to_numpy()
    shares_NA = rows.selected_NLE.reshape(len(items), -1) / np.maximum(rows.tokens_N, 1)[:, None]
    chosen = np.flatnonzero(chosen_LE)
    readout = fit_readout(shares_NA, is_first_N, chosen)
    probability_N = held_out(shares_NA, is_first_N, items, num_experts=len(chosen), seed=seed)
    area = area_under_curve(probability_N, is_first_N, items, seed=seed)
    pairs = [divmod(int(flat), chosen_LE.shape[1]) for flat in chosen]
    weights = ExpertWeights(
        weights=dict(zip(pairs, readout.weights_F.tolist(), strict=True)),
        bias=readout.bias,
        threshold=best_threshold(probability_N, is_first_N),
        phase=sides.spans[0],  # type: ignore[arg-type]
    )
    return weights, {"auc": area.to_json(), "auc_of": "items held out, experts chosen and weights fitted without them"}


def _columns(found: Difference, experts: ExpertWeights | None) -> dict[str, NDArray[Any]]:
    weight_LE = np.full(found.effect_LE.shape, np.nan)
    for (layer, expert), weight in (experts.weights if experts else {}).items():
        weight_LE[layer, expert] = weight
    return {**found.columns, "weight": weight_LE}
