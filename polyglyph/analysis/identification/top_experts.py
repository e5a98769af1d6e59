"""The best experts of the whole model among those that may be chosen.

Letters of shapes: L MoE layers, E experts.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.identification.errors import IdentificationError


def top_experts(score_LE: NDArray[np.float64], allowed_LE: NDArray[np.bool_], *, top: int | None) -> NDArray[np.bool_]:
    """Choose experts by score.

    Args:
        score_LE: The larger, the better; NaN is never chosen.
        allowed_LE: Which may be chosen.
        top: How many at most; None for all. Of equal scores the lower layer and expert goes first.

    Returns:
        bool [L, E].
    """
    allowed = (allowed_LE & np.isfinite(score_LE)).ravel()
    order = np.argsort(-np.where(allowed, score_LE.ravel(), -np.inf), kind="stable")[: int(allowed.sum())]
    chosen = np.zeros(allowed.shape, dtype=np.bool_)
    chosen[order[:top]] = True
    return chosen.reshape(score_LE.shape)


def layer_mask(layers: Sequence[int] | None, *, num_layers: int) -> NDArray[np.bool_]:
    """Give which layers may be chosen from, bool [L]; all unless some are named.

    Raises:
        IdentificationError: A layer that the model does not have.
    """
    if layers is None:
        return np.ones(num_layers, dtype=np.bool_)
    unknown = [layer for layer in layers if not 0 <= layer < num_layers]
    if unknown:
        raise IdentificationError(f"--layers: the model has MoE layers 0 to {num_layers - 1}, got {unknown[0]}")
    mask_L = np.zeros(num_layers, dtype=np.bool_)
    mask_L[list(layers)] = True
    return mask_L
