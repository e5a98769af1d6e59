"""Stats as CSV, a line per group, layer and expert; the header is in the manifest beside the file."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
from pyarrow import csv

from polyglyph.contract.errors import InvalidStatsError
from polyglyph.contract.exports.limits import check_size
from polyglyph.contract.exports.loaded import LoadedStats
from polyglyph.contract.exports.manifest import Manifest
from polyglyph.contract.exports.rows import SCHEMA, batches_of, check_schema, groups_of
from polyglyph.contract.sums import COLUMNS, Snapshot

MAGIC = f'"{COLUMNS[0]}","'.encode()


def write(snapshot: Snapshot, file: BinaryIO) -> None:
    """Write a snapshot; labels are quoted, numbers read back as they were."""
    with csv.CSVWriter(file, SCHEMA) as writer:
        for batch in batches_of(snapshot.groups, snapshot.header):
            writer.write_batch(batch)


def read(path: Path, *, manifest: Manifest, max_cells: int) -> LoadedStats:
    """Read what `write` wrote; raises `InvalidStatsError`, and pyarrow's own errors for a damaged file."""
    check_size(manifest.rows, max_cells=max_cells)
    types = csv.ConvertOptions(
        column_types={field.name: field.type for field in SCHEMA}, strings_can_be_null=False, null_values=[]
    )
    with csv.open_csv(str(path), convert_options=types) as file:
        check_schema(file.schema)
        return LoadedStats(header=manifest.header, groups=tuple(groups_of(_batches(file, manifest), manifest.header)))


def _batches(file: csv.CSVStreamingReader, manifest: Manifest) -> Iterator[pa.RecordBatch]:
    num_rows = 0
    for batch in file:
        num_rows += batch.num_rows
        yield batch
    if num_rows != manifest.rows:
        raise InvalidStatsError(f"the manifest says {manifest.rows} rows, the file has {num_rows}")
