"""Stats as Parquet (design section 8): zstd, labels as dictionaries, the header in the file's metadata."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from polyglyph.contract.exports.limits import check_size
from polyglyph.contract.exports.loaded import LoadedStats
from polyglyph.contract.exports.metadata import header_of, metadata_of, texts_of
from polyglyph.contract.exports.rows import ROWS_PER_BATCH, SCHEMA, batches_of, check_schema, groups_of
from polyglyph.contract.sums import COLUMNS, Snapshot

MAGIC = b"PAR1"
LABELS = [*COLUMNS, "layer", "expert", "group_tokens", "cached_tokens"]


def write(snapshot: Snapshot, file: BinaryIO) -> None:
    """Write a snapshot; a row group holds one or more whole groups."""
    schema = SCHEMA.with_metadata(metadata_of(snapshot.header))
    writer = pq.ParquetWriter(
        file, schema, compression="zstd", use_dictionary=LABELS, write_page_checksum=True, data_page_version="2.0"
    )
    with writer:
        for batch in batches_of(snapshot.groups, snapshot.header):
            writer.write_batch(batch.replace_schema_metadata(schema.metadata), row_group_size=batch.num_rows)


def read(path: Path, *, max_cells: int) -> LoadedStats:
    """Read what `write` wrote; raises `InvalidStatsError`, and pyarrow's own errors for a damaged file."""
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        header = header_of(texts_of(file.schema_arrow.metadata))
        check_schema(file.schema_arrow)
        check_size(file.metadata.num_rows, max_cells=max_cells)
        return LoadedStats(header=header, groups=tuple(groups_of(_batches(file), header)))


def _batches(file: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    yield from file.iter_batches(batch_size=ROWS_PER_BATCH)
