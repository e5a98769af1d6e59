"""Findings: everything that is computed from some evidence; document, figures and page show the same findings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from polyglyph.analysis.report.expert_marks import ExpertMarks, expert_marks_of
from polyglyph.analysis.report.intervals import Intervals, intervals_of
from polyglyph.analysis.report.layer_curves import LayerCurves, layer_curves_of
from polyglyph.analysis.report.pairs import Pairs, pairs_of
from polyglyph.analysis.report.source import Source
from polyglyph.analysis.report.surroundings import Surroundings, surroundings_of
from polyglyph.analysis.report.token_findings import TokenFindings, token_findings_of
from polyglyph.analysis.report.trace_sample import TraceSample, sample_traces

DEFAULT_TOP = 20


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What to compute beside what is always computed.

    Attributes:
        pairs: Groups whose difference is tested, first minus second; none for the usual ones.
        named: Sets of groups whose signatures are looked for besides, by name.
        traces: Traces for tokens, co-activation and pathways; the evidence itself where it is traces.
        tokenizer: Folder or file of the model's tokenizer, for tokens' texts.
        top: Experts of a list, in the document.
    """

    pairs: Sequence[tuple[str, str]] = ()
    named: Mapping[str, Sequence[str]] = field(default_factory=dict)
    traces: Path | None = None
    tokenizer: Path | None = None
    top: int = DEFAULT_TOP


@dataclass(frozen=True, eq=False, kw_only=True)
class Findings:
    """All numbers of a report.

    Attributes:
        source: The evidence and its groups.
        wishes: What was asked for.
        intervals: Of frequencies and lifts.
        curves: Over the layers.
        marks: Of the experts.
        pairs: Differences of two groups.
        surroundings: What stands beside every claim: confounders and copied layers.
        tokens: What only traces tell.
    """

    source: Source
    wishes: Wishes
    intervals: Intervals
    curves: LayerCurves
    marks: ExpertMarks
    pairs: Pairs
    surroundings: Surroundings
    tokens: TokenFindings


def findings_of(source: Source, wishes: Wishes | None = None) -> Findings:
    """Compute everything.

    Raises:
        EvidenceError: A pair or a named set names a group that is not there, or the traces are of another model.
    """
    wishes = wishes or Wishes()
    sample = _sample(source, wishes)
    marks = expert_marks_of(source.groups, wishes.named)
    surroundings = surroundings_of(source, marks, sample)
    return Findings(
        source=source,
        wishes=wishes,
        intervals=intervals_of(source.counts, source.groups, source.member_N),
        curves=layer_curves_of(source),
        marks=marks,
        pairs=pairs_of(source, wishes.pairs, surroundings.copies),
        surroundings=surroundings,
        tokens=token_findings_of(source.groups, sample, wishes.tokenizer),
    )


def _sample(source: Source, wishes: Wishes) -> TraceSample | None:
    path = wishes.traces or source.traces
    labels = source.labels if path == source.traces else None
    return None if path is None else sample_traces(path, source.groups.model, labels=labels)
