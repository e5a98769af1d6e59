"""Sends requests to the server, and waits where the server is busy, starting anew, or gone for a while."""

import asyncio
import random
import time
from typing import TYPE_CHECKING

import httpx

from polyglyph.clients.errors import ServerUnreachableError
from polyglyph.clients.profile.asking import Asking, Question, StatusError
from polyglyph.clients.profile.document import Document
from polyglyph.clients.profile.stop import Stop
from polyglyph.clients.profile.usage import Usage
from polyglyph.contract.errors import PolyglyphError

if TYPE_CHECKING:
    from polyglyph.clients.async_client import AsyncPolyglyph

FIRST_WAIT_S = 0.25
LONGEST_WAIT_S = 15.0
LONGEST_ASKED_WAIT_S = 60.0
"""Longest wait that a server's `Retry-After` can ask for."""
NUM_FAILURES = 3
"""How often a request may fail inside the server before its document is passed over."""

BUSY = frozenset({408, 429, 503})
"""Answers of a server, or of what stands before it, that has not begun the request."""
LOST = frozenset({502, 504})
"""Answers of a proxy that lost the server: the request may have been computed."""
OF_EVERY_REQUEST = ("steering", "routing", "model", "cache_salt")
"""Fields that are the same in every request: what is wrong with one of them is not the document's fault."""


class TooLongError(PolyglyphError):
    """A request over the model's context, or over the server's largest body."""


class RefusedError(PolyglyphError):
    """A request that the server refuses for its content."""


class FailedError(PolyglyphError):
    """A request that failed inside the server every time."""


class StoppedError(PolyglyphError):
    """The run was stopped while a request waited to be sent again."""


class Sender:
    """Sends requests, as many at once as allowed.

    Args:
        client: The server.
        asking: What all requests have in common.
        stop: When asked, what waits to be sent again gives up.
        concurrency: Requests in flight at once.
        patience_s: How long to go on trying while nothing answers.

    Attributes:
        num_unsure: Requests that the server may have computed, wholly or in part, without an answer that came.
    """

    def __init__(
        self, client: "AsyncPolyglyph", asking: Asking, stop: Stop, *, concurrency: int, patience_s: float
    ) -> None:
        self.num_unsure = 0
        self._client, self._asking, self._stop = client, asking, stop
        self._patience_s = patience_s
        self._slots = asyncio.Semaphore(concurrency)
        self._answered_at = time.monotonic()

    async def send(self, document: Document, text: str | None) -> Usage:
        """Send one request until it is answered.

        Args:
            document: Where the request comes from.
            text: The document's text, or a part of it; None for messages.

        Raises:
            TooLongError: It must be cut.
            RefusedError: The server refuses it for its content.
            FailedError: It failed inside the server every time.
            StoppedError: The run was stopped before there was an answer.
            ServerUnreachableError: Nothing answered for longer than the run's patience.
            PolyglyphError: The server refuses what all requests have in common.
        """
        async with self._slots:
            started = time.monotonic()
            num_tries = num_failures = 0
            while True:
                question = self._asking.question(document, text)  # made anew each time: a salt is used once
                if self._asking.is_too_large(question):
                    raise TooLongError(f"the request is over the server's {self._asking.max_body_bytes} bytes")
                try:
                    return await self._ask(question)
                except StatusError as answer:
                    num_failures += self._weigh(answer)
                    if num_failures >= NUM_FAILURES:
                        raise FailedError(str(answer.error)) from answer
                    reason, asked_s = f"it answers {answer.status}", answer.retry_after_s
                except ServerUnreachableError as error:
                    self.num_unsure += not _never_arrived(error)
                    reason, asked_s = str(error.__cause__ or error), 0.0
                if time.monotonic() - max(started, self._answered_at) > self._patience_s:
                    raise ServerUnreachableError(self._client.url, f"{reason}, for {self._patience_s:.0f} s")
                num_tries += 1
                await self._wait(max(min(asked_s, LONGEST_ASKED_WAIT_S), _back_off_s(num_tries)))

    async def _ask(self, question: Question) -> Usage:
        try:
            usage = await self._client.send(question)
        except asyncio.CancelledError:
            self.num_unsure += 1
            raise
        self._answered_at = time.monotonic()
        return usage

    def _weigh(self, answer: StatusError) -> bool:
        """Tell what another try may mend from what it cannot; gives whether it is a failure inside the server."""
        if answer.status in BUSY:
            return False
        if answer.status in LOST:
            self.num_unsure += 1
            return False
        self._answered_at = time.monotonic()
        if answer.status < 500:
            raise _refusal(answer)
        self.num_unsure += 1
        return True

    async def _wait(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stop.asked.wait(), seconds)
        except TimeoutError:
            return
        raise StoppedError("the run was stopped")


def _refusal(answer: StatusError) -> PolyglyphError:
    """Tell whose fault a refusal is: the length's, the document's, or that of what all requests share."""
    param = str(getattr(answer.error, "param", None) or "")
    if answer.status == 413 or param in {"input_tokens", "input_text"} or "context length" in str(answer):
        return TooLongError(str(answer))
    is_of_all = answer.status in {401, 403, 404, 405} or param.startswith(OF_EVERY_REQUEST)
    return answer.error if is_of_all else RefusedError(str(answer))


def _never_arrived(error: ServerUnreachableError) -> bool:
    """Whether a request did not get as far as the server."""
    return isinstance(error.__cause__, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)


def _back_off_s(num_tries: int) -> float:
    """Give a wait that doubles with every try, with chance in it, so that not all come back at once."""
    longest = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(num_tries, 16))
    return longest * (0.5 + random.random() / 2)
