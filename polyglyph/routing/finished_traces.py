"""Traces of finished requests on a server that writes down all of them, until the front end has them."""

from typing import Any

from polyglyph.routing.groups import RequestGroup
from polyglyph.routing.requests import RequestRecord
from polyglyph.routing.traces import TokenTrace, TraceRecorder

MAX_BATCH_BYTES = 64 << 20
"""Size of one answer to the front end, which asks again while there is more."""


class FinishedTraces:
    """Hands finished traces to the front end in numbered batches; a batch is forgotten when it is acknowledged.

    Args:
        recorder: Holds the traces' memory to its bound.
    """

    def __init__(self, recorder: TraceRecorder) -> None:
        self._recorder = recorder
        self._waiting: list[tuple[dict[str, Any], TokenTrace]] = []
        self._batch: list[tuple[dict[str, Any], TokenTrace]] = []
        self._serial = 0

    def add(self, record: RequestRecord, group: RequestGroup) -> None:
        """Take the trace of a finished request."""
        assert record.trace is not None
        payload = record.payload
        origin = {
            "request_id": (payload.request_id if payload is not None else "") or record.req_id,
            "sequence": payload.sequence if payload is not None else 0,
            "request_script": group.script,
            "plan": group.plan,
            "tag": group.tag,
        }
        self._waiting.append((origin, record.trace))

    def drain(self, acknowledged: int) -> dict[str, Any]:
        """Give the next batch, or again the one that was not acknowledged.

        Args:
            acknowledged: Number of the last batch that the front end has, 0 for none.

        Returns:
            `serial`, `traces` as plain values and bytes, and `has_more`.
        """
        if self._serial == acknowledged:
            for _, trace in self._batch:
                self._recorder.close(trace)
            self._batch = self._take_batch()
            self._serial += 1
        self._recorder.settle()
        traces = [{**origin, **trace.to_wire()} for origin, trace in self._batch]
        return {"serial": self._serial, "traces": traces, "has_more": bool(self._waiting)}

    def _take_batch(self) -> list[tuple[dict[str, Any], TokenTrace]]:
        size, count = 0, 0
        while count < len(self._waiting) and size < MAX_BATCH_BYTES:
            size += self._waiting[count][1].num_bytes
            count += 1
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        return batch
