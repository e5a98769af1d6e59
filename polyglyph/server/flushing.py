"""The loop that carries sums from the engine to the ledger and from there to the store, every second."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from polyglyph.contract.errors import StorageError
from polyglyph.contract.sums import GroupSums
from polyglyph.server.ledger import Ledger

logger = logging.getLogger("vllm.polyglyph")
STOP_TIMEOUT_S = 10.0


class Flusher:
    """Drains the engine and flushes the ledger, by the clock and on request, one at a time.

    A store that fails stops nothing: sums stay in the ledger, and the log has one line when it breaks and one when it
    is back. An engine that fails ends the loop.

    Args:
        drain: Takes what the engine counted since the last call.
        ledger: Holds it until the store has it.
        interval_s: Seconds between two flushes.
        refresh: Takes over what other servers changed in the store (plans, policy); called after each flush.
        is_idle: Whether no request has run since it was asked last; the clock leaves an idle engine alone.
    """

    def __init__(
        self,
        drain: Callable[[], Awaitable[Sequence[GroupSums]]],
        ledger: Ledger,
        *,
        interval_s: float,
        refresh: Callable[[], Awaitable[None]] | None = None,
        is_idle: Callable[[], bool] = lambda: False,
    ) -> None:
        self._drain = drain
        self._ledger = ledger
        self._interval_s = interval_s
        self._refresh = refresh
        self._is_idle = is_idle
        self._turn = asyncio.Lock()
        self._waiting: asyncio.Task[None] | None = None
        self._loop: asyncio.Task[None] | None = None
        self._is_broken = False
        self._engine_ends = False

    def start(self) -> None:
        """Begin to flush by the clock."""
        self._loop = asyncio.create_task(self._run(), name="polyglyph-flusher")
        self._loop.add_done_callback(self._log_end)

    async def stop(self, *, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """End the loop and flush a last time; what cannot be written within the time limit is lost, and logged."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
        try:
            async with asyncio.timeout(timeout_s):
                await self._flush_last()
        except (StorageError, TimeoutError) as error:
            unflushed = self._ledger.facts().unflushed_groups
            logger.warning("Stopped with the sums of %d groups unflushed: %s", unflushed, error or "out of time")

    async def flush_now(self) -> None:
        """Flush everything counted up to this call; callers that wait for their turn share one flush.

        Raises:
            StorageError: The store failed; the sums are kept.
        """
        if self._waiting is None:
            self._waiting = asyncio.create_task(self._flush_in_turn())
        await asyncio.shield(self._waiting)

    async def flush_before_engine_ends(self) -> None:
        """Flush while the engine still answers; that it falls silent afterwards is no fault.

        Raises:
            StorageError: The store failed; the sums are kept, for `stop` to try again.
        """
        self._engine_ends = True
        await self.flush_now()

    async def reset(self) -> None:
        """Reset the sums, those that the engine still holds included.

        Raises:
            StorageError: The store failed.
        """
        async with self._turn:
            self._ledger.add(await self._drain())
            await asyncio.to_thread(self._ledger.reset)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            with suppress(StorageError):
                await (self._flush_held() if self._is_idle() else self.flush_now())
            with suppress(StorageError):
                await self._look()

    async def _look(self) -> None:
        if self._refresh is not None:
            await self._refresh()

    async def _flush_in_turn(self) -> None:
        async with self._turn:
            # From here on sums may have been taken: who comes now waits for the next flush.
            self._waiting = None
            self._ledger.add(await self._drain())
            await self._flush_ledger()

    async def _flush_held(self) -> None:
        """Flush what the ledger holds, without asking the engine."""
        async with self._turn:
            await self._flush_ledger()

    async def _flush_ledger(self) -> None:
        try:
            await asyncio.to_thread(self._ledger.flush)
        except StorageError as error:
            if not self._is_broken:
                logger.warning("%s. Serving goes on; sums are kept in memory until the store is back.", error)
            self._is_broken = True
            raise
        if self._is_broken:
            logger.info("The server's store is back, and has all sums.")
        self._is_broken = False

    async def _flush_last(self) -> None:
        async with self._turn:
            (drained,) = await asyncio.gather(self._drain(), return_exceptions=True)
            if isinstance(drained, BaseException):
                self._log_silence(logging.WARNING, "The engine's last sums could not be read: %s", drained)
            else:
                self._ledger.add(drained)
            await self._flush_ledger()

    def _log_end(self, loop: asyncio.Task[None]) -> None:
        if not loop.cancelled() and (error := loop.exception()) is not None:
            self._log_silence(logging.ERROR, "The engine's sums are no longer read: %s", error)

    def _log_silence(self, level: int, text: str, error: BaseException) -> None:
        logger.log(logging.DEBUG if self._engine_ends else level, text, error or type(error).__name__)
