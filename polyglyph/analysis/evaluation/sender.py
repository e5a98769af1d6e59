"""Sends a request until it is answered, and waits where the server is busy, starting anew, or gone for a while."""

import asyncio
import random
import time
from typing import TYPE_CHECKING, Any, TypeVar

from polyglyph.analysis.evaluation.errors import EvaluationFailedError, UnsteeredAnswerError
from polyglyph.analysis.evaluation.reply import Reply, question
from polyglyph.clients.calls import Call
from polyglyph.clients.errors import ServerUnreachableError
from polyglyph.clients.profile.asking import StatusError
from polyglyph.clients.profile.stop import Stop
from polyglyph.contract.errors import PolyglyphError, SteeringLostError

if TYPE_CHECKING:
    from polyglyph.clients.async_client import AsyncPolyglyph

T = TypeVar("T")

FIRST_WAIT_S = 0.25
LONGEST_WAIT_S = 5.0
LONGEST_ASKED_WAIT_S = 60.0
"""Longest wait that a server's `Retry-After` can ask for."""
NUM_FAILURES = 3
"""How often one request may fail inside the server before the run ends."""

AWAY = frozenset({408, 429, 502, 503, 504})
"""Answers of a server that is busy, or of what stands before one that is gone."""


class StoppedError(PolyglyphError):
    """The run was stopped while a request waited to be sent again."""


class Sender:
    """Sends requests.

    Args:
        client: The server.
        stop: When asked, what waits to be sent again gives up.
        patience_s: How long to go on trying while nothing answers.
    """

    def __init__(self, client: "AsyncPolyglyph", stop: Stop, *, patience_s: float) -> None:
        self._client, self._stop, self._patience_s = client, stop, patience_s
        self._answered_at = time.monotonic()

    async def send(self, body: dict[str, Any]) -> tuple[Reply, float]:
        """Send a chat request; gives its answer and how long that took, in seconds, waiting for the server left out.

        Raises:
            StoppedError: The run was stopped before there was an answer.
            ServerUnreachableError: Nothing answered for longer than the run's patience.
            UnsteeredAnswerError: The engine did not take up the steering.
            EvaluationFailedError: The request failed inside the server every time.
            PolyglyphError: The server refuses the request.
        """
        return await self.ask(question(body))

    async def ask(self, call: Call[T]) -> tuple[T, float]:
        """Send any request until it is answered; gives and raises what `send` does.

        Args:
            call: Its `check` raises `StatusError`.
        """
        begun = time.monotonic()
        num_tries = num_failures = 0
        while True:
            started = time.monotonic()
            try:
                reply = await self._client.send(call)
                if not (isinstance(reply, Reply) and reply.is_cut_off):
                    self._answered_at = time.monotonic()
                    return reply, self._answered_at - started
                reason, asked_s = f"it ends its answers with {reply.finish_reason!r}", 0.0
            except StatusError as answer:
                num_failures += self._weigh(answer)
                if num_failures >= NUM_FAILURES:
                    raise EvaluationFailedError(f"the server failed {num_failures} times: {answer.error}") from answer
                reason, asked_s = f"it answers {answer.status}", answer.retry_after_s
            except ServerUnreachableError as error:
                reason, asked_s = str(error.__cause__ or error), 0.0
            if time.monotonic() - max(begun, self._answered_at) > self._patience_s:
                raise ServerUnreachableError(self._client.url, f"{reason}, for {self._patience_s:.0f} s")
            num_tries += 1
            await self._wait(max(min(asked_s, LONGEST_ASKED_WAIT_S), _back_off_s(num_tries)))

    def _weigh(self, answer: StatusError) -> bool:
        """Tell what another try may mend from what it cannot; gives whether it is a failure inside the server."""
        if isinstance(answer.error, SteeringLostError):
            raise UnsteeredAnswerError(str(answer.error)) from answer
        if answer.status in AWAY:
            return False
        if answer.status < 500:
            raise answer.error
        return True

    async def _wait(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stop.asked.wait(), seconds)
        except TimeoutError:
            return
        raise StoppedError("the run was stopped")


def _back_off_s(num_tries: int) -> float:
    """Give a wait that doubles with every try, with chance in it, so that not all come back at once."""
    longest = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(num_tries, 16))
    return longest * (0.5 + random.random() / 2)
