"""Surroundings: what must stand beside every claim on groups, confounders and layers that are copies of one another."""

from dataclasses import dataclass
from math import isnan
from typing import Any

from polyglyph.analysis.quantities import reasons
from polyglyph.analysis.quantities.confounders import Confounders, confounders
from polyglyph.analysis.quantities.copies import Copies, find_copies
from polyglyph.analysis.report.cells import cell, rounded
from polyglyph.analysis.report.expert_marks import ExpertMarks
from polyglyph.analysis.report.source import Source
from polyglyph.analysis.report.trace_sample import TraceSample
from polyglyph.analysis.statistics.figure import Missing

ONE_COLUMN = "is measured for groups by one column"
TOO_FEW = "needs two layers or more of five experts or more that differ between the groups"


@dataclass(frozen=True, eq=False, kw_only=True)
class Surroundings:
    """What stands beside the figures, or why it does not.

    Attributes:
        confounders: Resource level and vocabulary overlap.
        copies: Layers whose experts of one index do the same.
    """

    confounders: Confounders | Missing
    copies: Copies | Missing


def surroundings_of(source: Source, marks: ExpertMarks, sample: TraceSample | None) -> Surroundings:
    """Measure what else may make groups differ."""
    return Surroundings(confounders=_confounders(source, sample), copies=_copies(marks))


def surroundings_document(found: Surroundings) -> dict[str, Any]:
    """Give `confounders` and `copies` of the document."""
    return {
        "confounders": found.confounders.to_json(),
        "copies": found.copies.to_json() if isinstance(found.copies, Missing) else _copies_document(found.copies),
    }


def _confounders(source: Source, sample: TraceSample | None) -> Confounders | Missing:
    if source.groups.num_groups < 2:
        return Missing(reasons.ONE_GROUP)
    if len(source.groups.columns) > 1:
        return Missing(ONE_COLUMN)
    traces = () if sample is None else sample.traces
    return confounders(source.counts, source.groups.columns[0], source.groups.names, traces=traces)


def _copies(marks: ExpertMarks) -> Copies | Missing:
    if isinstance(marks.lift_GLE, Missing):
        return marks.lift_GLE
    found = find_copies(marks.lift_GLE)
    return Missing(TOO_FEW) if isnan(found.threshold) else found


def _copies_document(found: Copies) -> dict[str, Any]:
    """Give clusters of copied layers, and the correlation by distance with what chance gives."""
    rows = zip(found.distances_D, found.mean_D, found.null_low_D, found.null_high_D, strict=True)
    return {
        "threshold": rounded(found.threshold),
        "clusters": [list(layers) for layers in found.clusters if len(layers) > 1],
        "by_distance": [
            {
                "distance": int(distance),
                "correlation": cell(float(mean), otherwise="no two such layers vary"),
                "by_chance_95": [cell(float(bound), otherwise="no two such layers vary") for bound in (low, high)],
            }
            for distance, mean, low, high in rows
        ],
    }
