"""The flusher: what the engine counted reaches the store by the clock and on request, whatever fails on the way."""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest

from polyglyph.contract.errors import StorageError, StorageUnavailableError
from polyglyph.contract.sums import GroupSums
from polyglyph.server.flushing import Flusher
from polyglyph.server.flushing import logger as flusher_logger
from polyglyph.server.ledger import Ledger
from tests.server.sums import key, make_ledger, num_tokens, open_at, sums

FAST_S = 0.01


class EngineDeadError(Exception):
    """What vLLM says of an engine that ended."""


class Engine:
    """Holds sums until they are drained; `error` makes it fail, `gate` makes a drain wait."""

    def __init__(self) -> None:
        self.counted: list[GroupSums] = []
        self.error: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.num_drains = 0

    async def drain(self) -> Sequence[GroupSums]:
        self.num_drains += 1
        if self.error is not None:
            raise self.error
        taken, self.counted = self.counted, []
        if self.gate is not None:
            await self.gate.wait()
        return taken


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return make_ledger(open_at(tmp_path, busy_timeout_s=0.01))


@pytest.fixture
async def flusher(engine: Engine, ledger: Ledger) -> AsyncIterator[Flusher]:
    flusher = Flusher(engine.drain, ledger, interval_s=FAST_S)
    yield flusher
    await flusher.stop()


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.LogCaptureFixture]:
    # vLLM's loggers keep to themselves once vLLM has set them up, so ours is listened to directly.
    monkeypatch.setattr(flusher_logger, "propagate", False)
    flusher_logger.addHandler(caplog.handler)
    with caplog.at_level(logging.INFO, flusher_logger.name):
        yield caplog
    flusher_logger.removeHandler(caplog.handler)


class Lock:
    """Holds the store's file so that nobody can write."""

    def __init__(self, folder: Path) -> None:
        self._holder = sqlite3.connect(folder / "polyglyph.sqlite3", isolation_level=None)

    def __enter__(self) -> None:
        self._holder.execute("BEGIN EXCLUSIVE")

    def __exit__(self, *_: object) -> None:
        self._holder.execute("ROLLBACK")


async def until(condition) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - the other side is a loop by the clock
            await asyncio.sleep(FAST_S)


async def test_sums_reach_the_store_by_the_clock(engine: Engine, ledger: Ledger, flusher: Flusher):
    flusher.start()
    engine.counted = [sums(3)]
    await until(lambda: num_tokens(ledger) == 3)


async def test_a_flush_on_request_has_everything_counted_before_it(engine: Engine, ledger: Ledger, flusher: Flusher):
    engine.counted = [sums(3)]
    await flusher.flush_now()
    assert num_tokens(ledger) == 3


async def test_callers_who_wait_share_a_flush_that_began_after_they_came(
    engine: Engine, ledger: Ledger, flusher: Flusher
):
    engine.gate = asyncio.Event()
    first = asyncio.create_task(flusher.flush_now())
    await until(lambda: engine.num_drains == 1)
    engine.counted = [sums(2)]
    late = [asyncio.create_task(flusher.flush_now()) for _ in range(5)]
    await asyncio.sleep(0)
    engine.gate.set()
    await asyncio.gather(first, *late)
    assert engine.num_drains == 2
    assert num_tokens(ledger) == 2


async def test_a_caller_who_goes_away_cancels_nobody_elses_flush(engine: Engine, ledger: Ledger, flusher: Flusher):
    engine.gate = asyncio.Event()
    engine.counted = [sums(2)]
    impatient, patient = (asyncio.create_task(flusher.flush_now()) for _ in range(2))
    await until(lambda: engine.num_drains == 1)
    impatient.cancel()
    engine.gate.set()
    await patient
    assert num_tokens(ledger) == 2


async def test_stopping_flushes_a_last_time(engine: Engine, ledger: Ledger):
    flusher = Flusher(engine.drain, ledger, interval_s=3600)
    flusher.start()
    engine.counted = [sums(4)]
    await flusher.stop()
    assert num_tokens(ledger) == 4


async def test_a_store_that_breaks_is_said_once_and_so_is_its_return(
    engine: Engine, ledger: Ledger, flusher: Flusher, tmp_path: Path, log: pytest.LogCaptureFixture
):
    with Lock(tmp_path):
        flusher.start()
        engine.counted = [sums(1)]
        await until(lambda: ledger.facts().store_errors >= 3)
        engine.counted = [sums(2)]
        drains = engine.num_drains
        await until(lambda: engine.num_drains > drains + 1)
        assert not ledger.facts().is_store_up
    await until(lambda: ledger.facts().is_store_up)
    await until(lambda: len(log.records) == 2)
    assert num_tokens(ledger) == 3
    assert [record.levelname for record in log.records] == ["WARNING", "INFO"]


async def test_a_request_for_a_flush_hears_that_the_store_failed(
    engine: Engine, ledger: Ledger, flusher: Flusher, tmp_path: Path
):
    engine.counted = [sums(1)]
    with Lock(tmp_path), pytest.raises(StorageUnavailableError):
        await flusher.flush_now()
    await flusher.flush_now()
    assert num_tokens(ledger) == 1


async def test_an_engine_that_dies_ends_the_loop_with_a_line_and_what_was_drained_is_kept(
    engine: Engine, ledger: Ledger, log: pytest.LogCaptureFixture
):
    flusher = Flusher(engine.drain, ledger, interval_s=FAST_S)
    ledger.add([sums(1)])
    engine.error = EngineDeadError("the engine ended")
    flusher.start()
    await until(lambda: log.records)
    drains = engine.num_drains
    await asyncio.sleep(10 * FAST_S)
    assert engine.num_drains == drains
    await flusher.stop()
    assert num_tokens(ledger) == 1
    assert [record.levelname for record in log.records] == ["ERROR", "WARNING"]


async def test_an_idle_engine_is_left_alone_by_the_clock(engine: Engine, ledger: Ledger):
    flusher = Flusher(engine.drain, ledger, interval_s=FAST_S, is_idle=lambda: True)
    flusher.start()
    await asyncio.sleep(10 * FAST_S)
    assert engine.num_drains == 0
    engine.counted = [sums(1)]
    await flusher.flush_now()
    assert num_tokens(ledger) == 1
    await flusher.stop()


async def test_an_engine_that_is_ended_on_purpose_is_flushed_first_and_nobody_is_alarmed(
    engine: Engine, ledger: Ledger, log: pytest.LogCaptureFixture
):
    flusher = Flusher(engine.drain, ledger, interval_s=FAST_S)
    flusher.start()
    engine.counted = [sums(1)]
    await flusher.flush_before_engine_ends()
    engine.error = EngineDeadError("the engine ended")
    await asyncio.sleep(10 * FAST_S)
    await flusher.stop()
    assert num_tokens(ledger) == 1
    assert not log.records


async def test_stopping_while_the_store_is_away_ends_in_time_and_says_what_is_lost(
    engine: Engine, ledger: Ledger, tmp_path: Path, log: pytest.LogCaptureFixture
):
    flusher = Flusher(engine.drain, ledger, interval_s=3600)
    flusher.start()
    engine.counted = [sums(1), sums(1, key("a"))]
    with Lock(tmp_path):
        await flusher.stop()
    assert "2 groups unflushed" in log.text


async def test_stopping_does_not_wait_for_an_engine_that_never_answers(
    engine: Engine, ledger: Ledger, log: pytest.LogCaptureFixture
):
    engine.gate = asyncio.Event()
    flusher = Flusher(engine.drain, ledger, interval_s=3600)
    ledger.add([sums(1)])
    await flusher.stop(timeout_s=FAST_S)
    assert "unflushed" in log.text or num_tokens(ledger) == 1


async def test_a_reset_takes_what_the_engine_still_holds(engine: Engine, ledger: Ledger, flusher: Flusher):
    engine.counted = [sums(1)]
    await flusher.flush_now()
    engine.counted = [sums(2)]
    await flusher.reset()
    await flusher.flush_now()
    assert num_tokens(ledger) == 0
    assert sum(ledger.facts().tokens.values()) == 3


async def test_what_other_servers_changed_is_looked_for_by_the_clock(engine: Engine, ledger: Ledger):
    looks = []

    async def refresh() -> None:
        looks.append(1)
        if len(looks) == 1:
            raise StorageError("not now")

    flusher = Flusher(engine.drain, ledger, interval_s=FAST_S, refresh=refresh)
    flusher.start()
    await until(lambda: len(looks) > 2)
    await flusher.stop()
