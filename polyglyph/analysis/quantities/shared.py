"""Shared experts: selected often, and about equally often, by every group (methods section 2, "language-agnostic").

Letters of shapes: G groups, L MoE layers, E experts.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from polyglyph.analysis.evidence.errors import EvidenceError

RATIO = 2.0
"""How many times the mean frequency k/E every group must reach."""
MAX_VARIATION = 0.25
"""Largest coefficient of variation over groups."""


def shared_LE(
    a_GLE: ArrayLike, top_k: int, *, ratio: float = RATIO, max_variation: float = MAX_VARIATION
) -> NDArray[np.bool_]:
    """Tell the experts with min over groups of a > 2 k/E and a coefficient of variation over groups below 0.25.

    Args:
        a_GLE: Selection frequencies, float64 [G, L, E].
        top_k: Experts per token, k.
        ratio: 2 in methods section 2.
        max_variation: 0.25 there; the standard deviation is that of the groups themselves (divided by G).

    Returns:
        bool [L, E].

    Raises:
        EvidenceError: There is one group only, which every expert is shared by.
    """
    a = np.asarray(a_GLE, dtype=np.float64)
    if len(a) < 2:
        raise EvidenceError(f"expected two groups or more to find shared experts, got {len(a)}: profile other text too")
    limit = ratio * top_k / a.shape[2]
    is_often_LE = a.min(axis=0) > limit
    # std < limit * mean, which is variation < limit without dividing by zero.
    is_even_LE = a.std(axis=0) < max_variation * a.mean(axis=0)
    shared: NDArray[np.bool_] = is_often_LE & is_even_LE
    return shared


def why_none_can_be_shared(top_k: int, num_experts: int, *, ratio: float = RATIO) -> str | None:
    """Say why no expert of a model can be shared, where 2 k/E is 1 or more; None where some can."""
    if ratio * top_k < num_experts:
        return None
    return (
        f"no frequency can exceed {ratio:g} x k/E = {ratio * top_k / num_experts:.3g} with {top_k} of {num_experts} "
        "experts per token"
    )
