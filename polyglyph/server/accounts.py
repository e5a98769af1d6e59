"""What a response says of its steering and routing: the opening words, and the account when all is done."""

from typing import Any

import numpy as np

from polyglyph.contract.errors import SteeringLostError
from polyglyph.contract.routing import ArrayDocument, RoutingEcho, RoutingRequest, RoutingSummary
from polyglyph.contract.steering import SteeringEcho
from polyglyph.routing.ticket import Ticket
from polyglyph.routing.wire import Receipt
from polyglyph.routing.workers import Workers

_KNOWN_AT_THE_END = {"tokens_steered", "dose"}


class Account:
    """Writes the `steering` and `routing` fields of one request's response.

    Args:
        ticket: The request's ticket.
        echo: What the steering resolved to.
        routing: The request's `routing` field, if it has one.
        workers: Where the receipt is fetched.
    """

    def __init__(self, ticket: Ticket, *, echo: SteeringEcho, routing: RoutingRequest | None, workers: Workers) -> None:
        self._ticket = ticket
        self._echo = echo
        self._routing = routing
        self._workers = workers

    @property
    def needs_receipt(self) -> bool:
        """Whether the engine must have taken the request up for the response to be true."""
        return self._ticket.payload.is_steered or self._ticket.payload.wants_summary

    def check_taken_up(self) -> None:
        """Refuse to go on with a request that the engine serves without its ticket.

        Raises:
            SteeringLostError: No engine request carried the ticket.
        """
        if self.needs_receipt and not self._ticket.num_engine_requests:
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
        """
        self.check_taken_up()
        receipt = await self._take_receipt()
        totals = {"tokens_steered": receipt.tokens_steered, "dose": receipt.dose} if receipt else {}
        echo = self._echo.model_copy(update={"tokens_steered": 0, "dose": 0.0, **totals})
        fields = {"steering": echo.model_dump(mode="json")}
        if self._routing is not None:
            summary = summarize(receipt, self._routing) if receipt and self._routing.return_ else None
            routing = RoutingEcho(summary=summary, tag=self._routing.tag or None)
            fields["routing"] = routing.model_dump(mode="json", exclude_none=True)
        return fields

    async def _take_receipt(self) -> Receipt | None:
        if not self.needs_receipt:
            return None
        receipt = await self._workers.take_receipt(self._ticket.payload.key)
        if receipt is None or (self._ticket.payload.wants_summary and receipt.selected is None):
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
