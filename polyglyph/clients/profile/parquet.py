"""Reads Parquet in batches, without holding the file in memory."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyglyph.clients.profile.document import Place, Reason
from polyglyph.clients.profile.row import BadRow, Row, bad_row

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ("text", "messages", "tag", "id")
NUM_BATCH_ROWS = 128


def read_parquet(path: Path, name: str) -> Iterator[Row | BadRow]:
    """Give the rows of a Parquet file; only our columns are read."""
    import pyarrow as pa

    size, number = path.stat().st_size, 0
    try:
        with _open(path) as file:
            num_rows = max(1, file.metadata.num_rows)
            columns = [column for column in COLUMNS if column in file.schema_arrow.names]
            for batch in file.iter_batches(batch_size=NUM_BATCH_ROWS, columns=columns):
                for index in range(batch.num_rows):
                    number += 1
                    yield _row(Place(name, number), batch, index, end=size * number // num_rows)
    except (pa.ArrowException, OSError) as error:
        place = Place(name, number + 1) if number else Place(name)
        yield bad_row(place, Reason.BROKEN_FILE, f"no further row can be read: {_first_line(error)}", size)


def columns_of_parquet(path: Path) -> frozenset[str] | None:
    """Give the columns; None when the file cannot be read, which its reader reports."""
    import pyarrow as pa

    try:
        with _open(path) as file:
            return frozenset(file.schema_arrow.names)
    except (pa.ArrowException, OSError):
        return None


def _open(path: Path) -> Any:
    from pyarrow.parquet import ParquetFile

    return ParquetFile(path)


def _row(place: Place, batch: "pa.RecordBatch", index: int, *, end: int) -> Row | BadRow:
    try:
        fields = {name: batch.column(name)[index].as_py() for name in batch.schema.names}
    except UnicodeDecodeError as error:
        return bad_row(place, Reason.INVALID_UTF8, f"byte {error.start}: {error.reason}", end)
    return Row(place, fields, end)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
