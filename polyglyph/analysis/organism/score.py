"""Scores: shares with Wilson intervals, and paired differences with bootstrap intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

Z_95 = 1.959963984540054
NUM_RESAMPLES = 2000


@dataclass(frozen=True)
class Score:
    """How many of how many."""

    num_right: int
    num_asked: int

    @property
    def rate(self) -> float:
        """Share of right ones, 0 to 1."""
        return self.num_right / self.num_asked

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson 95 % interval of the rate."""
        n, p = self.num_asked, self.rate
        centre = p + Z_95**2 / (2 * n)
        half = Z_95 * sqrt(p * (1 - p) / n + Z_95**2 / (4 * n * n))
        scale = 1 + Z_95**2 / n
        # Rounding may leave 5e-17 where the interval begins or ends at the rate.
        return max(0.0, min(p, (centre - half) / scale)), min(1.0, max(p, (centre + half) / scale))

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


def paired_difference(
    treated: Sequence[bool], control: Sequence[bool], clusters: Sequence[str], *, seed: int
) -> tuple[float, tuple[float, float]]:
    """Give the mean difference of paired outcomes and its bootstrap 95 % interval.

    Args:
        treated: Outcomes with the treatment.
        control: Outcomes of the same questions without it.
        clusters: What is drawn together: the questions of one entity are not independent.
        seed: Of the resampling.
    """
    difference = np.asarray(treated, dtype=float) - np.asarray(control, dtype=float)
    names, member = np.unique(np.asarray(clusters), return_inverse=True)
    sums, counts = np.bincount(member, weights=difference), np.bincount(member)
    draws = np.random.default_rng(seed).integers(len(names), size=(NUM_RESAMPLES, len(names)))
    means = sums[draws].sum(axis=1) / counts[draws].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(difference.mean()), (float(low), float(high))
