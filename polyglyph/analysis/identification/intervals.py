"""Percentile intervals of arrays of resampled figures.

Letters of shapes: R resamples, E experts.
"""

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.statistics.bootstrap import MAX_LOST

LEAST_CLUSTERS = 2


def percentile_interval(
    values_RE: NDArray[np.float64], *, num_clusters: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the 2.5th and 97.5th percentile of each column.

    Args:
        values_RE: A figure of each resample; NaN where it does not exist.
        num_clusters: What was drawn; of one cluster every resample is the same, and says nothing.

    Returns:
        Lower and upper bounds [E]; NaN where more than 2.5 % of the resamples have no figure.
    """
    lost_E = np.isnan(values_RE).mean(axis=0)
    usable_E = (lost_E <= MAX_LOST) & (num_clusters >= LEAST_CLUSTERS)
    bounds = np.full((2, values_RE.shape[1]), np.nan)
    complete_E = usable_E & (lost_E == 0)
    bounds[:, complete_E] = np.percentile(values_RE[:, complete_E], [2.5, 97.5], axis=0)
    rest_E = usable_E & ~complete_E
    bounds[:, rest_E] = np.nanpercentile(values_RE[:, rest_E], [2.5, 97.5], axis=0)
    return bounds[0], bounds[1]
