"""Super experts (2507.23279): the few whose outputs are orders of magnitude larger than all others'.

Letters of shapes: L MoE layers, E experts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.identification.expert_table import expert_table
from polyglyph.analysis.identification.expert_weights import ExpertWeights
from polyglyph.analysis.identification.identified import Identified

if TYPE_CHECKING:
    from polyglyph.analysis.offline.examples import Example
    from polyglyph.analysis.offline.expert_outputs import OutputSizes
    from polyglyph.analysis.offline.offline_model import OfflineModel

METHOD = "super-experts"


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """When an expert counts as a super expert; the defaults are the paper's.

    Attributes:
        percentile: Of the largest outputs of all experts, which it must exceed.
        share_of_max: Of the model's largest output, which it must exceed too.
        share_of_layers: It must lie in so many of the first layers.
    """

    percentile: float = 99.5
    share_of_max: float = 0.1
    share_of_layers: float = 0.75


def identify(
    model: "OfflineModel",
    texts: "Sequence[Example]",
    thresholds: Thresholds | None = None,
    *,
    batch_tokens: int = 2048,
) -> Identified:
    """Find super experts by an offline pass over calibration text.

    An expert that computed no token has no value: null in the table, and never chosen.

    Args:
        model: The model.
        texts: Calibration text; a few thousand tokens do, since the sizes come from a model's massive activations.
        thresholds: When an expert counts; the paper's unless given.
        batch_tokens: Most tokens that are computed at once.

    Returns:
        Every expert's sizes, and a guard of those chosen. That none is chosen is a result too.
    """
    from polyglyph.analysis.offline.examples import digest_of
    from polyglyph.analysis.offline.passing import measure_outputs

    limits = thresholds or Thresholds()
    sizes = measure_outputs(model, texts, batch_tokens=batch_tokens)
    tokens_LE = sizes.tokens_LE.numpy()
    max_abs_LE = _seen(sizes.max_abs_LE.numpy(), tokens_LE)
    limit = _limit(max_abs_LE, limits)
    chosen_LE = _choose(max_abs_LE, limits)
    return Identified(
        method=METHOD,
        model=model.binding,
        table=expert_table(max_abs_LE, chosen_LE, _columns(sizes, tokens_LE)),
        experts=ExpertWeights(weights=dict.fromkeys(_pairs(chosen_LE), 1.0), guard=True),
        frequencies_LE=tokens_LE / tokens_LE.sum(axis=1, keepdims=True) * model.binding.top_k,
        parameters={
            "percentile": limits.percentile,
            "share_of_max": limits.share_of_max,
            "share_of_layers": limits.share_of_layers,
        },
        statistics={
            "num_tokens": sum(len(text.ids) for text in texts),
            "num_texts": len(texts),
            "largest": float(np.nanmax(max_abs_LE)),
            "median": float(np.nanmedian(max_abs_LE)),
            "limit": limit,
        },
        notes=tuple(_notes(max_abs_LE, chosen_LE, limits, limit)),
        evidence_sha256=digest_of(texts),
        description="Super experts: without them the model's massive activations collapse. Not to be banned.",
    )


def _limit(max_abs_LE: NDArray[np.float64], limits: Thresholds) -> float:
    percentile = float(np.nanpercentile(max_abs_LE, limits.percentile))
    return max(percentile, float(np.nanmax(max_abs_LE)) * limits.share_of_max)


def _choose(max_abs_LE: NDArray[np.float64], limits: Thresholds) -> NDArray[np.bool_]:
    is_early_L = np.arange(len(max_abs_LE)) < limits.share_of_layers * len(max_abs_LE)
    found_LE: NDArray[np.bool_] = (np.nan_to_num(max_abs_LE) > _limit(max_abs_LE, limits)) & is_early_L[:, None]
    return found_LE


def _columns(sizes: "OutputSizes", tokens_LE: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_norm_LE = sizes.norm_sum_LE.numpy() / tokens_LE
    return {
        "mean_norm": mean_norm_LE,
        "max_norm": _seen(sizes.max_norm_LE.numpy(), tokens_LE),
        "tokens": tokens_LE,
    }


def _seen(values_LE: NDArray[Any], tokens_LE: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.where(tokens_LE > 0, values_LE.astype(np.float64), np.nan)


def _pairs(chosen_LE: NDArray[np.bool_]) -> list[tuple[int, int]]:
    return [(int(layer), int(expert)) for layer, expert in np.argwhere(chosen_LE)]


def _notes(
    max_abs_LE: NDArray[np.float64], chosen_LE: NDArray[np.bool_], limits: Thresholds, limit: float
) -> "list[str]":
    notes = []
    unseen = int(np.isnan(max_abs_LE).sum())
    if unseen:
        notes.append(f"{unseen} experts computed no token of these texts and have no size: give more text")
    if not chosen_LE.any():
        layer, expert = np.unravel_index(int(np.nanargmax(max_abs_LE)), max_abs_LE.shape)
        notes.append(
            f"no super expert: the largest output, {np.nanmax(max_abs_LE):.4g}, is expert {expert}'s of layer {layer}; "
            f"none of the first {limits.share_of_layers:.0%} of the layers exceeds {limit:.4g}"
        )
    return notes
