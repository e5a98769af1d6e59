"""Intervals of means over facts, for every expert at once.

Letters of shapes: F facts, L MoE layers, E experts.
"""

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.identification.intervals import percentile_interval
from polyglyph.analysis.statistics.bootstrap import Bootstrap

Array = NDArray[np.float64]


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
