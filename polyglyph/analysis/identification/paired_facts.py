"""Differences within facts, for every expert at once: sign tests and intervals of their means over facts.

Letters of shapes: F facts, L MoE layers, E experts.
"""

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.identification.intervals import percentile_interval
from polyglyph.analysis.statistics.bootstrap import Bootstrap
from polyglyph.analysis.statistics.sign_test import sign_test, signs

Array = NDArray[np.float64]


def two_sided_p(values_FLE: Array) -> Array:
    """Give the sign test's p of each expert; NaN where no fact differs, so that there is nothing to test."""
    more_LE, less_LE = signs(values_FLE)
    return np.where(more_LE + less_LE > 0, sign_test(more_LE, less_LE), np.nan)


def one_sided_p(values_FLE: Array) -> Array:
    """Give the chance of as many facts above 0 where a fact is as likely to be below; NaN where no fact differs."""
    from scipy.special import bdtrc

    more_LE, less_LE = signs(values_FLE)
    differing_LE = more_LE + less_LE
    p_LE: Array = np.asarray(bdtrc(more_LE - 1.0, differing_LE.astype(int), 0.5), dtype=np.float64)
    return np.where(differing_LE > 0, p_LE, np.nan)


def bounds_of_means(values_FLE: Array, *, seed: int) -> tuple[Array, Array]:
    """Give the 95 % percentile interval of each expert's mean over facts, facts drawn; NaN with one fact."""
    resamples = resampled_means(values_FLE, seed=seed)
    bounds = [percentile_interval(mean_RE, num_clusters=len(values_FLE)) for mean_RE in resamples]
    low_LE, high_LE = (np.stack(each) for each in zip(*bounds, strict=True))
    return low_LE, high_LE


def resampled_means(values_FLE: Array, *, seed: int) -> list[Array]:
    """Give each layer's means over resampled facts, [R, E]; the same seed draws the same facts."""
    bootstrap = Bootstrap([str(fact) for fact in range(len(values_FLE))], seed=seed)
    layers = (bootstrap.totals(values_FLE[:, layer])[1] for layer in range(values_FLE.shape[1]))
    return [total_RE / len(values_FLE) for total_RE in layers]
