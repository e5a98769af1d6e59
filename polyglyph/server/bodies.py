"""Request bodies: read up to the limit, parsed once, replayed to the app."""

import json
import math
from typing import Any

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope

from polyglyph.contract.errors import BodyTooLargeError, RequestError


class ClientGoneError(Exception):
    """The client went away before its body was read."""


async def read_body(scope: Scope, receive: Receive, *, limit: int) -> bytes:
    """Read a request's body.

    Up to twice the limit is read and thrown away before refusing, so that a client a little over it hears the reason
    instead of a reset connection.

    Raises:
        BodyTooLargeError: The body is longer than `limit` bytes.
        ClientGoneError: The client disconnected.
    """
    chunks: list[bytes] = []
    size = 0
    announced = _content_length(scope)
    if announced > 2 * limit:
        raise _too_large(announced, limit)
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= limit:
            chunks.append(chunk)
        if size > 2 * limit or not message.get("more_body", False):
            break
    if size > limit:
        raise _too_large(max(size, announced), limit)
    return b"".join(chunks)


def replay(body: bytes, receive: Receive) -> Receive:
    """Give a `receive` that hands out `body` first and then what comes from the client, such as its going away."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return pending.pop() if pending else await receive()

    return receive_again


def with_content_length(scope: Scope, length: int) -> Scope:
    """Give a copy of the scope that states another body length."""
    kept = [(name, value) for name, value in scope["headers"] if name not in {b"content-length", b"transfer-encoding"}]
    return {**scope, "headers": [*kept, (b"content-length", str(length).encode())]}


def read_json(body: bytes, *, root: str) -> Any:
    """Parse the JSON of our own routes, where nothing but plain JSON is accepted.

    Args:
        body: The bytes.
        root: What the body is, for error texts.

    Raises:
        RequestError: Not JSON, not UTF-8, a number that is not finite, a lone surrogate, or nested too deeply.
    """
    try:
        document = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant, parse_float=_finite)
        json.dumps(document, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise RequestError(f"{root}: expected a JSON document in UTF-8, got {_what(error)}", param=root) from error
    return document


def _content_length(scope: Scope) -> int:
    stated = Headers(scope=scope).get("content-length", "")
    return int(stated) if stated.isdecimal() and len(stated) < 20 else 0


def _too_large(size: int, limit: int) -> BodyTooLargeError:
    return BodyTooLargeError(
        f"the body has at least {size} bytes, but this server reads at most {limit} (--max-body-bytes)"
    )


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name}, which is no JSON number")


def _finite(literal: str) -> float:
    value = float(literal)
    if not math.isfinite(value):
        raise ValueError(f"{literal}, which is out of range")
    return value


def _what(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "one nested too deeply"
    return "a lone surrogate" if isinstance(error, UnicodeEncodeError) else str(error)
