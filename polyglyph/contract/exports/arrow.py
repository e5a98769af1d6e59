"""Stats as an Arrow IPC file (Feather 2): zstd, the header in the schema's metadata."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from polyglyph.contract.exports.limits import check_size
from polyglyph.contract.exports.loaded import LoadedStats
from polyglyph.contract.exports.metadata import header_of, metadata_of, texts_of
from polyglyph.contract.exports.rows import SCHEMA, batches_of, check_schema, groups_of
from polyglyph.contract.sums import Snapshot

MAGIC = b"ARROW1\x00\x00"


def write(snapshot: Snapshot, file: BinaryIO) -> None:
    """Write a snapshot.

    Labels are plain text, not dictionaries: a file has one dictionary per column, and the groups are not known
    before they are walked. Zstandard leaves next to nothing of the repetitions.
    """
    schema = SCHEMA.with_metadata(metadata_of(snapshot.header))
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_file(file, schema, options=options) as writer:
        for batch in batches_of(snapshot.groups, snapshot.header):
            writer.write_batch(batch.replace_schema_metadata(schema.metadata))


def read(path: Path, *, max_cells: int) -> LoadedStats:
    """Read what `write` wrote; raises `InvalidStatsError`, and pyarrow's own errors for a damaged file."""
    with pa.memory_map(str(path)) as mapped, pa.ipc.open_file(mapped) as file:
        header = header_of(texts_of(file.schema.metadata))
        check_schema(file.schema)
        return LoadedStats(header=header, groups=tuple(groups_of(_batches(file, max_cells=max_cells), header)))


def _batches(file: pa.ipc.RecordBatchFileReader, *, max_cells: int) -> Iterator[pa.RecordBatch]:
    num_rows = 0
    for index in range(file.num_record_batches):
        batch = file.get_batch(index)
        num_rows += batch.num_rows
        check_size(num_rows, max_cells=max_cells)
        # Arrow trusts a file's offsets until it is told not to.
        batch.validate(full=True)
        yield batch
