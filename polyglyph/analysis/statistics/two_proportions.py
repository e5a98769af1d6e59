"""Two proportions, for many at once: whether two shares of independent trials differ, and by how much.

Tokens of one text are not independent: where sequences can be told apart, permutation and bootstrap are to be used.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from polyglyph.analysis.statistics.wilson import Z_95

Array = NDArray[np.float64]
SMALLEST = 1e-300
"""p values are not written smaller: 0 would be a claim of certainty, and has no logarithm."""


def two_proportion_p(rate1: ArrayLike, rate2: ArrayLike, *, num1: float, num2: float) -> Array:
    """Give two-sided p values of the pooled z test (Pearson 1900).

    Args:
        rate1: Shares of the one group, 0 to 1, any shape.
        rate2: Shares of the other.
        num1: Trials of the one, 1 or more.
        num2: Trials of the other.

    Returns:
        float64, `SMALLEST` to 1; NaN where both shares are 0, or both are 1: nothing was varied.
    """
    from scipy.special import ndtr

    first, second = np.asarray(rate1, dtype=np.float64), np.asarray(rate2, dtype=np.float64)
    pooled = (first * num1 + second * num2) / (num1 + num2)
    variance = pooled * (1 - pooled) * (1 / num1 + 1 / num2)
    # Rounding leaves 1e-17 where both are 1.
    varies = variance > 1e-15 * (1 / num1 + 1 / num2)
    z = np.divide(first - second, np.sqrt(np.abs(variance)), out=np.zeros(variance.shape), where=varies)
    p: Array = np.where(varies, np.maximum(2 * ndtr(-np.abs(z)), SMALLEST), np.nan)
    return p


def newcombe(rate1: ArrayLike, rate2: ArrayLike, *, num1: float, num2: float) -> tuple[Array, Array]:
    """Give 95 % intervals of the difference, from the two Wilson intervals (Newcombe 1998, method 10).

    Returns:
        Lower and upper bounds, float64, -1 to 1.
    """
    first, second = np.asarray(rate1, dtype=np.float64), np.asarray(rate2, dtype=np.float64)
    (low1, high1), (low2, high2) = _wilson(first, num1), _wilson(second, num2)
    difference = first - second
    low: Array = difference - np.sqrt((first - low1) ** 2 + (high2 - second) ** 2)
    high: Array = difference + np.sqrt((high1 - first) ** 2 + (second - low2) ** 2)
    return low, high


def _wilson(rate: Array, num: float) -> tuple[Array, Array]:
    centre = rate + Z_95**2 / (2 * num)
    half = Z_95 * np.sqrt(rate * (1 - rate) / num + Z_95**2 / (4 * num * num))
    scale = 1 + Z_95**2 / num
    return np.clip((centre - half) / scale, 0.0, rate), np.clip((centre + half) / scale, rate, 1.0)
