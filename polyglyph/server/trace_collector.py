"""Carries the traces of finished requests from the workers to the files of `--trace-dir`."""

import asyncio
from collections.abc import Sequence

from polyglyph.contract.sums import GroupSums
from polyglyph.contract.trace import SequenceTrace, TraceHeader
from polyglyph.routing.reports import EngineReport
from polyglyph.routing.wire import DrainedTrace, WorkerTrace
from polyglyph.server.accounts import Recorders
from polyglyph.server.token_traces import scripts_of
from polyglyph.server.trace_files import TraceWriter


class TraceCollector:
    """Drains the workers' traces whenever it drains their sums.

    Args:
        recorders: The workers, and what labels tokens and counts what was lost.
        writer: Writes the files.
    """

    def __init__(self, recorders: Recorders, writer: TraceWriter) -> None:
        self._recorders = recorders
        self._writer = writer

    async def drain_with_stats(self) -> tuple[GroupSums, ...]:
        """Take the traces, then the sums of the engine; given to the flusher in place of `Workers.drain_stats`."""
        await self.collect()
        return await self._recorders.workers.drain_stats()

    async def drain_alone(self) -> tuple[GroupSums, ...]:
        """Take the traces of an engine that keeps no sums."""
        await self.collect()
        return ()

    async def collect(self) -> None:
        """Hand finished requests' traces to the writer."""
        drained = await self._recorders.workers.drain_traces()
        if drained:
            await asyncio.to_thread(self._write, drained)

    def close(self) -> None:
        """Write what waits and end the writer; call it in a thread."""
        self._writer.close()

    def _write(self, drained: Sequence[DrainedTrace]) -> None:
        for one in drained:
            if one.trace is None:
                self._recorders.metrics.count_dropped_traces(1)
            else:
                self._writer.add(self._sequence(one, one.trace))

    def _sequence(self, one: DrainedTrace, trace: WorkerTrace) -> SequenceTrace:
        return SequenceTrace(
            request_id=one.request_id,
            sequence=one.sequence,
            tag=one.tag,
            plan=one.plan,
            request_script=one.request_script,
            scripts=scripts_of(trace, self._recorders.labeller),
            **vars(trace),
        )


def trace_header(report: EngineReport) -> TraceHeader:
    """Say what the traces of a server are of."""
    binding = report.model.binding
    return TraceHeader(
        model_fingerprint=binding.fingerprint,
        layers=binding.layers,
        experts=binding.experts,
        top_k=binding.top_k,
        versions=report.versions,
    )
