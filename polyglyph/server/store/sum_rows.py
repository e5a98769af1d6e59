"""Rows of sums: written as absolute values, so that writing them again changes nothing; read in order of their keys.

Letters: L MoE layers, E experts.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from sqlalchemy import ColumnElement, Connection, Select, func, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from polyglyph.contract.sums import COLUMNS, SUMMED, GroupKey, GroupSums, StatsQuery
from polyglyph.server.store.model_rows import Epoch
from polyglyph.server.store.tables import SUMS

IMPORT_PREFIX = "import:"
"""Begin of the run id of imported sums; the file's SHA-256 follows."""
IDENTITY = ("model_id", "epoch", "run_id", "bucket_start", *COLUMNS)
VALUES = ("tokens", "cached_tokens", "selected", "weight_sum")
Item = TypeVar("Item")
BATCH = 64
"""Rows held in memory at a time while reading or importing."""


@dataclass(frozen=True, eq=False)
class BucketSums:
    """What one run counted for one group in one bucket of time, in all.

    Attributes:
        start: Begin of the bucket, seconds since 1970.
        sums: Absolute values.
    """

    start: int
    sums: GroupSums


def write_sums(connection: Connection, epoch: Epoch, run_id: str, rows: Iterable[BucketSums]) -> None:
    """Insert rows, or replace what the same run wrote for the same group and bucket."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(SUMS)
    statement = statement.on_conflict_do_update(
        index_elements=list(IDENTITY), set_={name: statement.excluded[name] for name in VALUES}
    )
    for batch in _in_batches(rows):
        connection.execute(statement, [_values(epoch, run_id, row) for row in batch])


def insert_sums(connection: Connection, epoch: Epoch, run_id: str, rows: Iterable[BucketSums]) -> None:
    """Insert rows, a few at a time.

    Raises:
        IntegrityError: A group is there already.
    """
    for batch in _in_batches(rows):
        connection.execute(insert(SUMS), [_values(epoch, run_id, row) for row in batch])


def has_run(connection: Connection, epoch: Epoch, run_id: str) -> bool:
    """Say whether a run or an import wrote any row in this epoch."""
    wanted = select(SUMS.c.id).where(*_of(epoch), SUMS.c.run_id == run_id).limit(1)
    return connection.execute(wanted).first() is not None


def first_start(connection: Connection, epoch: Epoch, query: StatsQuery) -> int | None:
    """Give the begin of the first bucket that a query reads, in seconds since 1970; None when it reads nothing.

    A run's bucket may have begun before a reset, but counts only what came after it.
    """
    imported = SUMS.c.run_id.startswith(IMPORT_PREFIX)
    firsts = select(func.min(SUMS.c.bucket_start)).where(*_wanted(epoch, query))
    of_runs = connection.execute(firsts.where(~imported)).scalar()
    of_imports = connection.execute(firsts.where(imported)).scalar()
    starts = [] if of_runs is None else [max(int(of_runs), epoch.began_at)]
    return min([*starts, *([] if of_imports is None else [int(of_imports)])], default=None)


def read_sums(
    connection: Connection, epoch: Epoch, query: StatsQuery, *, shape: tuple[int, int]
) -> Iterator[GroupSums]:
    """Give the sums of each group over all runs and buckets, ordered by key, each key once.

    Args:
        connection: A transaction that stays open meanwhile.
        epoch: Whose sums.
        query: Filters, and the columns to keep apart.
        shape: L, E.
    """
    current: GroupSums | None = None
    for sums in _read_rows(connection, _ordered_ids(epoch, query), query, shape):
        if current is None or current.key != sums.key:
            if current is not None:
                yield current
            current = sums
        else:
            current = _add_in_place(current, sums)
    if current is not None:
        yield current


def _ordered_ids(epoch: Epoch, query: StatsQuery) -> Select[Any]:
    order = [SUMS.c[name] for name in COLUMNS if name in query.by]
    return select(SUMS.c.id).where(*_wanted(epoch, query)).order_by(*order, SUMS.c.id)


def _read_rows(
    connection: Connection, ids: Select[Any], query: StatsQuery, shape: tuple[int, int]
) -> Iterator[GroupSums]:
    # Only the numbers of the rows are sorted: sorting the arrays would move all of them through a temporary file.
    columns = (SUMS.c.id, *(SUMS.c[name] for name in (*COLUMNS, *VALUES)))
    for batch in _in_batches(connection.execute(ids).scalars().all()):
        rows = {row.id: row for row in connection.execute(select(*columns).where(SUMS.c.id.in_(batch)))}
        for number in batch:
            yield _sums(rows[number], query, shape)


def _sums(row: Any, query: StatsQuery, shape: tuple[int, int]) -> GroupSums:
    labels: dict[str, Any] = {name: getattr(row, name) if name in query.by else SUMMED for name in COLUMNS}
    return GroupSums(
        key=GroupKey(**labels),
        tokens=row.tokens,
        cached_tokens=row.cached_tokens,
        selected_LE=np.frombuffer(row.selected, dtype="<i8").reshape(shape).astype(np.int64),
        weight_sum_LE=np.frombuffer(row.weight_sum, dtype="<f8").reshape(shape).astype(np.float64),
    )


def _values(epoch: Epoch, run_id: str, row: BucketSums) -> dict[str, Any]:
    return {
        "model_id": epoch.model_id,
        "epoch": epoch.name,
        "run_id": run_id,
        "bucket_start": row.start,
        **row.sums.key._asdict(),
        "tokens": row.sums.tokens,
        "cached_tokens": row.sums.cached_tokens,
        "selected": row.sums.selected_LE.astype("<i8").tobytes(),
        "weight_sum": row.sums.weight_sum_LE.astype("<f8").tobytes(),
    }


def _wanted(epoch: Epoch, query: StatsQuery) -> list[ColumnElement[bool]]:
    filters = [SUMS.c[name] == value for name in COLUMNS if (value := getattr(query, name)) is not None]
    if query.since is not None:
        filters.append(SUMS.c.bucket_start >= math.ceil(query.since.timestamp()))
    return [*_of(epoch), *filters]


def _of(epoch: Epoch) -> tuple[ColumnElement[bool], ...]:
    return SUMS.c.model_id == epoch.model_id, SUMS.c.epoch == epoch.name


def _add_in_place(total: GroupSums, more: GroupSums) -> GroupSums:
    total.selected_LE[...] += more.selected_LE
    total.weight_sum_LE[...] += more.weight_sum_LE
    return replace(total, tokens=total.tokens + more.tokens, cached_tokens=total.cached_tokens + more.cached_tokens)


def _in_batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    remaining = iter(items)
    while batch := list(islice(remaining, BATCH)):
        yield batch
