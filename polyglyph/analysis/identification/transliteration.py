"""`transliteration`: experts of an entity's name, in whichever script it is written (ours).

Letters of shapes: G scripts, X entities, L MoE layers, E experts.
"""

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.identification.choosing import Choosing
from polyglyph.analysis.identification.correction import corrected, why_none
from polyglyph.analysis.identification.editing import Editing, Operation
from polyglyph.analysis.identification.entity_contrast import EntityContrast
from polyglyph.analysis.identification.expert_table import expert_table
from polyglyph.analysis.identification.expert_weights import ExpertWeights
from polyglyph.analysis.identification.identified import Identified
from polyglyph.analysis.identification.intervals import percentile_interval
from polyglyph.analysis.identification.paired_facts import one_sided_p, resampled_means
from polyglyph.analysis.identification.tested_layers import layer_mask
from polyglyph.contract.plan import PHASES, Phase

METHOD = "transliteration"
DEFAULT_CHOOSING = Choosing()
DEFAULT_EDITING = Editing(op=Operation.ADD_STD, value=0.5)

Array = NDArray[np.float64]


def identify(
    contrast: EntityContrast,
    editing: Editing = DEFAULT_EDITING,
    *,
    phases: tuple[Phase, ...] = PHASES,
    choosing: Choosing = DEFAULT_CHOOSING,
    looks_for_copies: bool = True,
    seed: int = 0,
    evidence_sha256: str | None = None,
) -> Identified:
    """Choose the experts that entities' tokens select more than the prompts' other text, in every script.

    The score is the smallest over the scripts of the mean difference over entities; p is the largest of the scripts'
    one-sided sign tests over entities (intersection-union test).

    Args:
        contrast: Of entities in two scripts or more.
        editing: What the plan does with the chosen ones.
        phases: Of the plan.
        choosing: Which experts are chosen.
        looks_for_copies: Whether index-aligned copies of an expert count as one hypothesis.
        seed: Of the bootstrap, and of what copies are found by.
        evidence_sha256: For provenance.
    """
    mean_GLE = contrast.difference_GXLE.mean(axis=1)
    score_LE: Array = mean_GLE.min(axis=0)
    allowed_L = layer_mask(choosing.layers, num_layers=contrast.model.layers)
    tested_GLE = np.stack([one_sided_p(each) for each in contrast.difference_GXLE])
    p_LE = np.where(allowed_L[:, None], tested_GLE.max(axis=0), np.nan)
    q_LE, num_hypotheses, copied = corrected(p_LE, mean_GLE, looks_for_copies=looks_for_copies, seed=seed)
    chosen_LE = choosing.choose(score_LE, q_LE, passes_LE=allowed_L[:, None] & (score_LE > 0))
    low_LE, high_LE = _bounds(contrast, seed=seed)
    by_script = {f"difference_{script}": mean_GLE[index] for index, script in enumerate(contrast.scripts)}
    return Identified(
        method=METHOD,
        model=contrast.model,
        table=expert_table(
            score_LE,
            chosen_LE,
            {"low": low_LE, "high": high_LE, "p": p_LE, "q": q_LE, **by_script},
            rank_LE=score_LE,
        ),
        edits=editing.edits(chosen_LE.astype(np.int64)),
        phases=phases,
        experts=ExpertWeights(weights={(int(layer), int(expert)): 1.0 for layer, expert in np.argwhere(chosen_LE)}),
        frequencies_LE=contrast.frequencies_LE,
        parameters={
            "scripts": list(contrast.scripts),
            **choosing.to_json(),
            "seed": seed,
            **editing.to_json(),
        },
        statistics={
            "unit": "entity",
            "hypotheses": num_hypotheses,
            "num_entities": len(contrast.items),
            "num_entity_tokens": dict(sorted(contrast.num_tokens.items())),
            "num_prompts_left_out": contrast.lost.total(),
            "test": "sign test over entities, one-sided, the largest p of the scripts",
            "interval": "bootstrap 95 %, entities drawn",
            "multiplicity": "Benjamini-Hochberg over experts",
        },
        notes=copied + _notes(contrast, q_LE, fdr=choosing.fdr),
        evidence_sha256=evidence_sha256,
        description=f"Experts of entities' names in {' and '.join(contrast.scripts)} alike.",
    )


def _bounds(contrast: EntityContrast, *, seed: int) -> tuple[Array, Array]:
    """Give the interval of the smallest mean, the same entities drawn in every script."""
    # [G][L] of [R, E]: the same seed draws the same entities in every script.
    means = [resampled_means(each_XLE, seed=seed) for each_XLE in contrast.difference_GXLE]
    least = [np.minimum.reduce(layer) for layer in zip(*means, strict=True)]
    bounds = [percentile_interval(each_RE, num_clusters=len(contrast.items)) for each_RE in least]
    low_LE, high_LE = (np.stack(each) for each in zip(*bounds, strict=True))
    return low_LE, high_LE


def _notes(contrast: EntityContrast, q_LE: Array, *, fdr: float) -> tuple[str, ...]:
    notes = [f"{number} prompts {reason}, and are left out" for reason, number in sorted(contrast.lost.items())]
    least = 0.5 ** len(contrast.items)
    if least > fdr:
        notes.append(f"with {len(contrast.items)} entities no p can be below {least:.3g}: ask about more")
    otherwise = "none goes with entities in every script more than chance has it"
    return (*notes, *why_none(q_LE, fdr=fdr, otherwise=otherwise))
