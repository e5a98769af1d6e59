"""Reads CSV with a header line: a row per record."""

import csv
import re
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO

from polyglyph.clients.profile.document import Place, Reason
from polyglyph.clients.profile.row import MAX_ROW_BYTES, BadRow, Row, bad_row

_UNDECODED = re.compile(r"[\udc80-\udcff]")
"""What `surrogateescape` makes of a byte that is no UTF-8."""


def read_csv(path: Path, name: str) -> Iterator[Row | BadRow]:
    """Give the rows of a CSV file; a field may span lines."""
    # The module's own limit, 128 KiB, is for the whole process, and shorter than many a document.
    csv.field_size_limit(MAX_ROW_BYTES)
    with path.open("rb") as data, _decoded(data) as lines:
        records = csv.reader(lines)
        header = next(records, [])
        while True:
            place = Place(name, records.line_num + 1)
            try:
                record = next(records)
            except StopIteration:
                return
            except csv.Error as error:
                yield bad_row(place, Reason.BROKEN_ROW, str(error), data.tell())
                continue
            if record:
                yield _row(place, header, record, data.tell())


def columns_of_csv(path: Path) -> frozenset[str]:
    """Give the columns that the header names."""
    with path.open("rb") as data, _decoded(data) as lines:
        try:
            return frozenset(next(csv.reader(lines), []))
        except csv.Error:
            return frozenset()


def _decoded(data: BinaryIO) -> TextIOWrapper:
    return TextIOWrapper(data, encoding="utf-8-sig", errors="surrogateescape", newline="")


def _row(place: Place, header: list[str], record: list[str], end: int) -> Row | BadRow:
    if len(record) != len(header):
        detail = f"{len(record)} fields under a header of {len(header)}"
        return bad_row(place, Reason.BROKEN_ROW, detail, end)
    if any(map(_UNDECODED.search, record)):
        return bad_row(place, Reason.INVALID_UTF8, "a field is no UTF-8", end)
    fields = dict(zip(header, record, strict=True))
    # CSV knows no absent value: an empty tag is none.
    return Row(place, fields | {"tag": fields.get("tag") or None}, end)
