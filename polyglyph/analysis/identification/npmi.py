"""`npmi`: experts that go with a class of tokens, by normalised pointwise mutual information (RICE, 2505.14681).

Letters of shapes: S sequences, C classes of markers, L MoE layers, E experts, R resamples.
"""

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.identification.choosing import Choosing
from polyglyph.analysis.identification.correction import corrected, why_none
from polyglyph.analysis.identification.editing import Editing, Operation
from polyglyph.analysis.identification.expert_table import expert_table
from polyglyph.analysis.identification.expert_weights import ExpertWeights
from polyglyph.analysis.identification.identified import Identified
from polyglyph.analysis.identification.intervals import percentile_interval
from polyglyph.analysis.identification.marker_counts import MarkerCounts
from polyglyph.analysis.identification.tested_layers import layer_mask
from polyglyph.analysis.statistics.bootstrap import Bootstrap
from polyglyph.analysis.statistics.marker_permutation import marker_permutation_p
from polyglyph.contract.plan import PHASES, Phase

METHOD = "npmi"
DEFAULT_CHOOSING = Choosing(top=2)
DEFAULT_EDITING = Editing(op=Operation.SCALE, value=64.0, renormalize=False)

Array = NDArray[np.float64]


def npmi(hits: NDArray[np.generic], markers: Array, active: Array, tokens: Array) -> Array:
    """Give the normalised pointwise mutual information of an expert and a class of tokens.

    [log2(k/M) + log2(T/K)] / log2(T/k), which is 1 where the expert is selected for these tokens and no others, 0 where
    it is selected for them as often as for any, and by its limit -1 where it never is.

    Args:
        hits: k, tokens of the class that select the expert.
        markers: M, tokens of the class.
        active: K, tokens that select the expert.
        tokens: T, all tokens. All four broadcast.

    Returns:
        float64, -1 to 1; NaN where no token selects the expert, or every token is of the class and does.
    """
    k = hits.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log2(k * tokens / (markers * active)) / np.log2(tokens / k)
    found: Array = np.where((active > 0) & (k == 0), -1.0, ratio)
    return np.where(np.isfinite(found), found, np.nan)


def identify(
    counts: MarkerCounts,
    editing: Editing = DEFAULT_EDITING,
    *,
    phases: tuple[Phase, ...] = PHASES,
    choosing: Choosing = DEFAULT_CHOOSING,
    looks_for_copies: bool = True,
    seed: int = 0,
    evidence_sha256: str | None = None,
) -> Identified:
    """Choose the experts that go with the classes counted for, and not with those counted against.

    The score is the sum of the classes' nPMI, each with its sign. An expert's p is the largest of its classes', each
    in its own direction: to be found, it has to go with each (intersection-union test).

    Args:
        counts: From traces.
        editing: What the plan does with the chosen ones.
        phases: Of the plan.
        choosing: Two of the whole model at most unless told otherwise; with a rate of 1 by score alone, as RICE does.
        looks_for_copies: Whether index-aligned copies of an expert count as one hypothesis.
        seed: Of the bootstrap, and of what copies are found by.
        evidence_sha256: For provenance.
    """
    allowed_L = layer_mask(choosing.layers, num_layers=counts.model.layers)
    by_class_CLE, score_LE = _scores(counts)
    p_CLE = _p_values(counts)
    p_LE = np.where(np.isfinite(score_LE) & allowed_L[:, None], p_CLE.max(axis=0), np.nan)
    q_LE, num_hypotheses, copied = corrected(p_LE, by_class_CLE, looks_for_copies=looks_for_copies, seed=seed)
    low_LE, high_LE = _intervals(counts, seed=seed)
    chosen_LE = choosing.choose(score_LE, q_LE, passes_LE=allowed_L[:, None] & (score_LE > 0))
    classes = {f"npmi_{marker.name}": by_class_CLE[index] for index, marker in enumerate(counts.markers)}
    active_LE = counts.active_SLE.sum(axis=0)
    return Identified(
        method=METHOD,
        model=counts.model,
        table=expert_table(
            score_LE,
            chosen_LE,
            {"low": low_LE, "high": high_LE, "p": p_LE, "q": q_LE, **classes, "selected": active_LE},
            rank_LE=score_LE,
        ),
        edits=editing.edits(chosen_LE.astype(np.int64)),
        phases=phases,
        experts=ExpertWeights(weights={(int(layer), int(expert)): 1.0 for layer, expert in np.argwhere(chosen_LE)}),
        frequencies_LE=active_LE / counts.tokens_S.sum(),
        parameters={
            "markers": [
                f"{'+' if each.sign > 0 else '-'}{each.name}={each.kind}:{each.what}" for each in counts.markers
            ],
            **choosing.to_json(),
            "seed": seed,
            **editing.to_json(),
        },
        statistics={**_statistics(counts), "hypotheses": num_hypotheses},
        notes=copied + _notes(counts, q_LE, fdr=choosing.fdr),
        evidence_sha256=evidence_sha256,
        description=f"Experts that go with {', '.join(marker.name for marker in counts.markers if marker.sign > 0)}.",
    )


def _scores(counts: MarkerCounts) -> tuple[Array, Array]:
    """Give the nPMI of each class, and their sum with signs."""
    markers_C11 = counts.markers_SC.sum(axis=0).astype(np.float64)[:, None, None]
    active_LE = counts.active_SLE.sum(axis=0).astype(np.float64)
    tokens = counts.tokens_S.sum().astype(np.float64)
    by_class_CLE = npmi(counts.hits_SCLE.sum(axis=0), markers_C11, active_LE, tokens)
    score_LE: Array = np.einsum("c,cle->le", _signs(counts), by_class_CLE)
    return by_class_CLE, score_LE


def _signs(counts: MarkerCounts) -> Array:
    return np.array([marker.sign for marker in counts.markers], dtype=np.float64)


def _p_values(counts: MarkerCounts) -> Array:
    """Give each class' p values, by the permutation of its markers within sequences."""
    num_sequences, num_classes, num_layers, num_experts = counts.hits_SCLE.shape
    hits_CX = counts.hits_SCLE.sum(axis=0).reshape(num_classes, -1)
    active_SX = counts.active_SLE.reshape(num_sequences, -1)
    found = [
        marker_permutation_p(
            counts.tokens_S, counts.markers_SC[:, index], active_SX, observed_X=hits_CX[index], more=marker.sign > 0
        )
        for index, marker in enumerate(counts.markers)
    ]
    return np.stack(found).reshape(num_classes, num_layers, num_experts)


def _intervals(counts: MarkerCounts, *, seed: int) -> tuple[Array, Array]:
    """Give percentile intervals of the score over resampled items, layer by layer to hold little at a time."""
    bootstrap = Bootstrap(counts.clusters, seed=seed)
    num_classes, num_layers, num_experts = counts.hits_SCLE.shape[1:]
    _, tokens_R1 = bootstrap.totals(counts.tokens_S[:, None])
    _, markers_RC = bootstrap.totals(counts.markers_SC)
    bounds = []
    for layer in range(num_layers):
        _, active_RE = bootstrap.totals(counts.active_SLE[:, layer])
        _, hits = bootstrap.totals(counts.hits_SCLE[:, :, layer].reshape(len(counts.tokens_S), -1))
        hits_RCE = hits.reshape(-1, num_classes, num_experts)
        by_class_RCE = npmi(hits_RCE, markers_RC[:, :, None], active_RE[:, None], tokens_R1[:, :, None])
        score_RE = np.einsum("c,rce->re", _signs(counts), by_class_RCE)
        bounds.append(percentile_interval(score_RE, num_clusters=bootstrap.num_clusters))
    low_LE, high_LE = (np.stack(each) for each in zip(*bounds, strict=True))
    return low_LE, high_LE


def _statistics(counts: MarkerCounts) -> dict[str, object]:
    return {
        "unit": "item",
        "num_items": len(set(counts.clusters)),
        "num_sequences": len(counts.tokens_S),
        "num_tokens": int(counts.tokens_S.sum()),
        "num_markers": dict(
            zip([marker.name for marker in counts.markers], counts.markers_SC.sum(axis=0).tolist(), strict=True)
        ),
        "test": "exact permutation of markers within sequences, one-sided, the largest p of the classes",
        "interval": "bootstrap 95 %, items drawn",
        "multiplicity": "Benjamini-Hochberg over experts",
    }


def _notes(counts: MarkerCounts, q_LE: Array, *, fdr: float) -> tuple[str, ...]:
    notes = []
    if counts.num_left_out:
        notes.append(f"{counts.num_left_out} tokens are left out: steered, or served from the prefix cache")
    if any(marker.kind != "text" for marker in counts.markers):
        notes.append(
            "phases and scripts come in runs of tokens, which the permutation takes for independent: its p is too "
            "small; trust the interval, which is over items"
        )
    if len(set(counts.clusters)) < 2:
        notes.append("intervals cannot be computed: all tokens are of one item")
    return (*notes, *why_none(q_LE, fdr=fdr, otherwise="none goes with the markers more than chance has it"))
