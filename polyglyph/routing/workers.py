"""The front end's way to the workers: what is hooked, receipts of finished requests, sums and traces."""

import asyncio
from typing import Any, Protocol

from polyglyph.contract.sums import GroupSums
from polyglyph.routing.reports import EngineReport, merge_reports
from polyglyph.routing.wire import DrainedTrace, Receipt, decode_drain, decode_finished, merge_receipts

COPY_POLL_S = 0.005
"""How long a copy from the device is left alone before it is asked for again."""


class EngineClient(Protocol):
    """The part of vLLM's engine client that is used here."""

    async def collective_rpc(
        self,
        method: str,
        timeout: float | None = None,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> list[Any]:
        """Call a worker method on every worker."""


class Workers:
    """Asks every worker of an engine, and merges what they answer."""

    def __init__(self, engine: EngineClient) -> None:
        self._engine = engine
        self._report: EngineReport | None = None
        self._waiting: dict[str, asyncio.Future[Receipt | None]] = {}
        self._fetching: asyncio.Task[None] | None = None
        self._stats_serial = 0
        self._traces_serial = 0

    async def report(self) -> EngineReport:
        """Ask every worker for its hooks.

        Raises:
            MissingHooksError: A worker lacks a hook on one of its MoE layers, or its hooks did not run.
        """
        self._report = merge_reports(await self._ask("polyglyph_report"))
        return self._report

    async def look(self) -> EngineReport:
        """Ask every worker for its hooks as they are now, whatever is wrong with them."""
        return merge_reports(await self._ask("polyglyph_report"), is_strict=False)

    async def take_receipt(self, key: str) -> Receipt | None:
        """Fetch and forget the receipt of a finished request; None when no worker knows the key.

        Receipts asked for while a call is under way share the next one.
        """
        future: asyncio.Future[Receipt | None] = asyncio.get_running_loop().create_future()
        self._waiting[key] = future
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch_receipts())
        return await future

    async def drain_stats(self) -> tuple[GroupSums, ...]:
        """Take the sums since the last drain; each is given once, whatever fails on the way."""
        report = self._report or await self.report()
        while True:
            wire = (await self._ask("polyglyph_drain_stats", (self._stats_serial,)))[0]
            drained = decode_drain(wire, report.model)
            if drained.groups is not None:
                self._stats_serial = drained.serial
                return drained.groups
            await asyncio.sleep(COPY_POLL_S)

    async def drain_traces(self) -> tuple[DrainedTrace, ...]:
        """Take the traces of requests that finished since the last drain, where the server keeps all."""
        report = self._report or await self.report()
        traces: list[DrainedTrace] = []
        has_more = True
        while has_more:
            wire = (await self._ask("polyglyph_drain_traces", (self._traces_serial,)))[0]
            self._traces_serial, has_more = wire["serial"], wire["has_more"]
            traces += [decode_finished(trace, report.model) for trace in wire["traces"]]
        return tuple(traces)

    async def _fetch_receipts(self) -> None:
        while self._waiting:
            waiting, self._waiting = self._waiting, {}
            try:
                answers = await self._ask("polyglyph_take_receipts", (list(waiting),))
                report = self._report or await self.report()
                receipts = merge_receipts(answers, report.model)
            except BaseException as error:
                # The callers wait on their futures, not on this task: each of them must hear of it.
                for future in waiting.values():
                    if not future.done():
                        future.set_exception(error)
                self._fetching = None
                raise
            for key, future in waiting.items():
                if not future.done():
                    future.set_result(receipts.get(key))
        self._fetching = None

    async def _ask(self, method: str, args: tuple[Any, ...] = ()) -> list[Any]:
        return await self._engine.collective_rpc(method, args=args)
