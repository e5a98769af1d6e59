"""Fits a readout: experts with weights and a bias, whose logistic sum says how likely the first side is.

Letters of shapes: N sequences, F experts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.statistics.bootstrap import Bootstrap
from polyglyph.analysis.statistics.figure import Estimate, Figure, Missing
from polyglyph.analysis.statistics.multinomial import fit_multinomial

PENALTY = 1.0
NUM_FOLDS = 5
SMALLEST_SCALE = 1e-6

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Readout:
    """A logistic readout of selection frequencies.

    Attributes:
        chosen_F: Positions of its experts among all.
        weights_F: Of these experts, per unit of selection frequency.
        bias: Of the sum.
    """

    chosen_F: NDArray[np.int64]
    weights_F: Array
    bias: float

    def probability(self, shares_NA: Array) -> Array:
        """Give the probability of the first side, from the frequencies of all experts [N, A]."""
        logit_N = shares_NA[:, self.chosen_F] @ self.weights_F + self.bias
        probability_N: Array = 1.0 / (1.0 + np.exp(-np.clip(logit_N, -40.0, 40.0)))
        return probability_N


def fit_readout(shares_NA: Array, is_first_N: NDArray[np.bool_], chosen_F: NDArray[np.int64]) -> Readout:
    """Fit a logistic regression with a ridge penalty on standardised frequencies.

    Args:
        shares_NA: Selection frequencies of all experts.
        is_first_N: Which sequences are of the first side; some are, and some are not.
        chosen_F: Positions of the experts to read.
    """
    shares_NF = shares_NA[:, chosen_F]
    scale_F = shares_NF.std(axis=0)
    # What never varied tells nothing, and dividing by next to nothing would blow up what varies later.
    scale_F = np.where(scale_F > SMALLEST_SCALE, scale_F, 1.0)
    mean_F = shares_NF.mean(axis=0)
    weights_CF, bias_C = fit_multinomial(
        (shares_NF - mean_F) / scale_F, is_first_N.astype(np.int64), 2, penalty=PENALTY
    )
    weights_F = (weights_CF[1] - weights_CF[0]) / scale_F
    return Readout(chosen_F, weights_F, float(bias_C[1] - bias_C[0] - weights_F @ mean_F))


def held_out(
    shares_NA: Array, is_first_N: NDArray[np.bool_], items: Sequence[str], *, num_experts: int, seed: int
) -> Array:
    """Read every sequence by a readout that saw none of its item: experts are chosen anew in each fold.

    Args:
        shares_NA: Selection frequencies of all experts.
        is_first_N: Side of each sequence.
        items: What is held out together.
        num_experts: As many as the readout that is judged has, ranked by the standardised difference of the sides.
        seed: Deals items to folds.

    Returns:
        Probabilities [N]; NaN where the rest lacks a side.
    """
    _, item_N = np.unique(np.asarray(items, dtype=object).astype(str), return_inverse=True)
    num_items = int(item_N.max()) + 1
    fold_I = np.random.default_rng(seed).permutation(num_items) % min(NUM_FOLDS, num_items)
    fold_N = fold_I[item_N]
    probability_N = np.full(len(shares_NA), np.nan)
    for fold in np.unique(fold_N):
        rest_N = fold_N != fold
        if is_first_N[rest_N].any() and not is_first_N[rest_N].all():
            chosen_F = _most_different(shares_NA[rest_N], is_first_N[rest_N], num_experts)
            readout = fit_readout(shares_NA[rest_N], is_first_N[rest_N], chosen_F)
            probability_N[~rest_N] = readout.probability(shares_NA[~rest_N])
    return probability_N


def area_under_curve(probability_N: Array, is_first_N: NDArray[np.bool_], items: Sequence[str], *, seed: int) -> Figure:
    """Give the area under the ROC curve with its interval, items drawn together.

    Args:
        probability_N: Held out; NaN where there is none.
        is_first_N: Side of each sequence.
        items: What is drawn together.
        seed: Of the draws.
    """
    found_N = np.isfinite(probability_N)
    if not (found_N & is_first_N).any() or not (found_N & ~is_first_N).any():
        return Missing("no sequence of one of the sides could be held out")
    values_N, sides_N = probability_N[found_N], is_first_N[found_N]
    kept = [item for item, found in zip(items, found_N, strict=True) if found]
    counts_RN = Bootstrap(kept, seed=seed).multiplicities()
    with np.errstate(divide="ignore", invalid="ignore"):
        areas_R = areas_of(values_N, sides_N, counts_RN)
    areas_R = areas_R[np.isfinite(areas_R)]
    low, high = np.percentile(areas_R, [2.5, 97.5])
    return Estimate(float(areas_of(values_N, sides_N, np.ones((1, len(values_N))))[0]), (float(low), float(high)))


def best_threshold(probability_N: Array, is_first_N: NDArray[np.bool_]) -> float:
    """Give the threshold with the most balanced accuracy on what was held out; one half where nothing was."""
    found_N = np.isfinite(probability_N)
    values_N, sides_N = probability_N[found_N], is_first_N[found_N]
    if not sides_N.any() or sides_N.all():
        return 0.5
    order = np.unique(values_N)
    # Between two neighbours, so that rounding moves no sequence to the other side.
    candidates = np.concatenate([(order[:-1] + order[1:]) / 2, [0.5]])
    hits = [(values_N[sides_N] >= t).mean() + (values_N[~sides_N] < t).mean() for t in candidates]
    best = np.flatnonzero(np.isclose(hits, max(hits)))
    # Of several, the one nearest to one half.
    return float(min(candidates[best], key=lambda threshold: abs(threshold - 0.5)))


def _most_different(shares_NA: Array, is_first_N: NDArray[np.bool_], count: int) -> NDArray[np.int64]:
    first_NA, second_NA = shares_NA[is_first_N], shares_NA[~is_first_N]
    spread_A = np.sqrt(first_NA.var(axis=0) + second_NA.var(axis=0)) + SMALLEST_SCALE
    distance_A = np.abs(first_NA.mean(axis=0) - second_NA.mean(axis=0)) / spread_A
    return np.sort(np.argsort(-distance_A, kind="stable")[:count])


def areas_of(values_N: Array, sides_N: NDArray[np.bool_], weights_RN: Array) -> Array:
    """Give the area of each weighting: the share of pairs in order, ties counting half."""
    _, rank_N = np.unique(values_N, return_inverse=True)
    num_ranks = int(rank_N.max()) + 1
    place = np.zeros((len(values_N), num_ranks))
    place[np.arange(len(values_N)), rank_N] = 1.0
    first_RK, second_RK = (weights_RN * sides_N) @ place, (weights_RN * ~sides_N) @ place
    below_RK = np.cumsum(second_RK, axis=1) - second_RK / 2
    areas_R: Array = (first_RK * below_RK).sum(axis=1) / (first_RK.sum(axis=1) * second_RK.sum(axis=1))
    return areas_R
