"""Traces as evidence of methods that look at single tokens: the model, the digest, and a walk over sequences."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from polyglyph.analysis.evidence.labelled_run import TRACES_FILE, digest_of, model_of_traces
from polyglyph.analysis.evidence.labelled_trace import LabelledTrace, labelled_traces
from polyglyph.analysis.evidence.labels import LABELS_FILE
from polyglyph.analysis.evidence.model_shape import ModelShape
from polyglyph.analysis.evidence.reading import has_traces
from polyglyph.analysis.identification.errors import IdentificationError
from polyglyph.contract.trace import SequenceTrace


@dataclass(frozen=True, kw_only=True)
class TraceEvidence:
    """Files of traces, walked as often as needed.

    Attributes:
        path: A file, a folder of them, or a labelled run.
        labels: Of requests, for traces that have none of their own.
        model: That was traced.
        digest: `sha256:<hex>` of all files.
    """

    path: Path
    labels: Path | None
    model: ModelShape
    digest: str

    def labelled(self) -> Iterator[LabelledTrace]:
        """Walk the sequences with their labels."""
        return labelled_traces(self.path, self.labels)

    def by_item(self) -> Iterator[tuple[str, SequenceTrace]]:
        """Walk the sequences, each with the item it belongs to."""
        return ((each.item, each.trace) for each in self.labelled())


def open_traces(path: Path, labels: Path | None = None) -> TraceEvidence:
    """Open traces or a labelled run.

    Raises:
        IdentificationError: It is none; the text says what is needed.
        EvidenceError: A file is no file of traces.
    """
    if not path.exists():
        raise IdentificationError(f"{path}: expected traces or a labelled run, got nothing: there is no such file")
    if not has_traces(path):
        raise IdentificationError(
            f"{path}: expected traces (a file, a folder or a labelled run), got something else: this method looks at "
            "single tokens, which stats have summed away"
        )
    own = path / LABELS_FILE
    is_run = path.is_dir() and own.is_file()
    if is_run and labels is not None:
        raise IdentificationError(f"{path}: a labelled run has its own labels: leave --labels {labels} out")
    files = _files(path, is_run=is_run)
    beside = [own] if is_run else [labels] if labels is not None else []
    return TraceEvidence(path=path, labels=labels, model=model_of_traces(files[0]), digest=digest_of([*files, *beside]))


def _files(path: Path, *, is_run: bool) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = [path / TRACES_FILE] if is_run else sorted(path.glob("*.parquet"))
    if not files or not files[0].is_file():
        raise IdentificationError(f"{path}: expected a folder with traces, got one without any *.parquet file")
    return files
