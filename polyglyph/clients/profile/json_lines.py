"""Reads JSON Lines: an object per line."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from polyglyph.clients.profile.document import Place, Reason
from polyglyph.clients.profile.row import CONTENT_COLUMNS, MAX_ROW_BYTES, BadRow, Row, bad_row

NUM_ROWS_LOOKED_AT = 100
"""Rows of a file within which a column of ours must appear."""


def read_json_lines(path: Path, name: str) -> Iterator[Row | BadRow]:
    """Give the rows of a JSON Lines file; blank lines are none."""
    end = 0
    with path.open("rb") as file:
        for number, (line, size) in enumerate(_lines(file), 1):
            end += size
            if line is None:
                yield bad_row(Place(name, number), Reason.TOO_LARGE, f"{size} bytes, at most {MAX_ROW_BYTES}", end)
            elif line.strip():
                yield _row(Place(name, number), line, end)


def columns_of_json_lines(path: Path) -> frozenset[str] | None:
    """Give the columns of the first rows, as far as one of ours; None when there is no row to judge by."""
    found: set[str] = set()
    has_rows = False
    for row in islice(read_json_lines(path, path.name), NUM_ROWS_LOOKED_AT):
        if isinstance(row, Row):
            has_rows = True
            found |= row.fields.keys()
            if found & CONTENT_COLUMNS:
                break
    return frozenset(found) if has_rows else None


def _lines(file: Any) -> Iterator[tuple[bytes | None, int]]:
    """Give each line with its size; a line over the limit is passed over without being kept."""
    while line := file.readline(MAX_ROW_BYTES):
        size = len(line)
        if size < MAX_ROW_BYTES or line.endswith(b"\n"):
            yield line, size
            continue
        while rest := file.readline(MAX_ROW_BYTES):
            size += len(rest)
            if rest.endswith(b"\n"):
                break
        yield None, size


def _row(place: Place, line: bytes, end: int) -> Row | BadRow:
    try:
        value = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        return bad_row(place, Reason.INVALID_UTF8, f"byte {error.start}: {error.reason}", end)
    except (ValueError, RecursionError) as error:
        return bad_row(place, Reason.BROKEN_ROW, f"no JSON: {error}", end)
    if not isinstance(value, dict):
        return bad_row(place, Reason.BROKEN_ROW, f"expected an object, got {type(value).__name__}", end)
    return Row(place, value, end)
