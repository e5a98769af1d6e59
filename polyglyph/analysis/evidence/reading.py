"""Reads evidence of any kind into counts; the kind is told by the content."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from polyglyph.analysis.evidence.counts import Counts
from polyglyph.analysis.evidence.errors import EvidenceError
from polyglyph.analysis.evidence.labelled_run import digest_of, model_of_traces, read_labelled_run
from polyglyph.analysis.evidence.labelled_trace import labelled_traces
from polyglyph.analysis.evidence.labels import LABELS_FILE
from polyglyph.analysis.evidence.stats_counts import read_counts_of_stats
from polyglyph.analysis.evidence.trace_counts import counts_of_traces
from polyglyph.contract.errors import RequestError
from polyglyph.contract.exports.reading import read_stats

EXPECTED = "a stats file, a trace file, a folder of trace files or a labelled run"
_SCHEMA = b"polyglyph.schema"


def read_evidence(path: Path, *, labels: Path | None = None) -> Counts:
    """Read what was observed.

    Args:
        path: A stats file of any format, a file of traces, a folder of them, or a labelled run.
        labels: A file of labels by request, for traces; only the requests that it names are counted.

    Raises:
        EvidenceError: There is nothing of the kind, it is damaged, it is of two models, or labels were given where
            they say nothing.
    """
    if not path.exists():
        raise EvidenceError(f"{path}: expected {EXPECTED}, got nothing: there is no such file or folder")
    is_run = path.is_dir() and (path / LABELS_FILE).is_file()
    if labels is not None and (is_run or not has_traces(path)):
        kind = (
            "a labelled run has its own labels" if is_run else "stats are sums, in which requests cannot be told apart"
        )
        raise EvidenceError(f"{path}: labels are for traces; {kind}: leave {labels} out")
    if is_run:
        return read_labelled_run(path).counts()
    return _counts_of_trace_files(path, labels) if has_traces(path) else _counts_of_stats_file(path)


def has_traces(path: Path) -> bool:
    """Tell whether a path is a file of traces, or a folder, which can hold nothing else."""
    if path.is_dir():
        return True
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowException):
        return False
    return bool(metadata.get(_SCHEMA, b"").startswith(b"polyglyph.trace/"))


def _counts_of_trace_files(path: Path, labels: Path | None) -> Counts:
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files:
        raise EvidenceError(f"{path}: expected {EXPECTED}, got a folder without any *.parquet file")
    digest = digest_of([*files, *([] if labels is None else [labels])])
    return counts_of_traces(labelled_traces(path, labels), model_of_traces(files[0]), digest=digest)


def _counts_of_stats_file(path: Path) -> Counts:
    try:
        stats = read_stats(path)
    except RequestError as error:
        raise EvidenceError(str(error)) from error
    return read_counts_of_stats(stats)
