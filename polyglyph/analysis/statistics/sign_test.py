"""The sign test, for many hypotheses at once: whether as many pairs rise as fall."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def sign_test(num_positive: ArrayLike, num_negative: ArrayLike) -> NDArray[np.float64]:
    """Give two-sided exact p values of the binomial with one half (Arbuthnot 1710; Conover 1999, section 3.4).

    Pairs without a difference are left out, as is usual.

    Args:
        num_positive: Pairs, such as facts, whose difference is above 0; any shape.
        num_negative: Pairs whose difference is below 0; of a shape that broadcasts.

    Returns:
        float64, 0 to 1; 1 where no pair differs.

    Raises:
        ValueError: A count is negative.
    """
    from scipy.special import bdtr

    positive, negative = np.broadcast_arrays(np.asarray(num_positive), np.asarray(num_negative))
    fewer = np.minimum(positive, negative)
    if (fewer < 0).any():
        raise ValueError(f"expected counts of 0 or more, got {fewer.min()}")
    p: NDArray[np.float64] = np.minimum(1.0, 2 * bdtr(fewer.astype(np.float64), (positive + negative).astype(int), 0.5))
    return p


def signs(differences_N: ArrayLike, *, tolerance: float = 1e-12) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count differences above and below 0 along the first axis; NaN counts as neither.

    Args:
        differences_N: Paired differences, [N, ...].
        tolerance: Up to here a difference is rounding, not a sign.

    Returns:
        The numbers above and below, of the trailing shape.
    """
    differences = np.asarray(differences_N, dtype=np.float64)
    return (differences > tolerance).sum(axis=0), (differences < -tolerance).sum(axis=0)
