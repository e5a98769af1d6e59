"""Router logits read back from the scores that traces hold, as far as scores tell them.

Letters: n tokens, L MoE layers, E experts.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from polyglyph.contract.errors import RequestError

Scoring = Literal["softmax", "sigmoid", "sqrtsoftplus"]
SCORINGS: tuple[Scoring, ...] = ("softmax", "sigmoid", "sqrtsoftplus")

LEAST_SCORE = 2.0**-25
"""In place of a score that float16 cannot hold: half of its smallest number."""
MOST_SIGMOID = 1 - 2.0**-12
"""In place of a sigmoid that float16 rounds to 1: halfway to the number below."""
SUM_TOLERANCE = 5e-3
"""How far rounding to float16 takes the sum of a row's probabilities from 1; 256 experts stay below 1e-3."""

Scores = NDArray[np.floating]


def scoring_of(scores_nLE: Scores) -> Scoring:
    """Tell softmax from independent scores: rows of probabilities add up to 1.

    Raises:
        RequestError: They do not, and nothing tells a sigmoid from another function; the text says what to do.
    """
    sums_nL = scores_nLE.sum(axis=-1, dtype=np.float64)
    if len(sums_nL) and np.abs(sums_nL - 1).max() <= SUM_TOLERANCE:
        return "softmax"
    raise RequestError(
        f"expected router scores that add up to 1 (softmax), got rows from {sums_nL.min():.3g} to {sums_nL.max():.3g}: "
        f"say how the router scores experts with --scoring {' or '.join(SCORINGS[1:])}"
    )


def router_logits(scores_nLE: Scores, scoring: Scoring) -> NDArray[np.float64]:
    """Give each token's router logits, less their mean over the layer's experts.

    A softmax forgets a constant that is added to all logits of a row, so logits themselves cannot be had from its
    scores, and nothing that the model does depends on that constant. Less the row's mean they can: log p less the mean
    of log p. For sigmoid and sqrt(softplus), whose inverse is known, the mean is taken off as well, so that scores of
    all routers are in the same unit.

    Args:
        scores_nLE: As `SequenceTrace.probabilities`, of any float dtype. What float16 rounds to 0 counts as half of its
            smallest number, which makes the row's mean a little too high.
        scoring: How the router makes scores of logits.

    Returns:
        float64 [n, L, E] whose rows have the mean 0.

    Raises:
        RequestError: A score is not finite, negative, or above 1 where that cannot be.
    """
    scores = scores_nLE.astype(np.float64)
    _check(scores, scoring)
    if scoring == "softmax":
        logits = np.log(np.maximum(scores, LEAST_SCORE))
    elif scoring == "sigmoid":
        scores = np.clip(scores, LEAST_SCORE, MOST_SIGMOID)
        logits = np.log(scores) - np.log1p(-scores)
    else:
        # softplus(z) = s * s, so z = log(exp(s * s) - 1), which is s * s + log(1 - exp(-s * s)) without overflow.
        squared = np.maximum(scores, LEAST_SCORE) ** 2
        logits = squared + np.log(-np.expm1(-squared))
    centred: NDArray[np.float64] = logits - logits.mean(axis=-1, keepdims=True)
    return centred


def _check(scores: NDArray[np.float64], scoring: Scoring) -> None:
    most = np.inf if scoring == "sqrtsoftplus" else 1.0
    if not np.isfinite(scores).all() or (scores < 0).any() or (scores > most).any():
        raise RequestError(
            f"expected finite router scores from 0 to {most:g} ({scoring}), got {scores.min():.3g} to "
            f"{scores.max():.3g}: say with --scoring how the router scores experts"
        )
