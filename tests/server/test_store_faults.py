"""Faults with real parts: whatever happens to the store, counting goes on, nothing is lost and nothing counts twice."""

import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from pydantic import SecretStr

from polyglyph.contract.errors import StorageError, StorageUnavailableError
from polyglyph.contract.sums import StatsQuery
from polyglyph.server.ledger import Ledger
from tests.server.sums import key, make_ledger, num_tokens, open_at, read, sums
from tests.support.postgresql import PostgresqlServer

ROOT = Path(__file__).parents[2]
FILE = "polyglyph.sqlite3"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a folder on a disk of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("this user cannot mount a disk of one megabyte")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def count_through(ledger: Ledger, *, until: type[Exception]) -> int:
    """Count and flush new groups until the store fails; give the number of tokens, the last flush's included."""
    for number in range(1, 5000):
        ledger.add([sums(1, key(f"t{number}"))])
        try:
            ledger.flush()
        except until:
            return number
    raise AssertionError("the store never failed")


def check_keeps_counting(ledger: Ledger) -> None:
    before = sum(ledger.facts().tokens.values())
    ledger.add([sums(1)])
    facts = ledger.facts()
    assert sum(facts.tokens.values()) == before + 1
    assert facts.unflushed_groups > 0
    assert not facts.is_store_up
    assert facts.store_errors > 0


def test_a_full_disk_loses_nothing_that_was_counted(small_disk: Path):
    ledger = make_ledger(open_at(small_disk))
    (small_disk / "ballast").write_bytes(b"x" * 300_000)
    number = count_through(ledger, until=StorageUnavailableError)
    check_keeps_counting(ledger)
    with pytest.raises(StorageUnavailableError, match=r"full|I/O"):
        ledger.flush()
    (small_disk / "ballast").unlink()
    ledger.flush()
    assert num_tokens(ledger) == number + 1
    assert ledger.facts().is_store_up


def test_a_full_database_loses_nothing_that_was_counted(tmp_path: Path):
    store = open_at(tmp_path)
    ledger = make_ledger(store)
    with store.read() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 60")
    number = count_through(ledger, until=StorageUnavailableError)
    check_keeps_counting(ledger)
    with store.read() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 100000")
    ledger.flush()
    assert num_tokens(ledger) == number + 1


def test_a_limit_on_the_size_of_files_loses_nothing_that_was_counted(tmp_path: Path):
    ledger = make_ledger(open_at(tmp_path))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        number = count_through(ledger, until=StorageError)
        check_keeps_counting(ledger)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    ledger.flush()
    assert num_tokens(ledger) == number + 1


def test_a_locked_database_is_waited_for_and_then_flushed_later(tmp_path: Path):
    ledger = make_ledger(open_at(tmp_path))
    ledger.add([sums(1)])
    ledger.flush()
    holder = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    for _ in range(3):
        ledger.add([sums(2)])
        with pytest.raises(StorageUnavailableError, match="locked"):
            ledger.flush()
    check_keeps_counting(ledger)
    assert num_tokens(ledger) == 1, "a reader does not wait for a writer"
    holder.execute("ROLLBACK")
    ledger.flush()
    assert num_tokens(ledger) == 8


def test_a_file_overwritten_while_the_server_runs_stops_neither_counting_nor_a_flush_after_its_repair(tmp_path: Path):
    ledger = make_ledger(open_at(tmp_path))
    ledger.add([sums(1, key(f"t{number}")) for number in range(100)])
    ledger.flush()
    good = copy_of(tmp_path)
    # The file is emptied into itself first, so that what is overwritten is not in the log beside it.
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = (tmp_path / FILE).stat().st_size
    with (tmp_path / FILE).open("r+b") as file:
        file.write(b"\xa5" * size)
    ledger.add([sums(1, key(f"u{number}")) for number in range(100)])
    with pytest.raises(StorageError):
        ledger.flush()
    check_keeps_counting(ledger)
    with pytest.raises(StorageError), ledger.read(StatsQuery()):
        pass
    for damaged in list(tmp_path.glob(f"{FILE}*")):
        damaged.unlink()
    good.rename(tmp_path / FILE)
    ledger.flush()
    assert num_tokens(ledger) == 201


def copy_of(folder: Path) -> Path:
    backup = folder / "backup"
    with sqlite3.connect(folder / FILE) as live, sqlite3.connect(backup) as copy:
        live.backup(copy)
    return backup


def test_a_lost_postgresql_loses_nothing_and_is_found_again(postgresql: PostgresqlServer, tmp_path: Path):
    ledger = make_ledger(open_at(tmp_path, postgresql.new_database()))
    ledger.add([sums(1)])
    ledger.flush()
    with postgresql.down():
        for _ in range(3):
            ledger.add([sums(2)])
            with pytest.raises(StorageUnavailableError):
                ledger.flush()
        check_keeps_counting(ledger)
        with pytest.raises(StorageUnavailableError), ledger.read(StatsQuery()):
            pass
    ledger.flush()
    assert num_tokens(ledger) == 8


def test_a_postgresql_that_dies_within_flushes_again_and_again_counts_nothing_twice(
    postgresql: PostgresqlServer, tmp_path: Path
):
    ledger = make_ledger(open_at(tmp_path, postgresql.new_database()))
    draw = random.Random(0)
    sent = 0
    for _ in range(4):
        for _ in range(draw.randint(1, 20)):
            sent += 1
            ledger.add([sums(1, key(f"t{sent % 5}"))])
            ledger.flush()
        with FlushingInTheBackground(ledger), postgresql.down():
            pass
    ledger.flush()
    assert num_tokens(ledger) == sent


class FlushingInTheBackground:
    """Flush without end from a thread, whatever the store says."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._flush)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _flush(self) -> None:
        while not self._is_over.is_set():
            self._ledger.add([sums(0)])
            with suppress(StorageError):
                self._ledger.flush()


def kill_writer(folder: Path, url: str, *, after_lines: int) -> tuple[int, int]:
    """Run a writer, kill it in the middle of its work, and give what it had sent and what was acknowledged."""
    command = [sys.executable, "-m", "tests.server.store_writer", str(folder), url]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        lines = [next(writer.stdout).split() for _ in range(after_lines)]
        writer.kill()
        lines += [line.split() for line in writer.stdout.read().splitlines()]
    numbers = {word: max([0, *(int(number) for said, number in lines if said == word)]) for word in ("sent", "flushed")}
    return numbers["sent"], numbers["flushed"]


def test_killing_a_server_ten_times_loses_at_most_what_was_not_flushed(url: SecretStr | None, tmp_path: Path):
    draw = random.Random(1)
    lowest = highest = 0
    for _ in range(10):
        sent, flushed = kill_writer(tmp_path, url.get_secret_value() if url else "", after_lines=draw.randint(1, 150))
        lowest, highest = lowest + flushed, highest + sent
        found = num_tokens(make_ledger(open_at(tmp_path, url)))
        assert lowest <= found <= highest
        # What the store holds beyond the acknowledged was committed before the kill, and stays.
        lowest = found
    assert lowest > 0


def test_a_server_killed_while_another_writes_disturbs_nobody(tmp_path: Path):
    survivor = make_ledger(open_at(tmp_path, busy_timeout_s=30))
    for number in range(1, 4):
        survivor.add([sums(1, key("survivor"))])
        kill_writer(tmp_path, "", after_lines=20)
        survivor.flush()
        assert read(survivor)[key("survivor")][0] == number
