"""JSON lines of a released benchmark: rows whose fields are checked by name, each with its place."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from polyglyph.analysis.evaluation.errors import BenchmarkError

Row = tuple[str, dict[str, Any]]


def read_rows(path: Path, fields: Sequence[str]) -> Iterator[Row]:
    """Read the rows of a file.

    Args:
        path: JSON lines in UTF-8; blank lines are none.
        fields: What every row must have; further ones are passed on.

    Yields:
        Place (`FILE, line N`) and row.

    Raises:
        BenchmarkError: The file cannot be read, a line is no JSON object, or a field is missing.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BenchmarkError(f"{path} cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            place = f"{path}, line {number}"
            yield place, _row(line, fields, place)


def text_of(row: dict[str, Any], field: str, place: str) -> str:
    """Give a field that must be a text with something in it.

    Raises:
        BenchmarkError: It is none; the error names the field and what came.
    """
    value = row[field]
    if not isinstance(value, str) or not value.strip():
        raise BenchmarkError(f"{place}: {field}: expected a text, got {value!r}")
    return value.strip()


def _row(line: str, fields: Sequence[str], place: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise BenchmarkError(f"{place}: expected a JSON object: {error}") from error
    if not isinstance(row, dict):
        raise BenchmarkError(f"{place}: expected a JSON object, got {type(row).__name__}")
    missing = [field for field in fields if field not in row]
    if missing:
        raise BenchmarkError(f"{place}: lacks {', '.join(missing)}; there are {', '.join(sorted(row))}")
    return row
