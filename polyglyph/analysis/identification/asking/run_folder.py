"""The folder of a labelled run: what is answered is kept in parts, and put together when all is answered.

run.json         what was asked, of which model and how
model.json       the model's routers: what plans are bound to
traces.parquet   polyglyph.trace/1, a sequence per prompt
labels.jsonl     a line per prompt
"""

import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from polyglyph import __version__
from polyglyph.analysis.evaluation.whole_file import write_whole
from polyglyph.analysis.identification.asking.question import Labelled
from polyglyph.analysis.identification.binding import MODEL_NAME
from polyglyph.analysis.identification.errors import IdentificationError
from polyglyph.clients.errors import UnwritableFileError
from polyglyph.contract.base import read_json
from polyglyph.contract.model import ModelDescription
from polyglyph.contract.trace import TraceHeader

SCHEMA = "polyglyph.labelled-run/1"
RUN_NAME, TRACES_NAME, LABELS_NAME, PARTS_NAME = "run.json", "traces.parquet", "labels.jsonl", "parts"


class RunFolder:
    """Where a run is kept.

    Args:
        path: New, empty, or of the same run, which goes on.
        facts: What makes it the same run, plain JSON types.
        model: That is asked.
        header: Of its traces.

    Attributes:
        done: Ids of the prompts that are answered.

    Raises:
        IdentificationError: It holds something else, or another run.
        UnwritableFileError: It cannot be written.
    """

    def __init__(self, path: Path, facts: dict[str, Any], model: ModelDescription, header: TraceHeader) -> None:
        self._path, self._parts, self._header = path, path / PARTS_NAME, header
        document = {"schema": SCHEMA, "model": model.binding.model_dump(mode="json"), **facts}
        _check(path, document)
        try:
            self._parts.mkdir(parents=True, exist_ok=True)
            if not (path / RUN_NAME).exists():
                write_whole(path / MODEL_NAME, _json(model.model_dump(mode="json")))
                write_whole(path / RUN_NAME, _json({**document, "tool": f"polyglyph {__version__}"}))
        except OSError as error:
            raise _unwritable(path, error) from error
        self.done = {line["id"] for file in self._labels() for line in _lines(file)}

    def add(self, answers: Sequence[Labelled]) -> None:
        """Keep answers; they are on the disk when this returns.

        Raises:
            UnwritableFileError: They cannot be written.
        """
        if not answers:
            return
        number = next(n for n in count(1) if not self._part(n, ".jsonl").exists())
        try:
            # The labels come last: a part without them was not kept, and is written over.
            _write_traces(self._part(number, ".parquet"), ([each.trace for each in answers],), self._header)
            write_whole(self._part(number, ".jsonl"), _as_lines(each.labels for each in answers))
        except OSError as error:
            raise _unwritable(self._path, error) from error
        self.done |= {each.labels["id"] for each in answers}

    def finish(self, ids: Sequence[str]) -> None:
        """Put the parts together; labels stand in the order of the prompts.

        Raises:
            UnwritableFileError: They cannot be written.
        """
        from polyglyph.contract.trace_reading import read_traces

        files = sorted(self._parts.glob("*.jsonl"))
        place = {name: number for number, name in enumerate(ids)}
        try:
            # The labels come last: with them the run is whole, and what is left of its parts can go.
            if not (self._path / LABELS_NAME).exists():
                parts = (read_traces(file.with_suffix(".parquet")) for file in files)
                traces = ([trace] for part in parts for trace in part)
                _write_traces(self._path / TRACES_NAME, traces, self._header)
                lines = sorted((line for file in files for line in _lines(file)), key=lambda line: place[line["id"]])
                write_whole(self._path / LABELS_NAME, _as_lines(lines))
            shutil.rmtree(self._parts)
        except OSError as error:
            raise _unwritable(self._path, error) from error

    def _part(self, number: int, ending: str) -> Path:
        return self._parts / f"{number:06}{ending}"

    def _labels(self) -> Iterator[Path]:
        whole = self._path / LABELS_NAME
        yield from [whole] if whole.exists() else sorted(self._parts.glob("*.jsonl"))


def _check(path: Path, document: dict[str, Any]) -> None:
    if path.exists() and not path.is_dir():
        raise IdentificationError(f"--output: {path} is a file; name a folder")
    if not path.is_dir() or not any(path.iterdir()):
        return
    if not (path / RUN_NAME).is_file():
        raise IdentificationError(
            f"--output: {path} is not empty and holds no labelled run; name a new or empty folder"
        )
    earlier = read_json(path / RUN_NAME, kind="labelled run")
    for name, value in document.items():
        if not isinstance(earlier, dict) or earlier.get(name) != value:
            raise IdentificationError(
                f"--output: {path} holds another run: its {name} is {_short(earlier, name)}, and this one's "
                f"{json.dumps(value)[:120]}; name another folder"
            )


def _short(earlier: Any, name: str) -> str:
    return json.dumps(earlier.get(name))[:120] if isinstance(earlier, dict) else "missing"


def _write_traces(path: Path, groups: Iterable[Sequence[Any]], header: TraceHeader) -> None:
    import pyarrow.parquet as pq

    from polyglyph.contract.trace_table import schema_of, table_of

    unfinished = path.with_name(f"{path.name}.partial")
    schema = schema_of(header)
    with pq.ParquetWriter(unfinished, schema, compression="zstd", write_page_checksum=True) as writer:
        for group in groups:
            writer.write_table(table_of(group).replace_schema_metadata(schema.metadata))
    unfinished.replace(path)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    # Not `splitlines`: an answer may hold other line ends, which JSON does not escape.
    for line in path.read_text(encoding="utf-8").split("\n"):
        if line:
            yield json.loads(line)


def _as_lines(lines: Iterable[dict[str, Any]]) -> str:
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def _json(document: Any) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _unwritable(path: Path, error: OSError) -> UnwritableFileError:
    return UnwritableFileError(f"{path} cannot be written: {error.strerror or error}")
