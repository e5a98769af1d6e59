"""A labelled run: a folder with traces of asked prompts (`traces.parquet`) and labels of each (`labels.jsonl`)."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from polyglyph.analysis.evidence.counts import Counts
from polyglyph.analysis.evidence.errors import EvidenceError
from polyglyph.analysis.evidence.labelled_trace import LabelledTrace, labelled_traces
from polyglyph.analysis.evidence.labels import LABELS_FILE, Labels, read_labels
from polyglyph.analysis.evidence.model_shape import ModelShape
from polyglyph.analysis.evidence.trace_counts import counts_of_traces
from polyglyph.contract.errors import RequestError
from polyglyph.contract.trace_reading import read_header

TRACES_FILE = "traces.parquet"


@dataclass(frozen=True, eq=False, kw_only=True)
class LabelledRun:
    """Asked prompts with their traces; walk it for the sequences, as often as needed.

    Attributes:
        folder: Where it lies.
        model: The model that was asked.
        labels: Of each request, by its id.
        digest: `sha256:<hex>` of both files.
    """

    folder: Path
    model: ModelShape
    labels: Labels
    digest: str

    def __iter__(self) -> Iterator[LabelledTrace]:
        return labelled_traces(self.folder / TRACES_FILE, self.folder / LABELS_FILE)

    def counts(self) -> Counts:
        """Count the run's selections, one row per sequence, token script and phase."""
        return counts_of_traces(self, self.model, digest=self.digest)


def read_labelled_run(folder: Path) -> LabelledRun:
    """Open a labelled run.

    Raises:
        EvidenceError: The folder lacks one of its two files, or one is not as it should be.
    """
    missing = [name for name in (TRACES_FILE, LABELS_FILE) if not (folder / name).is_file()]
    if missing:
        raise EvidenceError(
            f"{folder}: expected a labelled run with {TRACES_FILE} and {LABELS_FILE}, got no {missing[0]}"
        )
    return LabelledRun(
        folder=folder,
        model=model_of_traces(folder / TRACES_FILE),
        labels=read_labels(folder / LABELS_FILE),
        digest=digest_of([folder / TRACES_FILE, folder / LABELS_FILE]),
    )


def model_of_traces(file: Path) -> ModelShape:
    """Give the model of a file of traces.

    Raises:
        EvidenceError: It is none.
    """
    try:
        return ModelShape.of_header(read_header(file))
    except RequestError as error:
        raise EvidenceError(str(error)) from error


def digest_of(files: list[Path]) -> str:
    """Give `sha256:<hex>` of the bytes of files, in their order."""
    content = sha256()
    for file in files:
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                content.update(chunk)
    return "sha256:" + content.hexdigest()
