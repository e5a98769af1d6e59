"""`tcess`: the experts a task needs, by what the router gives them when it selects them (PreMoe, 2505.17639).

Letters of shapes: S sequences, L MoE layers, E experts, R resamples.
"""

from math import ceil

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.identification.editing import Editing, Operation
from polyglyph.analysis.identification.errors import IdentificationError
from polyglyph.analysis.identification.expert_table import expert_table
from polyglyph.analysis.identification.expert_weights import ExpertWeights
from polyglyph.analysis.identification.identified import Identified
from polyglyph.analysis.identification.intervals import percentile_interval
from polyglyph.analysis.identification.tcess_sums import TcessSums
from polyglyph.analysis.statistics.bootstrap import Bootstrap
from polyglyph.contract.plan import PHASES, Phase

METHOD = "tcess"
KEEP = 0.5

Array = NDArray[np.float64]


def tcess(sums: TcessSums) -> Array:
    """Give the score of each expert: the mean over the task's tokens, float64 [L, E]."""
    score_LE: Array = sums.score_SLE.sum(axis=0) / sums.tokens_S.sum()
    return score_LE


def num_kept(keep: float, *, experts: int, top_k: int) -> int:
    """Give how many experts a layer keeps: the share asked for, rounded up, and never fewer than it selects.

    Raises:
        IdentificationError: The share is not above 0 and at most 1.
    """
    if not 0 < keep <= 1:
        raise IdentificationError(f"--keep: expected a share of the experts above 0 and at most 1, got {keep:g}")
    # 0.3 of 10 is 3.0000000000000004 to a computer, and 4 to no one.
    return max(top_k, ceil(round(keep * experts, 9)))


def identify(
    sums: TcessSums,
    *,
    keep: float = KEEP,
    phases: tuple[Phase, ...] = PHASES,
    seed: int = 0,
    evidence_sha256: str | None = None,
) -> Identified:
    """Keep the experts of each layer that score most, and ban the rest.

    Args:
        sums: Of the task's tokens.
        keep: Share of each layer's experts to keep.
        phases: Of the plan.
        seed: Of the bootstrap.
        evidence_sha256: For provenance.

    Returns:
        `chosen` are the experts kept, which an expert set holds; the plan bans the others. `kept_share` says in which
        share of the resamples an expert is among those kept. A layer that no token went through is left alone.
    """
    model = sums.model
    kept = num_kept(keep, experts=model.experts, top_k=model.top_k)
    score_LE = tcess(sums)
    routed_L = sums.selected_SLE.sum(axis=(0, 2)) > 0
    chosen_LE = _best(score_LE, kept) & routed_L[:, None]
    low_LE, high_LE, share_LE = _resampled(sums, kept, seed=seed)
    banned_LE = ~chosen_LE & routed_L[:, None]
    return Identified(
        method=METHOD,
        model=model,
        table=expert_table(
            score_LE,
            chosen_LE,
            {"low": low_LE, "high": high_LE, "kept_share": share_LE, "selected": sums.selected_SLE.sum(axis=0)},
            rank_LE=score_LE,
        ),
        edits=Editing(op=Operation.BAN).edits(banned_LE.astype(np.int64)),
        phases=phases,
        experts=ExpertWeights(weights={(int(layer), int(expert)): 1.0 for layer, expert in np.argwhere(chosen_LE)}),
        frequencies_LE=sums.selected_SLE.sum(axis=0) / sums.tokens_S.sum(),
        parameters={"keep": keep, "select": sums.num_selected, "confidence": sums.confidence, "seed": seed},
        statistics={
            "unit": "item",
            "num_items": len(set(sums.clusters)),
            "num_tokens": int(sums.tokens_S.sum()),
            "kept_per_layer": kept,
            "logits": f"{sums.scoring} scores, inverted; less the mean of the row",
            "interval": "bootstrap 95 %, items drawn",
        },
        notes=_notes(sums, kept, routed_L),
        evidence_sha256=evidence_sha256,
        description=f"Bans all but the {kept} experts of each layer that the task's tokens score highest.",
    )


def _best(score_XE: Array, kept: int) -> NDArray[np.bool_]:
    """Give the so many largest of each row, of equal ones the lower expert."""
    chosen = np.zeros(score_XE.shape, dtype=np.bool_)
    np.put_along_axis(chosen, np.argsort(-score_XE, axis=-1, kind="stable")[..., :kept], values=True, axis=-1)
    return chosen


def _resampled(sums: TcessSums, kept: int, *, seed: int) -> tuple[Array, Array, Array]:
    """Give percentile intervals, and how often an expert is kept, layer by layer to hold little at a time."""
    bootstrap = Bootstrap(sums.clusters, seed=seed)
    _, tokens_R1 = bootstrap.totals(sums.tokens_S[:, None])
    found = []
    for layer in range(sums.score_SLE.shape[1]):
        _, total_RE = bootstrap.totals(sums.score_SLE[:, layer])
        score_RE = total_RE / tokens_R1
        share_E = _best(score_RE, kept).mean(axis=0)
        lone = bootstrap.num_clusters < 2
        found.append(
            (
                *percentile_interval(score_RE, num_clusters=bootstrap.num_clusters),
                np.full(share_E.shape, np.nan) if lone else share_E,
            )
        )
    low_LE, high_LE, share_LE = (np.stack(each) for each in zip(*found, strict=True))
    return low_LE, high_LE, share_LE


def _notes(sums: TcessSums, kept: int, routed_L: NDArray[np.bool_]) -> tuple[str, ...]:
    notes = []
    if sums.num_rounded:
        share = sums.num_rounded / (sums.tokens_S.sum() * len(routed_L) * sums.model.experts)
        notes.append(f"{share:.2%} of the scores are too small for float16; they count as half of its smallest number")
    if not routed_L.all():
        layers = ", ".join(map(str, np.flatnonzero(~routed_L)))
        notes.append(f"no token was routed in layer {layers}, which the plan leaves alone")
    if len(set(sums.clusters)) < 2:
        notes.append("intervals cannot be computed: all tokens are of one item")
    if kept >= sums.model.experts:
        notes.append(
            f"all {sums.model.experts} experts of a layer are kept (a token selects {sums.model.top_k}), so none is "
            "left to ban"
        )
    return tuple(notes)
