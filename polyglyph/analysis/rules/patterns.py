"""Pattern libraries from labelled prompts: what each kind's routing looks like, and how well the nearest one tells it.

Letters of shapes: N prompts, K kinds, L MoE layers, E experts, F features (layers x experts).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from polyglyph.analysis.rules.errors import RuleError
from polyglyph.analysis.statistics.wilson import Score
from polyglyph.contract.base import as_request_error
from polyglyph.contract.model import ModelBinding
from polyglyph.contract.pattern_library import PatternLibrary
from polyglyph.contract.policy import PolicyTarget
from polyglyph.contract.probe_guess import selection_shares

SHARE_DECIMALS = 7


@dataclass(frozen=True, eq=False, kw_only=True)
class Retrieval:
    """How the nearest pattern did on prompts that its library had not seen.

    Attributes:
        right: Of `total` prompts, the nearest pattern was their own kind's.
        similarity_N: float64, cosine of each prompt's nearest pattern.
        is_right_N: Whether it was the right one.
    """

    right: Score
    similarity_N: NDArray[np.float64]
    is_right_N: NDArray[np.bool_]


def library_of(
    selected_by_kind: Mapping[str, NDArray[np.integer]],
    *,
    model: ModelBinding,
    layers: Sequence[int],
    plans: Mapping[str, PolicyTarget],
    min_similarity: float = 0.0,
) -> PatternLibrary:
    """Make a library of kinds of prompts.

    Args:
        selected_by_kind: Counts [L, E] of the prompts' tokens, all layers of the model, by the pattern's name.
        model: The model that was counted.
        layers: MoE layers to compare, early ones as a rule.
        plans: What prompts of a kind get; kinds without one are not steered.
        min_similarity: Cosine from which on the nearest pattern counts.

    Raises:
        RuleError: A plan is of no kind, a kind has no selection, or a layer is none of the model's.
        RequestError: The library is none that a server takes.
    """
    if unknown := sorted(set(plans) - set(selected_by_kind)):
        raise RuleError(f"expected plans of the kinds {', '.join(sorted(selected_by_kind))}, got one of '{unknown[0]}'")
    for layer in layers:
        if not 0 <= layer < model.layers:
            raise RuleError(f"the model has MoE layers 0 to {model.layers - 1}, got {layer}")
    patterns = [
        {"name": kind, "shares": _shares(kind, counts_LE, layers)} | _target(plans.get(kind))
        for kind, counts_LE in sorted(selected_by_kind.items())
    ]
    document = {"model": model, "layers": tuple(layers), "min_similarity": min_similarity, "library": patterns}
    try:
        return PatternLibrary.model_validate(document)
    except ValidationError as error:
        raise as_request_error(error, root="patterns") from error


def retrieve_held_out(
    selected_NLE: NDArray[np.integer], kinds: Sequence[str], items: Sequence[str], *, layers: Sequence[int]
) -> Retrieval:
    """Find each prompt's nearest pattern in a library made without its item.

    Args:
        selected_NLE: Counts of each prompt's tokens, all layers of the model.
        kinds: Of each prompt.
        items: Of each prompt; what speaks of one thing is left out together.
        layers: MoE layers to compare.

    Raises:
        RuleError: Without an item, a kind has no prompt left; or there is one kind only.
    """
    names, kind_N = np.unique(np.asarray(kinds, dtype=object).astype(str), return_inverse=True)
    if len(names) < 2:
        raise RuleError(f"telling kinds apart takes two at least, got {', '.join(names) or 'none'}")
    _, item_N = np.unique(np.asarray(items, dtype=object).astype(str), return_inverse=True)
    counts_NLE = selected_NLE[:, list(layers)].astype(np.float64)
    sums_KLE = np.stack([counts_NLE[kind_N == kind].sum(axis=0) for kind in range(len(names))])
    similarity_N, nearest_N = np.empty(len(kind_N)), np.empty(len(kind_N), np.int64)
    for item in range(int(item_N.max()) + 1):
        held_out = item_N == item
        rest_KLE = sums_KLE.copy()
        np.subtract.at(rest_KLE, kind_N[held_out], counts_NLE[held_out])
        if not rest_KLE.any(axis=(1, 2)).all():
            missing = names[~rest_KLE.any(axis=(1, 2))][0]
            raise RuleError(f"the kind '{missing}' has one item only, so that nothing of it can be held out")
        cosines_NK = _directions(counts_NLE[held_out]) @ _directions(rest_KLE).T
        nearest_N[held_out], similarity_N[held_out] = cosines_NK.argmax(axis=1), cosines_NK.max(axis=1)
    is_right_N = nearest_N == kind_N
    return Retrieval(right=Score(int(is_right_N.sum()), len(kind_N)), similarity_N=similarity_N, is_right_N=is_right_N)


def _shares(kind: str, counts_LE: NDArray[np.integer], layers: Sequence[int]) -> list[list[float]]:
    try:
        shares_LE = selection_shares(counts_LE[list(layers)])
    except ValueError as error:
        raise RuleError(f"the kind '{kind}' has a layer without a selection: {error}") from error
    found: list[list[float]] = shares_LE.round(SHARE_DECIMALS).tolist()
    return found


def _target(target: PolicyTarget | None) -> dict[str, object]:
    return {} if target is None else target.model_dump()


def _directions(counts_NLE: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give shares as vectors of length 1, float64 [N, F]."""
    shares = counts_NLE / np.maximum(counts_NLE.sum(axis=2, keepdims=True), 1.0)
    flat = shares.reshape(len(shares), -1)
    directions: NDArray[np.float64] = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-300)
    return directions
