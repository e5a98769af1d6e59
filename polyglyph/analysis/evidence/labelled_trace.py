"""A labelled trace: what happened token by token in one sequence, and what is known of its request."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from polyglyph.analysis.evidence.errors import EvidenceError
from polyglyph.analysis.evidence.labels import LABELS_FILE, Labels, read_labels
from polyglyph.contract.errors import RequestError
from polyglyph.contract.trace import SequenceTrace
from polyglyph.contract.trace_reading import read_traces


@dataclass(frozen=True, eq=False)
class LabelledTrace:
    """A sequence's trace with its request's labels.

    Attributes:
        trace: Token by token.
        labels: By name; empty where there are none.
    """

    trace: SequenceTrace
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def sequence(self) -> str:
        """`request_id/sequence`, which no other sequence has."""
        return f"{self.trace.request_id}/{self.trace.sequence}"

    @property
    def item(self) -> str:
        """What parallel sequences have in common: the label `item`, else the tag, else the sequence itself."""
        return self.labels.get("item") or self.trace.tag or self.sequence


def labelled_traces(path: Path, labels: Path | None = None) -> Iterator[LabelledTrace]:
    """Walk the sequences of a trace file, a folder of them, or a labelled run, one in memory at a time.

    Args:
        path: The file or folder. In a labelled run its own labels are taken.
        labels: A file of labels; sequences of requests that it does not name are left out.

    Raises:
        EvidenceError: The traces cannot be read, are of two models, or some labelled request has no trace.
    """
    own = path / LABELS_FILE
    if labels is None and own.is_file():
        labels = own
    known = None if labels is None else read_labels(labels)
    seen: set[str] = set()
    for trace in _read(path):
        seen.add(trace.request_id)
        if known is None:
            yield LabelledTrace(trace)
        elif trace.request_id in known:
            yield LabelledTrace(trace, known[trace.request_id])
    _check_all_traced(known, seen, path=path)


def _read(path: Path) -> Iterator[SequenceTrace]:
    try:
        yield from read_traces(path)
    except EvidenceError:
        raise
    except RequestError as error:
        raise EvidenceError(str(error)) from error


def _check_all_traced(known: Labels | None, seen: set[str], *, path: Path) -> None:
    lost = [] if known is None else [request_id for request_id in known if request_id not in seen]
    if known and lost:
        raise EvidenceError(
            f"{path}: expected traces of all {len(known)} labelled requests, got none of {len(lost)}, such as "
            f"{lost[0]!r}: take these lines out of the labels, or ask again"
        )
