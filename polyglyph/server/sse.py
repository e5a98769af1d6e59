"""Server-sent events: cut out of a byte stream wherever its chunks fall, and changed without touching the rest."""

import json
import re
from dataclasses import dataclass
from typing import Any

_BLANK_LINE = re.compile(rb"\n\r?\n")
_LONGEST_BLANK_LINE = 3
DONE = b"[DONE]"


class EventSplitter:
    """Cuts a byte stream into events, each with the blank line that ends it; together they are the stream."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take a chunk and give the events that it completes."""
        # The blank line may have begun in the last chunk.
        search_from = max(0, len(self._pending) - _LONGEST_BLANK_LINE + 1)
        self._pending += chunk
        events = []
        start = 0
        while match := _BLANK_LINE.search(self._pending, max(search_from, start)):
            events.append(bytes(self._pending[start : match.end()]))
            start = match.end()
        del self._pending[:start]
        return events

    def rest(self) -> bytes:
        """Give what came after the last whole event."""
        rest = bytes(self._pending)
        self._pending.clear()
        return rest


@dataclass(frozen=True)
class Event:
    """One event.

    Attributes:
        raw: Its bytes as they came.
        data: Its data lines joined; None for a comment.
    """

    raw: bytes
    data: bytes | None

    @classmethod
    def parse(cls, raw: bytes) -> "Event":
        """Read an event's data."""
        data = [line.removeprefix(b"data:").removeprefix(b" ") for line in _lines(raw) if line.startswith(b"data:")]
        return cls(raw=raw, data=b"\n".join(data) if data else None)

    @property
    def is_done(self) -> bool:
        """Whether this is OpenAI's end mark."""
        return self.data is not None and self.data.strip() == DONE

    def document(self) -> dict[str, Any] | None:
        """Give the data as a JSON object, or None when it is none."""
        if self.data is None:
            return None
        try:
            document = json.loads(self.data)
        except (ValueError, RecursionError):
            return None
        return document if isinstance(document, dict) else None

    def with_document(self, document: dict[str, Any]) -> "Event":
        """Give the event with other data; its other lines stay."""
        others = [line for line in _lines(self.raw) if line and not line.startswith(b"data:")]
        return Event.parse(encode_event(document, *others))


def encode_event(document: dict[str, Any], *lines: bytes) -> bytes:
    """Write an event with JSON data, after other lines such as `event: error`."""
    return b"".join(line + b"\n" for line in (*lines, b"data: " + encode_json(document))) + b"\n"


def encode_json(document: Any) -> bytes:
    """Write compact JSON in UTF-8, in ASCII where lone surrogates leave no choice."""
    try:
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(document, separators=(",", ":")).encode("ascii")


def _lines(raw: bytes) -> list[bytes]:
    # Not splitlines: JSON text may hold bytes that Python takes for line ends.
    return [line.removesuffix(b"\r") for line in raw.split(b"\n")]
