"""The writer of traces: whole files or none, read by anyone's tools, and a full disk never reaches the server."""

import logging
import os
import resource
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from polyglyph.contract.errors import StartupError
from polyglyph.contract.trace import SequenceTrace
from polyglyph.contract.trace_reading import read_header, read_traces
from polyglyph.server import trace_files
from polyglyph.server.metrics import Metrics
from polyglyph.server.trace_files import TraceWriter
from tests.support.traces import differences, make_trace, trace_header

HEADER = trace_header()
Open = Callable[..., TraceWriter]


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "traces"


@pytest.fixture
def open_writer(folder: Path, metrics: Metrics) -> Iterator[Open]:
    """Open a writer that writes only when told to."""
    writers: list[TraceWriter] = []

    def open_now(**settings: Any) -> TraceWriter:
        writers.append(TraceWriter(folder, HEADER, metrics=metrics, **({"flush_seconds": 3600.0} | settings)))
        return writers[-1]

    yield open_now
    for writer in writers:
        writer.close()


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(logging.getLogger("vllm"), "propagate", True)
    return caplog


def traces(*numbers: int, num_tokens: int = 20) -> list[SequenceTrace]:
    return [make_trace(num_tokens, HEADER, seed=number) for number in numbers]


def ids_in(folder: Path) -> list[str]:
    return [trace.request_id for trace in read_traces(folder)]


def test_what_was_taken_is_in_one_file_per_flush_in_its_order(open_writer: Open, folder: Path, metrics: Metrics):
    writer = open_writer()
    given = traces(1, 2, 3)
    for trace in given[:2]:
        writer.add(trace)
    assert writer.flush()
    writer.add(given[2])
    assert writer.flush()
    assert [path.name for path in sorted(folder.glob("*"))] == [
        f"{writer.run}-000001.parquet",
        f"{writer.run}-000002.parquet",
    ]
    assert [differences(one, other) for one, other in zip(given, read_traces(folder), strict=True)] == [[], [], []]
    assert metrics.read().trace_rows == 3 * 20 * HEADER.layers


def test_nothing_to_write_makes_no_file(open_writer: Open, folder: Path):
    writer = open_writer()
    assert writer.flush()
    writer.add(make_trace(4, HEADER))
    writer.flush()
    writer.flush()
    writer.close()
    assert len(list(folder.iterdir())) == 1


def test_closing_writes_what_waits(open_writer: Open, folder: Path):
    writer = open_writer()
    writer.add(make_trace(4, HEADER, seed=7))
    writer.close()
    assert ids_in(folder) == ["chatcmpl-7"]


def test_without_being_told_the_thread_writes(open_writer: Open, folder: Path):
    writer = open_writer(flush_seconds=0.01)
    writer.add(make_trace(4, HEADER))
    until(lambda: any(folder.glob("*.parquet")))


def test_much_that_waits_is_written_before_its_time(open_writer: Open, folder: Path):
    writer = open_writer(max_bytes=4000)
    for trace in traces(1, 2, 3):
        writer.add(trace)
    until(lambda: any(folder.glob("*.parquet")))


def until(is_so: Callable[[], bool], *, timeout_s: float = 20.0) -> None:
    end = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def test_a_trace_of_another_model_is_refused_where_it_is_given(open_writer: Open):
    with pytest.raises(ValueError, match="expected"):
        open_writer().add(make_trace(4, trace_header(layers=5)))


def test_only_the_owner_can_read_them(open_writer: Open, folder: Path):
    before = os.umask(0)
    try:
        writer = open_writer()
        writer.add(make_trace(4, HEADER))
        writer.flush()
    finally:
        os.umask(before)
    (file,) = folder.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_file_says_which_run_wrote_it_and_of_what(open_writer: Open, folder: Path):
    writer = open_writer()
    writer.add(make_trace(4, HEADER))
    writer.flush()
    (file,) = folder.iterdir()
    assert read_header(file) == HEADER.model_copy(update={"run": writer.run})


def test_two_servers_can_share_a_folder(open_writer: Open, folder: Path):
    one, other = open_writer(), open_writer()
    for writer, number in ((one, 1), (other, 2)):
        writer.add(make_trace(4, HEADER, seed=number))
        writer.flush()
    assert sorted(ids_in(folder)) == ["chatcmpl-1", "chatcmpl-2"]


def test_long_and_short_sequences_share_row_groups_of_a_bounded_size(
    open_writer: Open, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(trace_files, "ROWS_PER_GROUP", 100)
    writer = open_writer()
    sizes = [1] * 50 + [500, 2, 0, 2]
    given = [make_trace(size, HEADER, seed=number) for number, size in enumerate(sizes)]
    for trace in given:
        writer.add(trace)
    writer.flush()
    (file,) = folder.iterdir()
    metadata = pq.ParquetFile(file).metadata
    groups = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
    assert max(groups) <= 200
    assert len(groups) <= 2 + sum(sizes) * HEADER.layers // 100
    assert [trace.num_tokens for trace in read_traces(folder)] == [size for size in sizes if size]


@pytest.mark.parametrize("place", ["file/traces", "file"])
def test_a_folder_that_cannot_be_written_keeps_the_server_from_starting(tmp_path: Path, metrics: Metrics, place: str):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StartupError) as error:
        TraceWriter(tmp_path / place, HEADER, metrics=metrics)
    assert "--trace-dir" in str(error.value)
    assert place in str(error.value)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that not even root can write")
def test_a_folder_without_the_right_to_write_keeps_the_server_from_starting(metrics: Metrics):
    with pytest.raises(StartupError, match="/proc"):
        TraceWriter(Path("/proc/self"), HEADER, metrics=metrics)


def test_what_a_killed_server_left_unfinished_goes_when_it_is_old_and_no_other_file(open_writer: Open, folder: Path):
    folder.mkdir()
    names = (".run-000001.parquet.x.partial", ".run-000002.parquet.y.partial", ".other", "run-000001.parquet")
    for name in names:
        (folder / name).touch()
    os.utime(folder / names[0], (0, 0))
    os.utime(folder / names[2], (0, 0))
    open_writer()
    assert {path.name for path in folder.iterdir()} == set(names[1:])


@contextmanager
def full_disk(num_bytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size; what writes more fails as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("num_bytes", [0, 1000, 5000])
def test_a_disk_that_is_full_at_any_point_leaves_no_file_and_loses_no_trace(
    open_writer: Open, folder: Path, metrics: Metrics, log: pytest.LogCaptureFixture, num_bytes: int
):
    writer = open_writer()
    for trace in traces(1, 2):
        writer.add(trace)
    with full_disk(num_bytes):
        assert not writer.flush()
        assert not writer.flush()
    assert list(folder.iterdir()) == []
    writer.add(make_trace(20, HEADER, seed=3))
    assert writer.flush()
    assert ids_in(folder) == ["chatcmpl-1", "chatcmpl-2", "chatcmpl-3"]
    assert metrics.read().dropped_traces == 0
    assert metrics.read().trace_rows == 3 * 20 * HEADER.layers
    assert log.text.count("cannot be written") == 1
    assert log.text.count("again") == 1


def test_while_the_folder_is_gone_the_newest_are_kept_up_to_the_bound_and_the_rest_counted(
    open_writer: Open, folder: Path, metrics: Metrics
):
    given = traces(*range(10))
    writer = open_writer(max_bytes=3 * given[0].num_bytes)
    shutil.rmtree(folder)
    for trace in given:
        writer.add(trace)
        writer.flush()
    folder.mkdir()
    assert writer.flush()
    assert ids_in(folder) == ["chatcmpl-7", "chatcmpl-8", "chatcmpl-9"]
    assert metrics.read().dropped_traces == 7


def test_one_trace_larger_than_the_bound_is_given_up_and_counted(open_writer: Open, folder: Path, metrics: Metrics):
    writer = open_writer(max_bytes=100)
    writer.add(make_trace(400, HEADER))
    assert writer.flush()
    assert list(folder.iterdir()) == []
    assert metrics.read().dropped_traces == 1


def test_what_cannot_be_written_at_the_end_is_counted_and_said(
    open_writer: Open, folder: Path, metrics: Metrics, log: pytest.LogCaptureFixture
):
    writer = open_writer()
    for trace in traces(1, 2):
        writer.add(trace)
    shutil.rmtree(folder)
    writer.close()
    assert metrics.read().dropped_traces == 2
    assert "2 traces" in log.text


def test_traces_from_many_threads_are_written_once_each(open_writer: Open, folder: Path, metrics: Metrics):
    writer = open_writer(flush_seconds=0.001)

    def add(first: int) -> None:
        for number in range(first, first + 25):
            writer.add(make_trace(3, HEADER, seed=number))

    threads = [Thread(target=add, args=(first,)) for first in (0, 25, 50, 75)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    assert sorted(ids_in(folder)) == sorted(f"chatcmpl-{number}" for number in range(100))
    assert metrics.read().trace_rows == 100 * 3 * HEADER.layers


KILLED = """
import sys
import time
from pathlib import Path
from polyglyph.server.metrics import Metrics
from polyglyph.server.trace_files import TraceWriter
from tests.support.traces import make_trace, trace_header

header = trace_header()
writer = TraceWriter(Path(sys.argv[1]), header, metrics=Metrics(), flush_seconds=0.001)
number = 0
while True:
    writer.add(make_trace(50, header, seed=number))
    number += 1
    time.sleep(0.002)  # Given as fast as they can be made, each file would be twice as large as the one before.
"""


def test_a_server_killed_while_it_writes_leaves_only_whole_files(folder: Path):
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(folder)])
    try:
        until(lambda: len(list(folder.glob("*.parquet"))) > 3 or process.poll() is not None)
    finally:
        process.kill()
        process.wait()
    found = ids_in(folder)
    assert found == [f"chatcmpl-{number}" for number in range(len(found))]
    assert found


@pytest.fixture
def written(open_writer: Open, folder: Path) -> list[SequenceTrace]:
    """Give three sequences, which are in the folder in two files."""
    writer = open_writer()
    given = traces(1, 2, 3)
    for trace in given[:2]:
        writer.add(trace)
    writer.flush()
    writer.add(given[2])
    writer.flush()
    return given


def expected_counts(given: list[SequenceTrace]) -> dict[tuple[int, int], tuple[int, float]]:
    """Count selections and weights by layer and expert, one by one."""
    counts: dict[tuple[int, int], tuple[int, float]] = {}
    for trace in given:
        assert trace.weights is not None
        for (_, layer, _), expert, weight in zip(
            np.ndindex(trace.ids.shape), trace.ids.flat, trace.weights.flat, strict=True
        ):
            if expert != 255:
                number, total = counts.get((layer, int(expert)), (0, 0.0))
                counts[layer, int(expert)] = (number + 1, total + float(weight))
    return counts


def as_counts(rows: list[tuple[Any, ...]]) -> dict[tuple[int, int], tuple[int, Any]]:
    return {(layer, expert): (number, pytest.approx(total, rel=1e-3)) for layer, expert, number, total in rows}


def test_polars_counts_the_same(written: list[SequenceTrace], folder: Path):
    table = (
        pl.scan_parquet(folder / "*.parquet")
        .filter(pl.col("experts").is_not_null())
        .explode("experts", "weights")
        .group_by("layer", "experts")
        .agg(pl.len(), pl.col("weights").cast(pl.Float64).sum())
        .collect()
    )
    assert expected_counts(written) == as_counts(table.rows())


def test_duckdb_counts_the_same(written: list[SequenceTrace], folder: Path):
    query = f"""
        select layer, expert, count(*), sum(weight) from
        (select layer, unnest(experts) expert, unnest(weights) weight from '{folder}/*.parquet') group by all
    """  # noqa: S608
    assert expected_counts(written) == as_counts(duckdb.sql(query).fetchall())


def test_pyarrow_counts_the_same(written: list[SequenceTrace], folder: Path):
    rows = ds.dataset(folder, format="parquet").to_table(columns=["layer", "experts", "weights"]).to_pylist()
    counts: dict[tuple[int, int], tuple[int, float]] = {}
    for row in rows:
        for expert, weight in zip(row["experts"] or (), row["weights"] or (), strict=True):
            number, total = counts.get((row["layer"], expert), (0, 0.0))
            counts[row["layer"], expert] = (number + 1, total + float(weight))
    assert counts == expected_counts(written)


@pytest.mark.parametrize("column", ["request_id", "tag", "plan", "request_script", "script", "phase"])
def test_words_are_text_to_every_reader(written: list[SequenceTrace], folder: Path, column: str):
    by_duckdb = {word for (word,) in duckdb.sql(f"select distinct {column} from '{folder}/*.parquet'").fetchall()}  # noqa: S608
    by_polars = set(
        pl.scan_parquet(folder / "*.parquet").select(pl.col(column).cast(pl.String).unique()).collect()[column]
    )
    by_pyarrow = set(ds.dataset(folder, format="parquet").to_table(columns=[column])[column].to_pylist())
    assert by_duckdb == by_polars == by_pyarrow
    assert all(isinstance(word, str) for word in by_duckdb)
