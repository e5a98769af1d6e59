"""`shared-knowledge`: experts that all scripts share, in the middle layers, and that answered facts select more.

Letters of shapes: G scripts, L MoE layers, E experts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.identification.choosing import Choosing
from polyglyph.analysis.identification.correction import corrected, why_none
from polyglyph.analysis.identification.editing import Editing, Operation
from polyglyph.analysis.identification.errors import IdentificationError
from polyglyph.analysis.identification.expert_table import expert_table
from polyglyph.analysis.identification.expert_weights import ExpertWeights
from polyglyph.analysis.identification.identified import Identified
from polyglyph.analysis.identification.inconsistency import NO_DIFFERENCE, notes_of, statistics_of
from polyglyph.analysis.identification.outcome_contrast import asked_column, contrast_outcomes
from polyglyph.analysis.identification.paired_facts import bounds_of_means, two_sided_p
from polyglyph.analysis.identification.random_control import overall_frequencies
from polyglyph.analysis.identification.tested_layers import layer_mask
from polyglyph.analysis.quantities.divergence import js_mean_L
from polyglyph.analysis.quantities.shared import shared_LE, why_none_can_be_shared
from polyglyph.analysis.search.bands import Band, bands_of
from polyglyph.contract.plan import PHASES, Phase

if TYPE_CHECKING:
    from polyglyph.analysis.evidence.counts import Counts

METHOD = "shared-knowledge"
LEAST = 10
DEFAULT_CHOOSING = Choosing(top=20)
DEFAULT_EDITING = Editing(op=Operation.ADD_STD, value=0.5)

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sharing:
    """What scripts have in common.

    Attributes:
        scripts: Those compared.
        least_LE: Lowest selection frequency over the scripts.
        shared_LE: Whether the expert is shared (methods section 2).
        divergence_L: Mean Jensen-Shannon divergence of two scripts, in bits.
        middle: Layers of the valley of that curve.
    """

    scripts: tuple[str, ...]
    least_LE: Array
    shared_LE: NDArray[np.bool_]
    divergence_L: Array
    middle: tuple[int, ...]


def share(counts: "Counts", scripts: Sequence[str] | None = None) -> Sharing:
    """Compare how scripts' own tokens are routed, prompts and answers alike.

    Args:
        counts: Of unsteered and other rows; only unsteered ones count.
        scripts: To compare; those that were asked in unless given.

    Raises:
        IdentificationError: There are fewer than two, or no expert of the model can be shared.
        EvidenceError: A script has no tokens.
    """
    names = tuple(sorted(set(scripts or counts.values(asked_column(counts)))))
    if len(names) < 2:
        raise IdentificationError(f"expected two scripts or more to find what they share, got {', '.join(names)}")
    if (reason := why_none_can_be_shared(counts.model.top_k, counts.model.experts)) is not None:
        raise IdentificationError(f"no expert can count as shared: {reason}")
    unsteered = counts.where(plan="")
    groups = [unsteered.where(script=name).by("script") for name in names]
    frequencies_GLE = np.concatenate([group.frequencies_GLE for group in groups])
    divergence_L = js_mean_L(frequencies_GLE)
    # A layer that routed nothing has no divergence; it is in no valley.
    known_L = np.where(np.isfinite(divergence_L), divergence_L, 1.0)
    return Sharing(
        scripts=names,
        least_LE=frequencies_GLE.min(axis=0),
        shared_LE=shared_LE(frequencies_GLE, counts.model.top_k),
        divergence_L=divergence_L,
        middle=bands_of(known_L).layers[Band.MIDDLE],
    )


def identify(
    counts: "Counts",
    editing: Editing = DEFAULT_EDITING,
    *,
    phases: tuple[Phase, ...] = PHASES,
    choosing: Choosing = DEFAULT_CHOOSING,
    scripts: Sequence[str] | None = None,
    looks_for_copies: bool = True,
    seed: int = 0,
) -> Identified:
    """Choose shared experts of the middle layers that answered facts select more.

    Candidates are the shared experts of these layers. They are ranked by their lowest frequency over scripts and by the
    difference between answered and missed prompts; the score is one over the product of both ranks. Chosen are the best
    of those whose difference is above zero, with the sign test's q over the candidates at most `fdr`.

    Args:
        counts: As `inconsistency` takes them.
        editing: What the plan does with the chosen ones.
        phases: Of the plan.
        choosing: Which experts are chosen, at most 20 unless told otherwise; its layers in place of the valley's.
        scripts: To be shared by; those that were asked in unless given.
        looks_for_copies: Whether index-aligned copies of an expert count as one hypothesis.
        seed: Of the bootstrap, and of what copies are found by.

    Raises:
        IdentificationError: See `share` and `contrast_outcomes`.
    """
    sharing = share(counts, scripts)
    contrast = contrast_outcomes(counts)
    choosing = replace(choosing, layers=sharing.middle if choosing.layers is None else choosing.layers)
    in_layers_L = layer_mask(choosing.layers, num_layers=counts.model.layers)
    candidate_LE = sharing.shared_LE & in_layers_L[:, None]
    mean_LE = contrast.difference_FLE.mean(axis=0)
    p_LE = np.where(candidate_LE, two_sided_p(contrast.difference_FLE), np.nan)
    q_LE, num_hypotheses, copied = corrected(p_LE, mean_LE, looks_for_copies=looks_for_copies, seed=seed)
    score_LE = 1 / (_ranks(sharing.least_LE, candidate_LE) * _ranks(mean_LE, candidate_LE))
    chosen_LE = choosing.choose(score_LE, q_LE, passes_LE=candidate_LE & (mean_LE > 0))
    low_LE, high_LE = bounds_of_means(contrast.difference_FLE, seed=seed)
    return Identified(
        method=METHOD,
        model=counts.model,
        table=expert_table(
            score_LE,
            chosen_LE,
            {
                "least_frequency": sharing.least_LE,
                "shared": sharing.shared_LE,
                "difference": mean_LE,
                "low": low_LE,
                "high": high_LE,
                "p": p_LE,
                "q": q_LE,
            },
            # Candidates first, by score; then the others, by how near they are to being shared.
            rank_LE=np.where(candidate_LE, score_LE, sharing.least_LE - 1),
        ),
        edits=editing.edits(chosen_LE.astype(np.int64)),
        phases=phases,
        experts=ExpertWeights(weights={(int(layer), int(expert)): 1.0 for layer, expert in np.argwhere(chosen_LE)}),
        frequencies_LE=overall_frequencies(counts),
        parameters={
            **choosing.to_json(),
            "scripts": list(sharing.scripts),
            "seed": seed,
            **editing.to_json(),
        },
        statistics={
            **statistics_of(contrast),
            "hypotheses": num_hypotheses,
            "num_shared": int(sharing.shared_LE.sum()),
            "num_candidates": int(candidate_LE.sum()),
            "divergence_by_layer": [round(float(bits), 5) for bits in np.nan_to_num(sharing.divergence_L)],
        },
        notes=(*copied, *notes_of(contrast, fdr=choosing.fdr), *_notes(candidate_LE, chosen_LE, q_LE, choosing)),
        evidence_sha256=counts.digest,
        description="Experts that all scripts share in the middle layers and that answered facts select more.",
    )


def _ranks(value_LE: Array, candidate_LE: NDArray[np.bool_]) -> Array:
    """Rank candidates from 1, the largest first, equal ones alike; NaN for the others."""
    from scipy.stats import rankdata

    ranks_LE = np.full(value_LE.shape, np.nan)
    ranks_LE[candidate_LE] = rankdata(-value_LE[candidate_LE], method="average")
    return ranks_LE


def _notes(
    candidate_LE: NDArray[np.bool_], chosen_LE: NDArray[np.bool_], q_LE: Array, choosing: Choosing
) -> tuple[str, ...]:
    if not candidate_LE.any():
        return ("no expert of these layers is shared by the scripts, so there is none to choose from",)
    num_chosen = int(chosen_LE.sum())
    if 0 < num_chosen < LEAST:
        return (f"only {num_chosen} of {int(candidate_LE.sum())} candidates are chosen; methods name {LEAST} to 30",)
    return why_none(q_LE, fdr=choosing.fdr, otherwise=NO_DIFFERENCE)
