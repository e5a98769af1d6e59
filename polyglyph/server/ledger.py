"""The ledger: sums on their way from the engine to the store. Counting never waits for the store and never fails."""

import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

from sqlalchemy.exc import IntegrityError

from polyglyph.contract.errors import ConflictError, RequestError, StorageError
from polyglyph.contract.model import ModelBinding
from polyglyph.contract.stats import StatsHeader
from polyglyph.contract.sums import SUMMED, GroupSums, Snapshot, StatsQuery
from polyglyph.server.buckets import Buckets, Row, is_text
from polyglyph.server.ledger_facts import LedgerFacts, Totals
from polyglyph.server.store.model_rows import Epoch, begin_epoch, ensure_epoch, find_epoch
from polyglyph.server.store.spool import open_spool
from polyglyph.server.store.store import Store
from polyglyph.server.store.sum_rows import (
    IMPORT_PREFIX,
    BucketSums,
    first_start,
    has_run,
    insert_sums,
    read_sums,
    write_sums,
)


class Ledger:
    """Holds the sums that the store has not acknowledged, and writes them as absolute values of this run.

    Args:
        store: Where they go.
        model: What they are of.
        versions: Put into the header of what is read.
        bucket_seconds: How finely `since` can tell times apart.
        max_groups: Most groups of a bucket; the tokens of further ones go to the overflow.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        store: Store,
        model: ModelBinding,
        *,
        versions: Mapping[str, str],
        bucket_seconds: int = 3600,
        max_groups: int = 4096,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._model = model
        self._versions = dict(versions)
        self._clock = clock
        self._run_id = uuid.uuid4().hex
        self._shape = (model.layers, model.experts)
        self._buckets = Buckets(bucket_seconds=bucket_seconds, max_groups=max_groups, began_at=int(clock()))
        self._totals = Totals(self._shape)
        self._epoch: Epoch | None = None
        # Held while memory changes, never while the database works; the other one lets one writer at a time through.
        self._memory = threading.Lock()
        self._writing = threading.Lock()
        self._flushed_at = time.monotonic()
        self._is_store_up = True
        self._store_errors = 0

    def add(self, groups: Iterable[GroupSums], *, at: datetime | None = None) -> None:
        """Count sums, in memory only.

        Args:
            groups: What was counted since the last call; copied.
            at: When, now unless named.
        """
        second = int(self._clock() if at is None else at.timestamp())
        with self._memory:
            for group in groups:
                self._totals.add(group, into=self._buckets.add(group, at=second))

    def flush(self) -> None:
        """Write what the store has not acknowledged, in one transaction; call it in a thread.

        Raises:
            StorageError: The store failed. Everything is kept, and the next flush writes it again.
        """
        with self._writing:
            with self._memory:
                rows = self._buckets.take()
            try:
                with self._counting_errors():
                    self._write(rows)
            except BaseException:
                with self._memory:
                    self._buckets.give_back(rows)
                self._is_store_up = False
                raise
            with self._memory:
                self._buckets.acknowledge(rows)
            self._is_store_up, self._flushed_at = True, time.monotonic()

    @contextmanager
    def read(self, query: StatsQuery) -> Iterator[Snapshot]:
        """Give what the store holds of this model, over all runs and buckets; flush before to have everything in it.

        The sums are copied out of one consistent state before this returns, so that a reader may take its time.

        Raises:
            StorageError: The store cannot be read.
        """
        with open_spool(self._shape) as spool:
            with self._counting_errors(), self._store.read() as connection:
                epoch = find_epoch(connection, self._model.fingerprint)
                first = None if epoch is None else first_start(connection, epoch, query)
                if epoch is not None:
                    spool.fill(read_sums(connection, epoch, query, shape=self._shape))
            yield Snapshot(header=self._header(query, epoch, first), groups=iter(spool))

    def reset(self) -> None:
        """Delete this model's sums, of all runs and imports, and begin from zero.

        What another server has not flushed when this is done is counted after the reset.

        Raises:
            StorageError: The store failed; nothing was reset, unless the connection was lost while it was confirmed.
        """
        with self._writing:
            with self._memory:
                rows = self._buckets.take()
            try:
                with self._counting_errors(), self._store.write() as connection:
                    epoch = begin_epoch(connection, self._model)
            except BaseException:
                with self._memory:
                    self._buckets.give_back(rows)
                raise
            with self._memory:
                self._buckets.drop(rows, began_at=int(self._clock()))
            self._epoch = epoch

    def import_sums(self, groups: Iterable[GroupSums], *, sha256: str, since: datetime) -> None:
        """Add the sums of a file, all or nothing.

        Args:
            groups: Sums of the loaded model, each key once and no column summed away.
            sha256: The file's digest; a file is imported once until the next reset.
            since: Begin of what they count; the bucket they are put into.

        Raises:
            ConflictError: The file was imported already.
            RequestError: A group has another shape, stands twice, or lacks a column.
            StorageError: The store failed.
        """
        run_id = IMPORT_PREFIX + sha256
        rows = (BucketSums(int(since.timestamp()), self._checked(group)) for group in groups)
        with self._writing, self._counting_errors(), self._store.write() as connection:
            epoch = ensure_epoch(connection, self._model)
            if has_run(connection, epoch, run_id):
                raise ConflictError(f"these sums (sha256 {sha256:.12}...) were imported already; nothing was added")
            try:
                insert_sums(connection, epoch, run_id, rows)
            except IntegrityError as error:
                raise RequestError("a group stands twice in these sums, or another import was faster") from error

    def facts(self) -> LedgerFacts:
        """Give what was counted since the start, and how the store is."""
        with self._memory:
            totals = self._totals
            return LedgerFacts(
                selected_LE=totals.selected_LE.copy(),
                weight_sum_LE=totals.weight_sum_LE.copy(),
                tokens=dict(totals.tokens),
                cached_tokens=dict(totals.cached_tokens),
                overflow_tokens=totals.overflow_tokens,
                unflushed_groups=self._buckets.num_unflushed,
                flush_age_s=time.monotonic() - self._flushed_at,
                is_store_up=self._is_store_up,
                store_errors=self._store_errors,
            )

    def _write(self, rows: list[Row]) -> None:
        if not rows:
            with self._store.read() as connection:
                self._join(find_epoch(connection, self._model.fingerprint))
            return
        with self._store.write() as connection:
            epoch = ensure_epoch(connection, self._model)
            self._join(epoch)
            write_sums(connection, epoch, self._run_id, _absolute(rows))

    def _join(self, epoch: Epoch | None) -> None:
        """Notice a reset by another server: what was flushed before it is gone from the store."""
        if epoch != self._epoch:
            with self._memory:
                self._buckets.forget_flushed()
            self._epoch = epoch

    def _header(self, query: StatsQuery, epoch: Epoch | None, first: int | None) -> StatsHeader:
        now = self._clock()
        began = now if epoch is None else epoch.began_at
        if first is None and query.since is not None:
            began = max(began, query.since.timestamp())
        return StatsHeader(
            model_fingerprint=self._model.fingerprint,
            layers=self._model.layers,
            experts=self._model.experts,
            top_k=self._model.top_k,
            since=_written(began if first is None else first),
            until=_written(now),
            versions=self._versions,
            by=query.by,
        )

    def _checked(self, group: GroupSums) -> GroupSums:
        shape = group.selected_LE.shape
        if shape != self._shape or group.weight_sum_LE.shape != self._shape:
            raise RequestError(f"groups: expected arrays of [layers, experts] {list(self._shape)}, got {list(shape)}")
        if SUMMED in group.key:
            raise RequestError("groups: a column was summed away (it reads '*'), so these sums cannot be imported")
        if not is_text(group.key):
            raise RequestError(f"groups: a label cannot be stored: {tuple(group.key)!a:.200}")
        return group

    @contextmanager
    def _counting_errors(self) -> Iterator[None]:
        try:
            yield
        except StorageError:
            self._store_errors += 1
            raise


def _absolute(rows: list[Row]) -> Iterator[BucketSums]:
    for row in rows:
        if (total := row.total()) is not None:
            yield BucketSums(row.start, total)


def _written(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
