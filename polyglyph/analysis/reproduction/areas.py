"""Areas under ROC curves of several readouts of the same sequences, and their differences, with intervals.

Letters of shapes: N sequences, R resamples.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.identification.readout import areas_of
from polyglyph.analysis.statistics.bootstrap import Bootstrap
from polyglyph.analysis.statistics.figure import Estimate, Figure, Missing

ONE_SIDE = "all sequences are of one side"

Array = NDArray[np.float64]


class Areas:
    """Areas over the same sequences, so that differences are paired.

    Args:
        is_first_N: Which sequences a readout ought to put above the others.
        entities: What is drawn together.
        seed: Of the resamples.
    """

    def __init__(self, is_first_N: NDArray[np.bool_], entities: Sequence[str], *, seed: int) -> None:
        self._is_first_N = is_first_N
        self._counts_RN = Bootstrap(entities, seed=seed).multiplicities()

    def area(self, values_N: Array) -> Figure:
        """Give the area of a readout."""
        return self._figure([values_N], [])

    def over(self, values_N: Array, others: Sequence[Array]) -> Figure:
        """Give the area of a readout less the mean area of others."""
        return self._figure([values_N], others)

    def mean(self, readouts: Sequence[Array]) -> Figure:
        """Give the mean area of several readouts."""
        return self._figure(readouts, [])

    def _figure(self, plus: Sequence[Array], minus: Sequence[Array]) -> Figure:
        if self._is_first_N.all() or not self._is_first_N.any() or not plus:
            return Missing(ONE_SIDE)
        ones_1N = np.ones((1, len(self._is_first_N)))
        value = self._mean(plus, ones_1N)[0]
        values_R = self._mean(plus, self._counts_RN)
        if minus:
            value -= self._mean(minus, ones_1N)[0]
            values_R = values_R - self._mean(minus, self._counts_RN)
        low, high = np.percentile(values_R[np.isfinite(values_R)], [2.5, 97.5])
        return Estimate(float(value), (float(low), float(high)))

    def _mean(self, readouts: Sequence[Array], weights_RN: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            areas = [areas_of(values_N, self._is_first_N, weights_RN) for values_N in readouts]
        mean_R: Array = np.mean(areas, axis=0)
        return mean_R
