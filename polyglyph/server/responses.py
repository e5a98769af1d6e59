"""A response on its way out: our fields go into JSON answers and event streams, all else passes as it is."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import Message, Send

from polyglyph.contract.errors import SteeringLostError
from polyglyph.server.accounts import Account
from polyglyph.server.dialects import Dialect
from polyglyph.server.refusals import error_document
from polyglyph.server.sse import encode_json
from polyglyph.server.streams import StreamAnnotator


class AnnotatingSend:
    """Stands between the app and the client's `send` for one request.

    Args:
        send: The client's.
        dialect: The route's way of speaking.
        account: What to say.
    """

    def __init__(self, send: Send, *, dialect: Dialect, account: Account) -> None:
        self._send = send
        self._dialect = dialect
        self._account = account
        self._handle: Callable[[Message], Awaitable[None]] = self._start
        self._held_start: Message | None = None
        self._body = bytearray()
        self._stream = StreamAnnotator(dialect, account)

    async def __call__(self, message: Message) -> None:
        """Take one ASGI message from the app."""
        await self._handle(message)

    async def _start(self, message: Message) -> None:
        kind = Headers(raw=message.get("headers", [])).get("content-type", "").partition(";")[0].strip().lower()
        if message["type"] != "http.response.start" or message["status"] != 200:
            self._handle = self._send
        elif kind == "application/json":
            self._held_start = message
            self._handle = self._collect
            return
        elif kind == "text/event-stream":
            self._handle = self._annotate_stream
        else:
            self._handle = self._send
        await self._send(message)

    async def _collect(self, message: Message) -> None:
        if message["type"] != "http.response.body":
            await self._send(message)
            return
        self._body += message.get("body", b"")
        if not message.get("more_body", False):
            await self._send_json()

    async def _annotate_stream(self, message: Message) -> None:
        if message["type"] != "http.response.body":
            await self._send(message)
            return
        has_more = message.get("more_body", False)
        chunk = await self._stream.feed(message.get("body", b""))
        if not has_more:
            chunk += await self._stream.finish()
        if chunk or not has_more:
            await self._send({"type": "http.response.body", "body": chunk, "more_body": has_more})

    async def _send_json(self) -> None:
        assert self._held_start is not None
        status, body = await self._annotated_json()
        start = {**self._held_start, "status": status, "headers": list(self._held_start["headers"])}
        MutableHeaders(raw=start["headers"])["content-length"] = str(len(body))
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def _annotated_json(self) -> tuple[int, bytes]:
        document = _object_in(bytes(self._body))
        if document is None:
            return 200, bytes(self._body)
        try:
            return 200, encode_json(self._dialect.add_account(document, await self._account.closing()))
        except SteeringLostError as error:
            return error.status, encode_json(error_document(error, path=self._dialect.path))


def _object_in(body: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(body)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None
