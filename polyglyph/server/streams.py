"""A stream of events with our fields on its first event and on its last."""

from dataclasses import dataclass
from typing import Any

from polyglyph.contract.errors import SteeringLostError
from polyglyph.server.accounts import Account
from polyglyph.server.dialects import Dialect
from polyglyph.server.sse import Event, EventSplitter


@dataclass(frozen=True)
class _Held:
    event: Event
    document: dict[str, Any]


class StreamAnnotator:
    """Adds the response fields to a stream as it passes.

    Only an event that may be the last one is held back, until the next event shows that it was not, or the stream's
    end that it was. All others pass as they came, byte for byte.

    Args:
        dialect: The route's way of speaking.
        account: What to say.
    """

    def __init__(self, dialect: Dialect, account: Account) -> None:
        self._dialect = dialect
        self._account = account
        self._splitter = EventSplitter()
        self._held: _Held | None = None
        self._is_open = False
        self._is_lost = False

    async def feed(self, chunk: bytes) -> bytes:
        """Take a chunk and give the bytes that can go out."""
        return b"".join([await self._pass(Event.parse(raw)) for raw in self._splitter.feed(chunk)])

    async def finish(self) -> bytes:
        """Give what is left when the stream has ended."""
        return await self._close() + self._splitter.rest()

    async def _pass(self, event: Event) -> bytes:
        if event.data is None:
            return event.raw
        if event.is_done:
            return await self._close() + event.raw
        if self._is_lost:
            return b""
        document = event.document()
        before = self._release()
        if document is None or self._dialect.is_error(document):
            return before + event.raw
        try:
            return before + self._annotate(event, document)
        except SteeringLostError as error:
            return before + self._give_up(error)

    def _annotate(self, event: Event, document: dict[str, Any]) -> bytes:
        if not self._dialect.precedes_engine(document):
            self._account.check_taken_up()
        if not self._is_open:
            self._is_open = True
            document = self._dialect.add_fields(document, self._account.opening())
            event = event.with_document(document)
        if self._dialect.can_be_last(document):
            self._held = _Held(event, document)
            return b""
        return event.raw

    def _release(self) -> bytes:
        held, self._held = self._held, None
        return held.event.raw if held else b""

    async def _close(self) -> bytes:
        held, self._held = self._held, None
        if held is None:
            return b""
        try:
            fields = await self._account.closing()
        except SteeringLostError as error:
            return self._give_up(error)
        return held.event.with_document(self._dialect.add_fields(held.document, fields)).raw

    def _give_up(self, error: SteeringLostError) -> bytes:
        self._is_lost = True
        return self._dialect.encode_error(error)
