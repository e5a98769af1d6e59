"""Groups as table rows, one per group, layer and expert (design section 8); shared by Parquet, Arrow and CSV.

Letters: L MoE layers, E experts, N rows of a group (L x E).
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from polyglyph.contract.errors import InvalidStatsError
from polyglyph.contract.stats import StatsHeader
from polyglyph.contract.sums import COLUMNS, GroupKey, GroupSums

SCHEMA = pa.schema(
    [
        *((column, pa.string()) for column in COLUMNS),
        ("layer", pa.int32()),
        ("expert", pa.int32()),
        ("selected", pa.int64()),
        ("weight_sum", pa.float64()),
        ("group_tokens", pa.int64()),
        ("cached_tokens", pa.int64()),
    ]
)
ROWS_PER_BATCH = 1 << 16
"""Groups are handed on together until they have this many rows; a row takes about 150 bytes here."""


def batches_of(groups: Iterable[GroupSums], header: StatsHeader) -> Iterator[pa.RecordBatch]:
    """Give all rows in the order of groups, layers and experts, zeros included."""
    per_group = header.layers * header.experts
    waiting: list[pa.RecordBatch] = []
    for group in groups:
        waiting.append(_rows_of(group, header))
        if len(waiting) * per_group >= ROWS_PER_BATCH:
            yield pa.concat_batches(waiting)
            waiting = []
    if waiting:
        yield pa.concat_batches(waiting)


def groups_of(batches: Iterable[pa.RecordBatch], header: StatsHeader) -> Iterator[GroupSums]:
    """Give the groups that rows make, in the order of the rows.

    Raises:
        InvalidStatsError: The rows of a group are not all there and in order.
    """
    per_group = header.layers * header.experts
    waiting = SCHEMA.empty_table()
    for batch in batches:
        waiting = pa.concat_tables([waiting, pa.table(batch)]).combine_chunks()
        for start in range(0, waiting.num_rows - per_group + 1, per_group):
            yield _group_of(waiting.slice(start, per_group), header)
        waiting = waiting.slice(waiting.num_rows - waiting.num_rows % per_group)
    if waiting.num_rows:
        raise InvalidStatsError(
            f"expected {per_group} rows per group ({header.layers} layers x {header.experts} experts), "
            f"the last group has {waiting.num_rows}"
        )


def check_schema(schema: pa.Schema) -> None:
    """Refuse a table with other columns.

    Raises:
        InvalidStatsError: Names the columns of both.
    """
    if not schema.remove_metadata().equals(SCHEMA):
        raise InvalidStatsError(f"expected the columns {_columns(SCHEMA)}; got {_columns(schema):.400}")


def _rows_of(group: GroupSums, header: StatsHeader) -> pa.RecordBatch:
    num_rows = header.layers * header.experts
    layer_LE, expert_LE = np.indices((header.layers, header.experts), np.int32)
    return pa.record_batch(
        [
            *(pa.repeat(pa.scalar(value, pa.string()), num_rows) for value in group.key),
            pa.array(layer_LE.reshape(-1)),
            pa.array(expert_LE.reshape(-1)),
            pa.array(group.selected_LE.reshape(-1), pa.int64()),
            pa.array(group.weight_sum_LE.reshape(-1), pa.float64()),
            pa.repeat(pa.scalar(group.tokens, pa.int64()), num_rows),
            pa.repeat(pa.scalar(group.cached_tokens, pa.int64()), num_rows),
        ],
        schema=SCHEMA,
    )


def _group_of(rows: pa.Table, header: StatsHeader) -> GroupSums:
    shape = (header.layers, header.experts)
    if any(column.null_count for column in rows.columns):
        raise InvalidStatsError("expected a value in every row and column, got an empty one")
    places = np.stack([rows["layer"].to_numpy(), rows["expert"].to_numpy()])
    if not np.array_equal(places, np.indices(shape, np.int32).reshape(2, -1)):
        raise InvalidStatsError(
            f"expected each group's rows in order of layer (0 to {shape[0] - 1}) and expert (0 to {shape[1] - 1})"
        )
    return GroupSums(
        key=GroupKey(*(_same(rows, column) for column in COLUMNS)),
        tokens=_same(rows, "group_tokens"),
        cached_tokens=_same(rows, "cached_tokens"),
        selected_LE=rows["selected"].to_numpy().reshape(shape).copy(),
        weight_sum_LE=rows["weight_sum"].to_numpy().reshape(shape).copy(),
    )


def _same(rows: pa.Table, column: str) -> Any:
    values = rows[column].unique()
    if len(values) != 1:
        raise InvalidStatsError(f"expected one {column} in all rows of a group, got {len(values)}")
    return values[0].as_py()


def _columns(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name} {field.type}" for field in schema)
