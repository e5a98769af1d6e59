"""Scores: shares with Wilson intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Z_95 = 1.959963984540054


@dataclass(frozen=True)
class Score:
    """How many of how many; whole numbers, unless several answers to one question were averaged."""

    num_right: float
    num_asked: int

    @property
    def rate(self) -> float:
        """Share of right ones, 0 to 1."""
        return self.num_right / self.num_asked

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson 95 % interval of the rate (Wilson 1927), for independent answers."""
        low, high = wilson_bounds(self.rate, self.num_asked)
        return float(low), float(high)

    def to_json(self) -> dict[str, object]:
        """Give counts, rate and interval as plain JSON types."""
        low, high = self.interval
        return {
            "right": self.num_right,
            "asked": self.num_asked,
            "rate": round(self.rate, 4),
            "wilson_95": [round(low, 4), round(high, 4)],
        }


def score(outcomes: Sequence[bool]) -> Score:
    """Count the right outcomes."""
    return Score(sum(outcomes), len(outcomes))


def wilson_bounds(rate: ArrayLike, number: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the bounds of Wilson's 95 % interval (Wilson 1927) of one rate or of many.

    Args:
        rate: 0 to 1, any shape.
        number: Independent trials behind each, above 0; NaN gives NaN.
    """
    p, n = np.asarray(rate, dtype=np.float64), np.asarray(number, dtype=np.float64)
    centre = p + Z_95**2 / (2 * n)
    half = Z_95 * np.sqrt(p * (1 - p) / n + Z_95**2 / (4 * n * n))
    scale = 1 + Z_95**2 / n
    # Rounding may leave 5e-17 where the interval begins or ends at the rate.
    return np.maximum(0.0, np.minimum(p, (centre - half) / scale)), np.minimum(
        1.0, np.maximum(p, (centre + half) / scale)
    )
