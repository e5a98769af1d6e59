"""What a response says of its steering and routing: the opening words, and the account when all is done."""

import asyncio
from dataclasses import dataclass
from typing import Any

import numpy as np

from polyglyph.contract.errors import SteeringLostError, TraceLostError
from polyglyph.contract.readout import Readout, read_out
from polyglyph.contract.routing import ArrayDocument, RoutingEcho, RoutingRequest, RoutingSummary
from polyglyph.routing.reports import EngineReport
from polyglyph.routing.scripts.labeller import ScriptLabeller
from polyglyph.routing.ticket import Ticket
from polyglyph.routing.wire import Receipt, WorkerTrace
from polyglyph.routing.workers import Workers
from polyglyph.server.metrics.counts import Metrics
from polyglyph.server.questions import Question
from polyglyph.server.token_traces import describe_tokens, encode_for_vllm

_KNOWN_AT_THE_END = {"tokens_steered", "dose"}


@dataclass(frozen=True, kw_only=True)
class Recorders:
    """What an account is written with.

    Attributes:
        workers: Where receipts are fetched.
        report: The model as loaded.
        labeller: Finds the scripts of tokens.
        metrics: Metrics what was done.
    """

    workers: Workers
    report: EngineReport
    labeller: ScriptLabeller
    metrics: Metrics


class Account:
    """Writes the `steering` and `routing` fields of one request's response.

    Args:
        ticket: The request's ticket.
        question: What it asked.
        recorders: What the account is written with.
    """

    def __init__(self, ticket: Ticket, *, question: Question, recorders: Recorders) -> None:
        self._ticket = ticket
        self._echo = question.resolution.echo(question.script, entity_script=question.entity_script)
        self._label = question.resolution.label
        self._routing = question.routing
        self._readouts = question.readouts
        self._prompt_start = question.prompt_start
        self._recorders = recorders

    @property
    def needs_receipt(self) -> bool:
        """Whether the engine must have taken the request up for the response to be true."""
        return self._ticket.payload.wants_receipt

    def check_taken_up(self) -> None:
        """Refuse to go on with a request that the engine serves without its ticket.

        Raises:
            SteeringLostError: No engine request carried the ticket.
        """
        if self.needs_receipt and not self._ticket.num_engine_requests:
            self._recorders.metrics.count_lost()
            raise SteeringLostError(
                "the engine did not take up what the request asked for: no engine request was made with it; "
                "GET /v1/routing/model shows the hooks, and the server's log why one is missing"
            )

    def opening(self) -> dict[str, Any]:
        """Give the fields of a stream's first event."""
        return {"steering": self._echo.model_dump(mode="json", exclude=_KNOWN_AT_THE_END)}

    async def closing(self) -> dict[str, Any]:
        """Give the fields of a finished response.

        Raises:
            SteeringLostError: The engine served the request without what was asked.
            TraceLostError: The workers had to drop its trace.
        """
        self.check_taken_up()
        receipt = await self._take_receipt()
        totals = {"tokens_steered": receipt.tokens_steered, "dose": receipt.dose} if receipt else {}
        echo = self._echo.model_copy(update={"tokens_steered": 0, "dose": 0.0, **totals})
        if receipt is not None and echo.applied:
            self._recorders.metrics.observe_dose(plan=self._label, dose=receipt.dose)
        fields = {"steering": echo.model_dump(mode="json")}
        if self._routing is None:
            return fields
        routing = await asyncio.to_thread(self._describe_routing, receipt)
        fields["routing"] = routing.model_dump(mode="json", exclude_none=True)
        if routing.readouts is not None:
            # Of a readout, what could not be computed is null.
            fields["routing"]["readouts"] = {
                name: readout.model_dump(mode="json") for name, readout in routing.readouts.items()
            }
        return fields

    def _describe_routing(self, receipt: Receipt | None) -> RoutingEcho:
        """Write the `routing` field; a long sequence takes a while, so that this runs in a thread."""
        assert self._routing is not None
        echo = RoutingEcho(tag=self._routing.tag or None)
        if receipt is None:
            return echo
        if "summary" in self._routing.return_:
            echo = echo.model_copy(update={"summary": summarize(receipt, self._routing)})
        if self._routing.wants_readouts:
            echo = echo.model_copy(update={"readouts": self._read_out(receipt)})
        if not self._routing.wants_tokens:
            return echo
        return echo.model_copy(update=self._describe_tokens(receipt))

    def _read_out(self, receipt: Receipt) -> dict[str, Readout]:
        assert receipt.selected is not None
        assert receipt.num_tokens is not None
        routers = self._recorders.report.model.routers
        num_tokens = receipt.num_tokens.tolist()
        return {
            experts.name: read_out(experts, receipt.selected, num_tokens, routers=routers) for experts in self._readouts
        }

    def _describe_tokens(self, receipt: Receipt) -> dict[str, Any]:
        assert self._routing is not None
        traces = [self._checked(trace) for trace in receipt.traces]
        report = self._recorders.report
        if self._routing.format == "vllm":
            encoded = [encode_for_vllm(trace, report, prompt_start=self._prompt_start) for trace in traces]
            return {"routed_experts": tuple(encoded)}
        sequences = [
            describe_tokens(trace, self._routing, model=report.model, labeller=self._recorders.labeller)
            for trace in traces
        ]
        return {"tokens": sequences[0]} if len(sequences) == 1 else {"sequences": tuple(sequences)}

    def _checked(self, trace: WorkerTrace | None) -> WorkerTrace:
        if trace is None:
            self._recorders.metrics.count_dropped_traces(1)
            raise TraceLostError(
                "routing.return: the workers held too many tokens of traced requests at once and had to drop this "
                "request's; ask again, trace fewer requests at a time, or start the server with a larger "
                "--max-trace-bytes",
                param="routing.return",
            )
        return trace

    async def _take_receipt(self) -> Receipt | None:
        if not self.needs_receipt:
            return None
        payload = self._ticket.payload
        receipt = await self._recorders.workers.take_receipt(payload.key)
        is_whole = (
            receipt is not None
            and (receipt.selected is not None or not payload.wants_summary)
            and (len(receipt.traces) == self._ticket.num_sequences or payload.trace is None)
        )
        if not is_whole:
            self._recorders.metrics.count_lost()
            raise SteeringLostError(
                "the workers have no account of this request, so it is not known to have been served as asked"
            )
        return receipt


def summarize(receipt: Receipt, request: RoutingRequest) -> RoutingSummary:
    """Give a request's own sums in the form that was asked for."""
    assert receipt.num_tokens is not None
    assert receipt.selected is not None
    layers = request.layers or tuple(range(receipt.num_layers))
    selected_PLE = receipt.selected[:, list(layers)].astype(np.int32)
    weight_sum = None
    if request.weights:
        assert receipt.weight_sum is not None
        weight_sum = ArrayDocument.from_numpy(receipt.weight_sum[:, list(layers)].astype(np.float32))
    return RoutingSummary(
        layers=layers,
        num_tokens=tuple(int(count) for count in receipt.num_tokens),
        selected=ArrayDocument.from_numpy(selected_PLE),
        weight_sum=weight_sum,
    )
