"""Sums behind `tcess`: what each expert scored on a task's tokens, by sequence.

Letters: n tokens, S sequences, L MoE layers, E experts.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.identification.binding import MODEL_NAME, load_model
from polyglyph.analysis.identification.errors import IdentificationError
from polyglyph.analysis.identification.identified import Shape
from polyglyph.analysis.identification.router_logits import SCORINGS, Scoring, router_logits, scoring_of
from polyglyph.analysis.identification.token_selections import selection_mask, unsteered
from polyglyph.contract.plan import PHASES, Phase
from polyglyph.contract.trace import SequenceTrace

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class TcessSums:
    """What `tcess` rests on.

    Attributes:
        model: Whose scores they are.
        clusters: Of each sequence, the item it belongs to.
        tokens_S: Tokens of each sequence that count.
        score_SLE: Sum over them of the expert's logit where it counts, else 0.
        selected_SLE: Tokens that select the expert.
        scoring: How the router makes scores of logits.
        confidence: Least share among the selected, r.
        num_selected: Experts per token that count, k_sel.
        num_rounded: Scores that float16 rounded to 0.
    """

    model: Shape
    clusters: tuple[str, ...]
    tokens_S: NDArray[np.int64]
    score_SLE: Array
    selected_SLE: NDArray[np.int64]
    scoring: Scoring
    confidence: float
    num_selected: int
    num_rounded: int


def token_scores(logits_nLE: Array, selected_nLE: NDArray[np.bool_], *, confidence: float) -> Array:
    """Give each token's score of each expert: its logit where it is selected confidently, else 0.

    Args:
        logits_nLE: Router logits.
        selected_nLE: Which experts count as selected.
        confidence: Least softmax over the selected experts' logits, r; 0 for no such condition.

    Returns:
        float64 [n, L, E].
    """
    among = np.where(selected_nLE, logits_nLE, -np.inf)
    most = among.max(axis=-1, keepdims=True)
    share = np.exp(among - np.where(np.isfinite(most), most, 0.0))
    total = share.sum(axis=-1, keepdims=True)
    is_confident = share >= confidence * total
    return np.where(selected_nLE & is_confident, logits_nLE, 0.0)


def best_mask(logits_nLE: Array, num_selected: int) -> NDArray[np.bool_]:
    """Give the so many largest of each row, bool [n, L, E]; of equal ones the lower expert."""
    best = np.argsort(-logits_nLE, axis=-1, kind="stable")[..., :num_selected]
    mask = np.zeros(logits_nLE.shape, dtype=np.bool_)
    np.put_along_axis(mask, best, values=True, axis=-1)
    return mask


def sum_scores(
    traces: Iterable[tuple[str, SequenceTrace]],
    *,
    model: Shape,
    phases: Collection[Phase] = PHASES,
    num_selected: int | None = None,
    confidence: float = 0.0,
    scoring: Scoring | None = None,
) -> TcessSums:
    """Sum the scores of a task's tokens.

    Args:
        traces: Of the task, each with the item it belongs to, with the router's scores.
        model: Of the traces.
        phases: Whose tokens count.
        num_selected: k_sel: as many of the largest logits count as selected. None for the experts that the router
            did select, which a bias of its own may have chosen otherwise.
        confidence: Least softmax over the selected, r.
        scoring: How the router makes scores of logits; None to tell a softmax by its sums.

    Raises:
        IdentificationError: A trace has no scores, or no token counts.
        RequestError: The scores are not of this kind.
    """
    if num_selected is not None and not 1 <= num_selected <= model.experts:
        raise IdentificationError(f"--select: expected 1 to {model.experts} experts per token, got {num_selected}")
    wanted = [PHASES.index(phase) for phase in phases]
    rows, num_rounded = [], 0
    for item, trace in traces:
        counted_n = unsteered(trace) & np.isin(trace.phases, wanted)
        if not counted_n.any():
            continue
        scores = _scores_of(trace)[counted_n]
        scoring = scoring or scoring_of(scores)
        logits = router_logits(scores, scoring)
        num_rounded += int((scores == 0).sum())
        own = selection_mask(trace, counted_n, num_experts=model.experts)
        mask = own if num_selected is None else best_mask(logits, num_selected)
        rows.append((item, len(scores), token_scores(logits, mask, confidence=confidence).sum(axis=0), own.sum(axis=0)))
    if not rows or scoring is None:
        raise IdentificationError(
            f"the traces hold no token of the phases {', '.join(phases)} that was computed and not steered"
        )
    return TcessSums(
        model=model,
        clusters=tuple(row[0] for row in rows),
        tokens_S=np.array([row[1] for row in rows]),
        score_SLE=np.stack([row[2] for row in rows]),
        selected_SLE=np.stack([row[3] for row in rows]),
        scoring=scoring,
        confidence=confidence,
        num_selected=model.top_k if num_selected is None else num_selected,
        num_rounded=num_rounded,
    )


def _scores_of(trace: SequenceTrace) -> NDArray[np.floating]:
    if trace.probabilities is None:
        raise IdentificationError(
            f"the trace of request {trace.request_id} has no router scores, and the weights of the selected experts "
            "tell their logits only up to a constant of each token: ask again with 'polyglyph identify ask --scores', "
            'or with "probabilities": true beside the tokens of "routing"'
        )
    return trace.probabilities


def scoring_named(name: str | None, path: Path) -> Scoring | None:
    """Give how a router makes scores of logits: as named, or as the `model.json` of a labelled run says.

    Returns:
        None where neither says it.

    Raises:
        IdentificationError: The name is none, or the layers' routers differ or cannot be inverted.
    """
    if name is not None:
        if name not in SCORINGS:
            raise IdentificationError(f"--scoring: expected {', '.join(SCORINGS)}, got {name!r}")
        return SCORINGS[SCORINGS.index(name)]
    if not (path / MODEL_NAME).is_file():
        return None
    kinds = sorted({router.kind for router in load_model(path / MODEL_NAME).routers})
    if len(kinds) != 1 or kinds[0] not in SCORINGS:
        raise IdentificationError(
            f"expected routers that all score experts by {', '.join(SCORINGS[:-1])} or {SCORINGS[-1]}, got "
            f"{', '.join(kinds)}: their logits cannot be read back from their scores"
        )
    return SCORINGS[SCORINGS.index(kinds[0])]
