"""RankC: whether a model ranks the candidates of a question alike in two languages (2310.10378, section 4)."""

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray


def rank_consistency(first: Sequence[Hashable], second: Sequence[Hashable]) -> float:
    """Compare two rankings of the same candidates.

    The sum over j = 1..N of w_j P@j, with P@j = |top j of the one and of the other| / j and softmax weights over the
    descending ranks, w_j = exp(N - j) / sum over k of exp(N - k). The first few ranks decide: the first alone has 63 %.

    Args:
        first: Candidates, the best first.
        second: The same candidates in another order.

    Returns:
        0 to 1; 1 for equal rankings. Two rankings that agree only as a whole have w_N.

    Raises:
        ValueError: The two do not hold the same candidates, or hold none, or one twice.
    """
    if not first or len(set(first)) != len(first) or len(first) != len(second) or set(first) != set(second):
        raise ValueError(f"two rankings of the same candidates are needed, got {list(first)} and {list(second)}")
    place = {candidate: rank for rank, candidate in enumerate(second)}
    # A candidate is in both tops from the later of its two ranks on.
    later = np.maximum(np.arange(len(first)), [place[candidate] for candidate in first])
    common = np.cumsum(np.bincount(later, minlength=len(first)))
    precision = common / np.arange(1, len(first) + 1)
    return float(weights(len(first)) @ precision)


def weights(num_candidates: int) -> NDArray[np.float64]:
    """Give w_j for j = 1..N: they fall by e with each rank and sum to 1."""
    falling = np.exp(-np.arange(num_candidates, dtype=np.float64))
    return np.asarray(falling / falling.sum())
