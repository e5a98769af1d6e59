"""Writes traces of whole runs as Parquet files: a file is complete or not there, and serving never waits for it."""

import logging
import secrets
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from polyglyph.contract.errors import StartupError
from polyglyph.contract.trace import SequenceTrace, TraceHeader
from polyglyph.contract.trace_table import schema_of, table_of
from polyglyph.server.metrics import Metrics
from polyglyph.server.whole_files import whole_file

MIB = 1 << 20
ROWS_PER_GROUP = 128 * 1024
"""Rows of a row group, about 10 MB before compression for 8 experts: what a reader holds in memory at a time."""

UNFINISHED = ".partial"
ABANDONED_AFTER_S = 3600.0
"""An unfinished file this old was left by a server that was killed; writing one takes seconds."""

_FAILURES = (OSError, MemoryError, pa.ArrowException)

logger = logging.getLogger("vllm.polyglyph")


class TraceWriter:
    """Takes traces from the server and writes them in a thread of its own.

    Files are named by this run and a number, `RUN-000001.parquet`. While the folder cannot be written, traces are kept
    up to `max_bytes`; then the oldest are given up and counted, and the log says so once.

    Args:
        folder: Where the files go; made, for its owner only, where it does not exist.
        header: What the traces are of.
        metrics: Counts rows written and traces given up.
        flush_seconds: Longest time that a trace waits.
        max_bytes: Most memory of traces that wait.

    Raises:
        StartupError: The folder cannot be made or written.
    """

    def __init__(
        self,
        folder: Path,
        header: TraceHeader,
        *,
        metrics: Metrics,
        flush_seconds: float = 5.0,
        max_bytes: int = 256 * MIB,
    ) -> None:
        _prepare(folder)
        self.run = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
        self._folder = folder
        self._header = header.model_copy(update={"run": self.run})
        self._metrics = metrics
        self._flush_seconds = flush_seconds
        self._max_bytes = max_bytes
        self._num_files = 0
        self._waiting: deque[SequenceTrace] = deque()
        self._num_bytes = 0
        self._is_failing = False
        # Held while memory changes, never while a file is written; the other one lets one file at a time be written.
        self._memory = threading.Lock()
        self._writing = threading.Lock()
        self._wake = threading.Event()
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="polyglyph-traces", daemon=True)
        self._thread.start()

    def add(self, trace: SequenceTrace) -> None:
        """Take a trace; returns at once.

        Raises:
            ValueError: It is of another shape of model.
        """
        trace.check_model(self._header)
        with self._memory:
            self._waiting.append(trace)
            self._num_bytes += trace.num_bytes
            self._keep_bound()
            is_much = self._num_bytes > self._max_bytes // 4
        if is_much and not self._is_failing:
            self._wake.set()

    def flush(self) -> bool:
        """Write what waits to a new file; says whether nothing waits any more. Never raises what a disk can cause."""
        with self._writing:
            with self._memory:
                traces = list(self._waiting)
                self._waiting.clear()
            if not traces:
                return True
            try:
                num_rows = self._write(traces)
            except _FAILURES as error:
                self._take_back(traces, error)
                return False
            with self._memory:
                self._num_bytes -= sum(trace.num_bytes for trace in traces)
            self._metrics.count_trace_rows(num_rows)
            if self._is_failing:
                logger.warning("Traces are written to %s again", self._folder)
            self._is_failing = False
            return True

    def close(self) -> None:
        """Write what waits and end the thread; what cannot be written now is given up and counted."""
        self._is_closing = True
        self._wake.set()
        self._thread.join()
        with self._memory:
            num_lost = len(self._waiting)
            self._waiting.clear()
            self._num_bytes = 0
        if num_lost:
            self._metrics.count_dropped_traces(num_lost)
            logger.error("%d traces could not be written to %s before the end and are lost", num_lost, self._folder)

    def _run(self) -> None:
        while not self._is_closing:
            self._wake.wait(self._flush_seconds)
            self._wake.clear()
            self.flush()
        self.flush()

    def _write(self, traces: list[SequenceTrace]) -> int:
        path = self._folder / f"{self.run}-{self._num_files + 1:06}.parquet"
        num_rows = 0
        schema = schema_of(self._header)
        words = [field.name for field in schema if pa.types.is_dictionary(field.type)]
        with (
            whole_file(path, suffix=UNFINISHED) as file,
            pq.ParquetWriter(
                file,
                schema,
                compression="zstd",
                # No BYTE_STREAM_SPLIT for the weights: DuckDB 2.0 does not read it for half precision.
                use_dictionary=[*words, "sequence", "position", "token_id", "layer", "experts.list.element"],
                write_page_index=True,
                write_page_checksum=True,
            ) as writer,
        ):
            for group in _groups(traces):
                table = table_of(group)
                writer.write_table(table.replace_schema_metadata(schema.metadata), row_group_size=2 * ROWS_PER_GROUP)
                num_rows += table.num_rows
        self._num_files += 1
        return num_rows

    def _take_back(self, traces: list[SequenceTrace], error: BaseException) -> None:
        with self._memory:
            self._waiting.extendleft(reversed(traces))
            self._keep_bound()
        if not self._is_failing:
            logger.error(
                "Traces cannot be written to %s (%s); they are kept in memory up to %d MiB, then the oldest are lost; "
                "polyglyph_traces_dropped_total counts them",
                self._folder,
                getattr(error, "strerror", None) or error,
                self._max_bytes // MIB,
            )
        self._is_failing = True

    def _keep_bound(self) -> None:
        num_dropped = 0
        while self._num_bytes > self._max_bytes and self._waiting:
            self._num_bytes -= self._waiting.popleft().num_bytes
            num_dropped += 1
        if num_dropped:
            self._metrics.count_dropped_traces(num_dropped)


def _groups(traces: list[SequenceTrace]) -> Iterator[list[SequenceTrace]]:
    """Put short sequences together, so that a row group is not as small as they are."""
    group: list[SequenceTrace] = []
    for trace in traces:
        group.append(trace)
        if sum(member.num_rows for member in group) >= ROWS_PER_GROUP:
            yield group
            group = []
    if group:
        yield group


def _prepare(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"writable")
        for unfinished in folder.glob(f".*{UNFINISHED}"):
            if time.time() - unfinished.stat().st_mtime > ABANDONED_AFTER_S:
                unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise StartupError(
            f"--trace-dir (POLYGLYPH_TRACE_DIR): cannot write {folder} ({error.strerror or error}); name a folder that "
            "this user may write"
        ) from error
