"""Curves over the layers: how far routing tells groups apart, how widely it spreads, how it loads the experts.

Letters of shapes: G groups, L MoE layers, E experts.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.quantities.divergence import js_between_groups
from polyglyph.analysis.quantities.entropy import routing_entropy_GL
from polyglyph.analysis.quantities.information import information_gain_L
from polyglyph.analysis.quantities.load import coverage, coverage_G, dormant_GL, jain_GL, max_over_mean_GL
from polyglyph.analysis.quantities.selection import routed_GL
from polyglyph.analysis.report.source import Source
from polyglyph.analysis.search.bands import Bands, bands_of

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class LayerCurves:
    """What is known of each layer; NaN where there is no value.

    Attributes:
        entropy_GL: Routing entropy in bits.
        js_GGL: Divergence of every two groups in bits.
        js_mean_L: Its mean over pairs.
        information_L: Share of the groups' entropy that the chosen expert tells.
        is_routed_L: Whether every group routed tokens here.
        jain_GL: Jain's index by group.
        jain_L: Of all tokens, as the next four.
        max_over_mean_L: The busiest expert over the mean.
        dormant_L: int64, experts never selected.
        coverage_L: Share of the experts ever selected.
        coverage: Share of all (layer, expert) ever selected.
        coverage_G: The same by group.
        bands: Early, middle and late layers.
    """

    entropy_GL: Array
    js_GGL: Array
    js_mean_L: Array
    information_L: Array
    is_routed_L: NDArray[np.bool_]
    jain_GL: Array
    jain_L: Array
    max_over_mean_L: Array
    dormant_L: NDArray[np.int64]
    coverage_L: Array
    coverage: float
    coverage_G: Array
    bands: Bands

    @property
    def js_GG(self) -> Array:
        """Mean divergence of every two groups over the layers that have one; NaN where none has."""
        is_there_L = np.isfinite(self.js_GGL).all(axis=(0, 1))
        if not is_there_L.any():
            return np.full(self.js_GGL.shape[:2], np.nan)
        mean_GG: Array = self.js_GGL[:, :, is_there_L].mean(axis=2)
        return mean_GG


def layer_curves_of(source: Source) -> LayerCurves:
    """Compute all curves of some evidence."""
    groups = source.groups
    whole_LE = source.whole.selected_NLE.sum(axis=0, dtype=np.int64)
    js_GGL = js_between_groups(groups.frequencies_GLE)
    information_L = information_gain_L(groups.frequencies_GLE)
    return LayerCurves(
        entropy_GL=routing_entropy_GL(groups.selected_GLE if groups.weight_GLE is None else groups.weight_GLE),
        js_GGL=js_GGL,
        js_mean_L=_mean_of_pairs(js_GGL),
        information_L=information_L,
        is_routed_L=np.asarray(routed_GL(groups.selected_GLE).all(axis=0)),
        jain_GL=jain_GL(groups.selected_GLE),
        jain_L=jain_GL(whole_LE[None])[0],
        max_over_mean_L=max_over_mean_GL(whole_LE[None])[0],
        dormant_L=dormant_GL(whole_LE[None])[0],
        coverage_L=(whole_LE > 0).mean(axis=1),
        coverage=coverage(whole_LE[None]),
        coverage_G=coverage_G(groups.selected_GLE),
        bands=bands_of(_without_gaps(information_L)),
    )


def _mean_of_pairs(js_GGL: Array) -> Array:
    first, second = np.triu_indices(len(js_GGL), k=1)
    if not len(first):
        return np.full(js_GGL.shape[2], np.nan)
    mean_L: Array = js_GGL[first, second].mean(axis=0)
    return mean_L


def _without_gaps(information_L: Array) -> Array:
    """Give layers without a value the value of the nearest layer that has one; a curve of gaps is flat."""
    there = np.flatnonzero(np.isfinite(information_L))
    if not len(there):
        return np.zeros(len(information_L))
    filled_L: Array = np.interp(np.arange(len(information_L)), there, information_L[there])
    return filled_L
