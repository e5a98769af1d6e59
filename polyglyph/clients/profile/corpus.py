"""A corpus: a file or a folder of files, read row by row."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from polyglyph.clients.profile.csv_table import columns_of_csv, read_csv
from polyglyph.clients.profile.document import Document, Place, Reason, Skip
from polyglyph.clients.profile.json_lines import columns_of_json_lines, read_json_lines
from polyglyph.clients.profile.parquet import columns_of_parquet, read_parquet
from polyglyph.clients.profile.row import CONTENT_COLUMNS, BadRow, Row, bad_row, document_of
from polyglyph.clients.profile.text_file import Split, read_text_file
from polyglyph.contract.errors import RequestError

SUFFIXES = (".csv", ".jsonl", ".ndjson", ".parquet", ".txt")


@dataclass(frozen=True)
class Entry:
    """A document, or what was skipped instead, and how far into the corpus that is.

    Attributes:
        found: The document, or why there is none.
        end: Bytes of the corpus up to here.
    """

    found: Document | Skip
    end: int


@dataclass(frozen=True)
class Corpus:
    """Files whose rows are documents.

    Attributes:
        path: The file or folder that was named.
        files: The files that are read, in order.
        num_ignored: Files of the folder of which no kind is known.
        num_bytes: Size of all files together.
        split: What a document of a text file is.
        tag: Tag of documents without one.
    """

    path: Path
    files: tuple[Path, ...]
    num_ignored: int
    num_bytes: int
    split: Split = Split.NONE
    tag: str = ""

    def __iter__(self) -> Iterator[Entry]:
        begin = 0
        for file in self.files:
            name = file.name if file == self.path else str(file.relative_to(self.path))
            for row in _rows(file, name, self.split):
                found = row.skip if isinstance(row, BadRow) else document_of(row, default_tag=self.tag)
                yield Entry(found, begin + row.end)
            begin += _size(file)


def open_corpus(path: Path, *, split: Split = Split.NONE, tag: str = "") -> Corpus:
    """Find the files of a corpus; a folder's are taken in the order of their paths, hidden ones left out.

    Raises:
        RequestError: There is nothing to read, or a file has neither a text nor a messages column.
    """
    found = _find(path)
    files = tuple(file for file in found if file.suffix.lower() in SUFFIXES)
    if not files:
        raise RequestError(f"{path}: expected a file or a folder of files that end in {', '.join(SUFFIXES)}; got none")
    for file in files:
        _check_columns(file)
    return Corpus(path, files, len(found) - len(files), sum(map(_size, files)), split, tag)


def _find(path: Path) -> list[Path]:
    if path.is_dir():
        inside = (file for file in path.rglob("*") if not _is_hidden(file.relative_to(path)))
        return sorted(file for file in inside if file.is_file())
    if path.is_file():
        return [path]
    raise RequestError(f"{path}: there is no such file or folder")


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _check_columns(file: Path) -> None:
    columns = _columns(file)
    if columns is not None and not columns & CONTENT_COLUMNS:
        names = ", ".join(sorted(columns)[:10]) or "none"
        raise RequestError(f"{file}: expected a column 'text' or 'messages', got {names}")


def _columns(file: Path) -> frozenset[str] | None:
    """Give a file's columns; None where it has none by its kind, or cannot be read, which its reader reports."""
    try:
        match file.suffix.lower():
            case ".csv":
                return columns_of_csv(file)
            case ".jsonl" | ".ndjson":
                return columns_of_json_lines(file)
            case ".parquet":
                return columns_of_parquet(file)
            case _:
                return None
    except OSError:
        return None


def _rows(file: Path, name: str, split: Split) -> Iterator[Row | BadRow]:
    try:
        yield from _read(file, name, split)
    except OSError as error:
        yield bad_row(Place(name), Reason.BROKEN_FILE, error.strerror or str(error), _size(file))


def _read(file: Path, name: str, split: Split) -> Iterator[Row | BadRow]:
    match file.suffix.lower():
        case ".csv":
            return read_csv(file, name)
        case ".jsonl" | ".ndjson":
            return read_json_lines(file, name)
        case ".parquet":
            return read_parquet(file, name)
        case _:
            return read_text_file(file, name, split=split)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0
