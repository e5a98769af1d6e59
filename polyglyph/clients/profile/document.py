"""One document of a corpus, and why something in a corpus is none."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from hashlib import sha256
from typing import Any

KEY_DIGITS = 32


class Reason(StrEnum):
    """Why something was skipped."""

    INVALID_UTF8 = "invalid UTF-8"
    LONE_SURROGATE = "lone surrogate"
    EMPTY = "empty"
    WRONG_TYPE = "wrong type"
    NO_CONTENT = "neither text nor messages"
    WRONG_TAG = "impossible tag"
    BROKEN_ROW = "broken row"
    BROKEN_FILE = "unreadable file"
    TOO_LARGE = "too large to read"
    TOO_LONG = "over the model's context"
    REFUSED = "refused by the server"
    FAILED = "failed in the server"


@dataclass(frozen=True)
class Place:
    """Where in a corpus something stands.

    Attributes:
        file: The file's path, relative to the corpus.
        line: Line of a text file or row of a table, from 1; None for a whole file.
    """

    file: str
    line: int | None = None

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Skip:
    """Something that was not sent, or not counted, and why."""

    place: Place
    reason: Reason
    detail: str = ""


@dataclass(frozen=True)
class Document:
    """What is sent as one request, or as several when it is over the model's context.

    Attributes:
        place: Where it stands.
        tag: Label of its tokens in the stats, or empty.
        text: A text to be completed; None for chat messages.
        messages: Chat messages; None for a text.
        id: The corpus's own name for it, if any.
    """

    place: Place
    tag: str = ""
    text: str | None = None
    messages: tuple[Mapping[str, Any], ...] | None = None
    id: str = ""

    @cached_property
    def key(self) -> str:
        """The digest of content and tag: equal documents have equal keys, wherever they stand."""
        content = json.dumps([self.tag, self.text, self.messages], sort_keys=True)
        return sha256(content.encode()).hexdigest()[:KEY_DIGITS]
