"""The probe: a request runs through the engine unsteered, for one token, so that its routing tells what it is about.

It goes the way of the request itself, vLLM's own route, which alone knows how the prompt is rendered and checked.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from polyglyph.contract.errors import GuessFailedError
from polyglyph.contract.plan import PHASES
from polyglyph.routing.ticket import CURRENT_TICKET, Ticket
from polyglyph.routing.wire import Receipt
from polyglyph.server.accounts import Recorders
from polyglyph.server.bodies import ClientGoneError, replay, with_content_length
from polyglyph.server.dialects import Dialect
from polyglyph.server.guessing import Guessed, PendingGuess
from polyglyph.server.questions import FIELDS, Question
from polyglyph.server.resolution import Resolver

_LEFT_OUT = frozenset(
    {
        *FIELDS,
        *("max_tokens", "max_completion_tokens", "max_output_tokens", "min_tokens"),
        *("n", "best_of", "stream", "stream_options", "echo"),
        *("logprobs", "top_logprobs", "prompt_logprobs", "return_token_ids"),
        *("request_id", "kv_transfer_params"),
    }
)
"""Fields of a request that say how much is generated and how it is shown, not what the prompt is."""


class RefusedByVllmError(Exception):
    """vLLM refused the probe, as it would the request; `answer` is what it said."""

    def __init__(self, answer: "KeptAnswer") -> None:
        super().__init__(f"vLLM answered {answer.status}")
        self.answer = answer


@dataclass
class KeptAnswer:
    """A response that goes to no client, and an app that gives it to one after all."""

    messages: list[Message] = field(default_factory=list)

    @property
    def status(self) -> int:
        """HTTP status; 0 when there was no response."""
        return int(self.messages[0]["status"]) if self.messages else 0

    async def keep(self, message: Message) -> None:
        """Take one ASGI message from the app."""
        self.messages.append(message)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Give the response."""
        del scope, receive
        for message in self.messages:
            await send(message)


@dataclass
class WatchedReceive:
    """A client's `receive` that remembers whether the client went away."""

    receive: Receive
    is_gone: bool = False

    async def __call__(self) -> Message:
        """Give the next message."""
        message = await self.receive()
        self.is_gone = self.is_gone or message["type"] == "http.disconnect"
        return message


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Asks the engine for the routing of one request's prompt.

    Attributes:
        app: vLLM's.
        dialect: The route's way of speaking.
        recorders: Where receipts are fetched, and guesses counted.
        resolver: Chooses the plan when the guess is made.
    """

    app: ASGIApp
    dialect: Dialect
    recorders: Recorders
    resolver: Resolver

    async def settle(self, question: Question, body: Mapping[str, Any], *, scope: Scope, receive: Receive) -> Question:
        """Give the question with its pattern and source guessed and its plan chosen.

        Raises:
            RefusedByVllmError: vLLM refuses the request.
            GuessFailedError: The engine did not serve the probe, or gave no account of it.
            ClientGoneError: The client disconnected.
            RequestError: The chosen plan is gone or has become impossible.
        """
        pending = question.resolution.pending
        assert pending is not None
        try:
            guessed = await self._guess(pending, question, body, scope=scope, receive=receive)
        except GuessFailedError:
            self._count_failed(pending)
            raise
        return replace(question, resolution=self.resolver.settle(pending, guessed))

    def _count_failed(self, pending: PendingGuess) -> None:
        metrics = self.recorders.metrics
        if pending.policy.patterns is not None:
            metrics.count_guess(guess="pattern", outcome="failed")
        if pending.probe is not None:
            metrics.count_guess(guess=pending.probe.kind, outcome="failed")

    async def _guess(
        self, pending: PendingGuess, question: Question, body: Mapping[str, Any], *, scope: Scope, receive: Receive
    ) -> Guessed:
        ticket = Ticket(question.probe_payload())
        answer, is_gone = await self._run(ticket, self._probe_body(body), scope=scope, receive=receive)
        receipt = await self.recorders.workers.take_receipt(ticket.payload.key) if ticket.num_engine_requests else None
        if is_gone:
            raise ClientGoneError
        if not ticket.num_engine_requests and 400 <= answer.status < 500:
            raise RefusedByVllmError(answer)
        return _read(receipt, pending, status=answer.status)

    async def _run(self, ticket: Ticket, body: bytes, *, scope: Scope, receive: Receive) -> tuple[KeptAnswer, bool]:
        answer, watched = KeptAnswer(), WatchedReceive(receive)
        token = CURRENT_TICKET.set(ticket)
        try:
            await self.app(_probe_scope(scope, len(body)), replay(body, watched), answer.keep)
        finally:
            CURRENT_TICKET.reset(token)
        return answer, watched.is_gone

    def _probe_body(self, body: Mapping[str, Any]) -> bytes:
        kept = {name: value for name, value in body.items() if name not in _LEFT_OUT}
        return json.dumps(kept | dict(self.dialect.probe_fields)).encode("ascii")


def _probe_scope(scope: Scope, length: int) -> Scope:
    """Give the request's scope for the probe: with the length of its body, and a request id of its own."""
    scope = with_content_length(scope, length)
    headers = [(name, value) for name, value in scope["headers"] if name != b"x-request-id"]
    return {**scope, "headers": headers, "state": dict(scope.get("state", {}))}


def _read(receipt: Receipt | None, pending: PendingGuess, *, status: int) -> Guessed:
    if receipt is None or receipt.selected is None:
        raise GuessFailedError(
            "steering: the plan could not be chosen: the unsteered pass over the prompt that the policy asks for ended "
            f"with status {status} and left no account of its routing; the request was not served",
            param="steering",
        )
    try:
        return pending.read(receipt.selected[PHASES.index("prompt")])
    except ValueError as error:
        raise GuessFailedError(f"steering: the plan could not be chosen: {error}", param="steering") from error
