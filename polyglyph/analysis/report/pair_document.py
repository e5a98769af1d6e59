"""The part of the document on differences between two groups.

Letters of shapes: L MoE layers, E experts.
"""

from math import isfinite
from typing import Any

import numpy as np

from polyglyph.analysis.quantities import reasons
from polyglyph.analysis.report.cells import cell, rounded
from polyglyph.analysis.report.findings import Findings
from polyglyph.analysis.report.pairs import Pair
from polyglyph.analysis.search.bands import Band
from polyglyph.analysis.statistics.figure import Missing

Document = dict[str, Any]


def differences_document(findings: Findings) -> Document:
    """Give each pair by its sorted and comma-joined groups: the unit of its test, how many experts differ, the top."""
    pairs = findings.pairs.pairs
    if isinstance(pairs, Missing):
        return pairs.to_json()
    return {",".join(sorted((pair.first, pair.second))): _pair(findings, pair) for pair in pairs}


def _pair(findings: Findings, pair: Pair) -> Document:
    compared, bands = pair.comparison, findings.curves.bands
    is_significant_LE = compared.is_significant(level=findings.pairs.alpha)
    per_layer = is_significant_LE.sum(axis=1)
    by_band = {band.value: int(per_layer[list(bands.layers[band])].sum()) for band in Band}
    return {
        "of": [pair.first, pair.second],
        "unit": compared.unit,
        "num_units": compared.num_units,
        "warning": compared.warning,
        "entropy_normalised_divergence": _parallel(pair),
        "significant": {"all": int(per_layer.sum()), **by_band},
        "top": _top(pair, is_significant_LE, number=findings.wishes.top),
    }


def _parallel(pair: Pair) -> Document:
    found = pair.parallel
    if isinstance(found, Missing):
        return found.to_json()
    rows = zip(found.mean_L.tolist(), found.low_L.tolist(), found.high_L.tolist(), strict=True)
    return {"items": len(found.items), "by_layer": [_estimate(*row) for row in rows]}


def _estimate(value: float, low: float, high: float) -> Document:
    if not isfinite(value):
        return Missing(reasons.NEVER_ROUTED).to_json()
    interval = [rounded(low), rounded(high)] if isfinite(low) else Missing(reasons.ONE_UNIT).to_json()
    return {"value": rounded(value), "bootstrap_95": interval}


def _top(pair: Pair, is_significant_LE: "np.ndarray[Any, Any]", *, number: int) -> list[Document]:
    compared = pair.comparison
    size_LE = np.where(is_significant_LE, np.abs(compared.difference_LE), -1.0)
    order = np.argsort(-size_LE, axis=None, kind="stable")[: min(number, int(is_significant_LE.sum()))]
    rows = []
    for layer, expert in np.argwhere(np.ones_like(is_significant_LE))[order].tolist():
        place = (layer, expert)
        bounds = (float(compared.low_LE[place]), float(compared.high_LE[place]))
        rows.append(
            {
                "layer": layer,
                "expert": expert,
                "difference": rounded(float(compared.difference_LE[place])),
                "interval_95": [rounded(bound) for bound in bounds]
                if np.isfinite(bounds).all()
                else Missing(reasons.ONE_UNIT).to_json(),
                "p": cell(float(compared.p_LE[place]), otherwise=reasons.ONE_UNIT),
                "q": cell(float(compared.q_LE[place]), otherwise=reasons.ONE_UNIT),
            }
        )
    return rows
