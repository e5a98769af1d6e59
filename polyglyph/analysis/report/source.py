"""Source: the evidence that is reported on, cut into groups.

Letters of shapes: N rows, G groups.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from polyglyph.analysis.evidence.checks import NO_SCRIPT
from polyglyph.analysis.evidence.counts import Counts, Groups
from polyglyph.analysis.evidence.errors import EvidenceError
from polyglyph.analysis.evidence.joining import join_counts
from polyglyph.analysis.evidence.reading import read_evidence
from polyglyph.contract.sums import SUMMED

SCRIPT_COLUMNS = ("script", "request_script")
SHOWN_FINGERPRINT = 19
NONE = "none"
"""Name of what has no value, such as tokens without a plan."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Source:
    """Evidence and its groups.

    Attributes:
        counts: The rows of the groups.
        groups: Their sums, by name.
        member_N: Group of each row.
        whole: All rows that were read and not filtered out, those without a group included: what load is about.
        files: Names of the files.
        traces: The evidence itself, where it is one file or folder of traces.
        labels: The file of its labels, where there is one.
        left_out: Tokens by group that are in `whole` and in no group, such as `Zyyy`.
        without_tokens: Groups of which no token was computed, such as those that came from the prefix cache whole.
        steered_tokens: Tokens of the groups that edits were in force for.
        tags_are_corpora: Whether tags of traces name corpora and not parallel items.
    """

    counts: Counts
    groups: Groups
    member_N: NDArray[np.int64]
    whole: Counts
    files: tuple[str, ...]
    traces: Path | None = None
    labels: Path | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)
    without_tokens: tuple[str, ...] = ()
    steered_tokens: int = 0
    tags_are_corpora: bool = False

    @property
    def sequences_G(self) -> NDArray[np.int64] | None:
        """Sequences of each group; None where they cannot be told apart."""
        if not self.counts.has_sequences:
            return None
        sequences = self.counts.labels["sequence"].to_numpy()
        numbers = [
            len(np.unique(sequences[self.member_N == group].astype(str))) for group in range(len(self.groups.names))
        ]
        return np.array(numbers, dtype=np.int64)


def read_source(
    paths: Sequence[Path],
    *,
    by: Sequence[str] = ("script",),
    where: Mapping[str, Sequence[str]] | None = None,
    labels: Path | None = None,
) -> Source:
    """Read one or more files of evidence of one model and cut it into groups.

    Args:
        paths: Stats files of any format, traces, labelled runs.
        by: Labels that tell groups apart.
        where: Values that are kept, by label.
        labels: A file of labels for traces.

    Raises:
        EvidenceError: A file holds no evidence, two are of different models, or a group or label is not there.
    """
    parts = {str(path): read_evidence(path, labels=labels) for path in paths}
    counts = next(iter(parts.values())) if len(parts) == 1 else join_counts(parts)
    source = source_of(counts, by=by, where=where, files=[path.name for path in paths])
    is_traced = len(paths) == 1 and counts.has_sequences
    return replace(source, traces=paths[0], labels=labels) if is_traced else source


def source_of(
    counts: Counts,
    *,
    by: Sequence[str] = ("script",),
    where: Mapping[str, Sequence[str]] | None = None,
    files: Sequence[str] = (),
) -> Source:
    """Cut evidence into groups.

    Tokens without a script belong to no group by script, unless `where` asks for them or there are no others.

    Raises:
        EvidenceError: A group or label is not there, or a group has no tokens.
    """
    whole = counts.where(**{column: [_asked(value) for value in values] for column, values in (where or {}).items()})
    whole, has_corpora = _with_items(whole)
    kept, left_out = _with_script(whole, by=by, asked=set(where or ()))
    for column in by:
        kept = kept.with_label(column, _readable(kept, column))
    kept, without_tokens = _counted(kept, by)
    groups = kept.by(*by)
    names = ["/".join(key) for key in zip(*(kept.labels[column].to_list() for column in by), strict=True)]
    if len(set(groups.names)) < groups.num_groups:
        raise EvidenceError(f"expected groups of different names by {', '.join(by)}, got some that read alike")
    index = {name: number for number, name in enumerate(groups.names)}
    return Source(
        counts=kept,
        groups=groups,
        member_N=np.array([index[name] for name in names], dtype=np.int64),
        whole=whole,
        files=tuple(files),
        left_out=left_out,
        without_tokens=without_tokens,
        tags_are_corpora=has_corpora,
        steered_tokens=_steered(kept),
    )


def _with_items(counts: Counts) -> tuple[Counts, bool]:
    """Make every sequence an item where tags, which items are named after, hold several requests of one script.

    A tag that names a corpus would make all of it one item, of which there is no interval.
    """
    labels = counts.labels
    if not counts.has_sequences or not (labels["item"] == labels["tag"]).all():
        return counts, False
    requests = labels.select("tag", "request_script", request=pl.col("sequence").str.replace(r"/\d+$", "")).unique()
    if requests.height == requests.select("tag", "request_script").unique().height:
        return counts, False
    return counts.with_label("item", labels["sequence"].to_list()), True


def shown_value(column: str, value: str) -> str:
    """Give the name that a label's value has in groups: of a plan the fingerprint's beginning, `none` for nothing."""
    return (value[:SHOWN_FINGERPRINT] if column == "plan" else value) or NONE


def _asked(value: str) -> str:
    return "" if value == NONE else value


def _with_script(counts: Counts, *, by: Sequence[str], asked: set[str]) -> tuple[Counts, dict[str, int]]:
    left_out: dict[str, int] = {}
    for column in set(by) & set(SCRIPT_COLUMNS) - asked:
        scripts = [value for value in counts.values(column) if value not in NO_SCRIPT]
        without = [value for value in counts.values(column) if value in NO_SCRIPT]
        if not scripts or not without:
            continue
        for value in without:
            left_out[value] = left_out.get(value, 0) + int(counts.where(**{column: value}).tokens_N.sum())
        counts = counts.where(**{column: scripts})
    return counts, left_out


def _counted(counts: Counts, by: Sequence[str]) -> tuple[Counts, tuple[str, ...]]:
    """Leave out groups of which no token was computed, unless there are no others."""
    keys = list(zip(*(counts.labels[column].to_list() for column in by), strict=True))
    counted = {key for key, tokens in zip(keys, counts.tokens_N.tolist(), strict=True) if tokens}
    if not counted:
        return counts, ()
    rows = np.array([row for row, key in enumerate(keys) if key in counted], dtype=np.int64)
    return counts.take(rows), tuple(sorted({"/".join(key) for key in keys if key not in counted}))


def _readable(counts: Counts, column: str) -> list[str]:
    counts.values(column)
    return [shown_value(column, value) for value in counts.labels[column].to_list()]


def _steered(counts: Counts) -> int:
    is_steered_N = ~counts.labels["plan"].is_in(["", SUMMED, NONE]).to_numpy()
    return int(counts.tokens_N[is_steered_N].sum())
