"""`inconsistency`: experts selected more where a fact is answered than where it is missed (after 2603.17102).

Letters of shapes: F facts, L MoE layers, E experts.
"""

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.identification.choosing import Choosing
from polyglyph.analysis.identification.correction import corrected, why_none
from polyglyph.analysis.identification.editing import Editing, Operation
from polyglyph.analysis.identification.expert_table import expert_table
from polyglyph.analysis.identification.expert_weights import ExpertWeights
from polyglyph.analysis.identification.identified import Identified
from polyglyph.analysis.identification.outcome_contrast import OutcomeContrast, contrast_outcomes
from polyglyph.analysis.identification.paired_facts import bounds_of_means, two_sided_p
from polyglyph.analysis.identification.random_control import overall_frequencies
from polyglyph.analysis.identification.tested_layers import layer_mask
from polyglyph.analysis.statistics.sign_test import signs
from polyglyph.contract.plan import PHASES, Phase

if TYPE_CHECKING:
    from polyglyph.analysis.evidence.counts import Counts

METHOD = "inconsistency"
DEFAULT_CHOOSING = Choosing()
DEFAULT_EDITING = Editing(op=Operation.ADD_STD, value=0.5)
OPPOSED = frozenset({Operation.ADD, Operation.ADD_STD, Operation.FORCE})
"""Operations that have an opposite, so that a plan can tell experts to demote from those to promote."""
NO_DIFFERENCE = "outcomes do not differ in routing more than chance has it"
LOPSIDED = 0.2
"""From this difference of shares on the contrast is suspected to be one of scripts."""

Array = NDArray[np.float64]


def identify(
    counts: "Counts",
    editing: Editing = DEFAULT_EDITING,
    *,
    phases: tuple[Phase, ...] = PHASES,
    choosing: Choosing = DEFAULT_CHOOSING,
    looks_for_copies: bool = True,
    seed: int = 0,
) -> Identified:
    """Contrast the prompts of facts that are answered in one script and missed in another.

    Args:
        counts: Of a labelled run, or of traces with the labels `item` and `right`.
        editing: What the plan does with experts that answered questions select more; those that missed ones select
            more get the opposite, and none under `ban` and `scale`, which have no opposite.
        phases: Of the plan.
        choosing: Which experts are chosen, by magnitude.
        looks_for_copies: Whether index-aligned copies of an expert count as one hypothesis.
        seed: Of the bootstrap, and of what copies are found by.

    Raises:
        IdentificationError: See `contrast_outcomes`.
    """
    contrast = contrast_outcomes(counts)
    allowed_LE = np.broadcast_to(
        layer_mask(choosing.layers, num_layers=counts.model.layers)[:, None], contrast.difference_FLE.shape[1:]
    )
    mean_LE = contrast.difference_FLE.mean(axis=0)
    p_LE = np.where(allowed_LE, two_sided_p(contrast.difference_FLE), np.nan)
    q_LE, num_hypotheses, copied = corrected(p_LE, mean_LE, looks_for_copies=looks_for_copies, seed=seed)
    more_LE, less_LE = signs(contrast.difference_FLE)
    low_LE, high_LE = bounds_of_means(contrast.difference_FLE, seed=seed)
    wanted_LE = allowed_LE & (mean_LE != 0 if editing.op in OPPOSED else mean_LE > 0)
    chosen_LE = choosing.choose(mean_LE, q_LE, passes_LE=wanted_LE)
    sign_LE = np.sign(mean_LE) * chosen_LE
    return Identified(
        method=METHOD,
        model=counts.model,
        table=expert_table(
            mean_LE,
            chosen_LE,
            {
                "low": low_LE,
                "high": high_LE,
                "p": p_LE,
                "q": q_LE,
                "facts_more": more_LE,
                "facts_less": less_LE,
            },
        ),
        edits=editing.edits(sign_LE),
        phases=phases,
        experts=ExpertWeights(
            weights={
                (int(layer), int(expert)): float(sign_LE[layer, expert]) for layer, expert in np.argwhere(chosen_LE)
            }
        ),
        frequencies_LE=overall_frequencies(counts),
        parameters={
            **choosing.to_json(),
            "seed": seed,
            **editing.to_json(),
        },
        statistics={**statistics_of(contrast), "hypotheses": num_hypotheses},
        notes=(
            *copied,
            *notes_of(contrast, fdr=choosing.fdr),
            *why_none(q_LE, fdr=choosing.fdr, otherwise=NO_DIFFERENCE),
        ),
        evidence_sha256=counts.digest,
        description="Experts that a question's tokens select more where the fact is answered than where it is missed.",
    )


def statistics_of(contrast: OutcomeContrast) -> dict[str, object]:
    """Say what the contrast rests on."""
    return {
        "unit": "fact",
        "num_facts": len(contrast.facts),
        "num_one_sided_facts": contrast.num_one_sided,
        "answered_by_script": dict(sorted(contrast.num_answered.items())),
        "missed_by_script": dict(sorted(contrast.num_missed.items())),
        "test": "sign test over facts, two-sided",
        "interval": "bootstrap 95 %, facts drawn",
        "multiplicity": "Benjamini-Hochberg over experts",
    }


def notes_of(contrast: OutcomeContrast, *, fdr: float) -> tuple[str, ...]:
    """Say what stands against reading too much into it."""
    notes = []
    if contrast.num_unlabelled:
        notes.append(f"{contrast.num_unlabelled} sequences say neither true nor false as 'right' and are left out")
    least = 2.0 ** (1 - len(contrast.facts))
    if least > fdr:
        notes.append(
            f"with {len(contrast.facts)} facts no p can be below {least:.3g}: ask more facts of which some "
            "script knows the answer and some does not"
        )
    if (script := _lopsided(contrast)) is not None:
        notes.append(
            f"facts are answered in {script} far more often than missed in it: what is found may be the experts of "
            "that script rather than of answering"
        )
    return tuple(notes)


def _lopsided(contrast: OutcomeContrast) -> str | None:
    """Give the script whose share of the answered sequences is furthest above its share of the missed ones."""
    excess = Counter(
        {
            script: contrast.num_answered[script] / contrast.num_answered.total()
            - contrast.num_missed[script] / contrast.num_missed.total()
            for script in contrast.num_answered
        }
    )
    script, most = max(excess.items(), key=lambda each: each[1])
    return script if most > LOPSIDED else None
