"""Reads plain text: a document per file, or per paragraph."""

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

from polyglyph.clients.profile.document import Place, Reason
from polyglyph.clients.profile.row import MAX_ROW_BYTES, BadRow, Row, bad_row

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Split(StrEnum):
    """What a document of a text file is."""

    NONE = "none"
    PARAGRAPHS = "paragraphs"


def read_text_file(path: Path, name: str, *, split: Split) -> Iterator[Row | BadRow]:
    """Give the rows of a text file.

    Args:
        path: The file.
        name: What to call it.
        split: A row per file, or per paragraph: lines between blank lines.
    """
    return _paragraphs(path, name) if split is Split.PARAGRAPHS else _whole(path, name)


def _whole(path: Path, name: str) -> Iterator[Row | BadRow]:
    size = path.stat().st_size
    if size > MAX_ROW_BYTES:
        detail = f"{size} bytes, at most {MAX_ROW_BYTES} as one document; cut it with --split paragraphs"
        yield bad_row(Place(name), Reason.TOO_LARGE, detail, size)
    else:
        yield _row(Place(name), path.read_bytes(), size)


def _paragraphs(path: Path, name: str) -> Iterator[Row | BadRow]:
    lines: list[bytes] = []
    num_bytes, first, end = 0, 1, 0
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(MAX_ROW_BYTES), b""), 1):
            end += len(line)
            if not line.removeprefix(BYTE_ORDER_MARK).strip():
                yield from _paragraph(Place(name, first), lines, num_bytes, end)
                lines, num_bytes, first = [], 0, number + 1
                continue
            num_bytes += len(line)
            if num_bytes <= MAX_ROW_BYTES:  # a paragraph that is skipped anyway need not be kept
                lines.append(line)
    yield from _paragraph(Place(name, first), lines, num_bytes, end)


def _paragraph(place: Place, lines: list[bytes], num_bytes: int, end: int) -> Iterator[Row | BadRow]:
    if num_bytes > MAX_ROW_BYTES:
        yield bad_row(place, Reason.TOO_LARGE, f"{num_bytes} bytes, at most {MAX_ROW_BYTES}", end)
    elif lines:
        yield _row(place, b"".join(lines), end)


def _row(place: Place, data: bytes, end: int) -> Row | BadRow:
    try:
        return Row(place, {"text": data.removeprefix(BYTE_ORDER_MARK).decode()}, end)
    except UnicodeDecodeError as error:
        return bad_row(place, Reason.INVALID_UTF8, f"byte {error.start}: {error.reason}", end)
