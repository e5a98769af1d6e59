"""One row of a corpus file, and the document in it."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from polyglyph.clients.profile.document import Document, Place, Reason, Skip
from polyglyph.contract.routing import TAG_PATTERN

CONTENT_COLUMNS = frozenset({"text", "messages"})
MAX_ROW_BYTES = 64 << 20
"""Longest line, paragraph or text file that is read into memory."""


@dataclass(frozen=True)
class Row:
    """A candidate for a document.

    Attributes:
        place: Where it stands.
        fields: Columns by name; `text`, `messages`, `tag` and `id` are read.
        end: Bytes of the file up to the row's end; an estimate where rows have no bytes of their own.
    """

    place: Place
    fields: Mapping[str, Any]
    end: int


@dataclass(frozen=True)
class BadRow:
    """A place where no row could be read."""

    skip: Skip
    end: int


def bad_row(place: Place, reason: Reason, detail: str, end: int) -> BadRow:
    """Say that no row could be read."""
    return BadRow(Skip(place, reason, detail), end)


def document_of(row: Row, *, default_tag: str = "") -> Document | Skip:
    """Give the document in a row, or why there is none.

    A row with both columns is a text; its own tag goes before the default one.
    """
    try:
        return _read(row, default_tag)
    except _NoDocumentError as error:
        return Skip(row.place, error.reason, str(error))


class _NoDocumentError(Exception):
    """Why a row holds no document; never leaves this module."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def _read(row: Row, default_tag: str) -> Document:
    tag = _tag(row.fields.get("tag"), default_tag)
    name = row.fields.get("id")
    common: dict[str, Any] = {"place": row.place, "tag": tag, "id": "" if name is None else str(name)}
    if row.fields.get("text") is not None:
        return Document(**common, text=_text(row.fields["text"]))
    if row.fields.get("messages") is not None:
        return Document(**common, messages=_messages(row.fields["messages"]))
    raise _NoDocumentError(Reason.NO_CONTENT, f"the row has {_list(row.fields)}")


def _tag(value: Any, default: str) -> str:
    if value is None:
        return default
    if not isinstance(value, str):
        raise _NoDocumentError(Reason.WRONG_TYPE, f"tag: expected text, got {_name(value)}")
    # Not `match`: Python's `$` also matches before a last line feed.
    if not re.fullmatch(TAG_PATTERN, value):
        raise _NoDocumentError(Reason.WRONG_TAG, f"expected {TAG_PATTERN}, got {value[:80]!r}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _NoDocumentError(Reason.WRONG_TYPE, f"text: expected text, got {_name(value)}")
    if not value.strip():
        raise _NoDocumentError(Reason.EMPTY, "text: nothing but white space")
    _check_encodable(value, "text")
    return value


def _messages(value: Any) -> tuple[Mapping[str, Any], ...]:
    if not isinstance(value, list):
        raise _NoDocumentError(Reason.WRONG_TYPE, f"messages: expected a list, got {_name(value)}")
    if not value:
        raise _NoDocumentError(Reason.EMPTY, "messages: an empty list")
    return tuple(_message(message, f"messages[{index}]") for index, message in enumerate(value))


def _message(value: Any, path: str) -> Mapping[str, Any]:
    """Check what every chat message has; the rest is the server's to judge."""
    if not isinstance(value, dict):
        raise _NoDocumentError(Reason.WRONG_TYPE, f"{path}: expected an object, got {_name(value)}")
    if not isinstance(value.get("role"), str):
        raise _NoDocumentError(Reason.WRONG_TYPE, f"{path}.role: expected text, got {_name(value.get('role'))}")
    # Tables write every column of every message; an absent field and a null one are the same.
    present = {name: part for name, part in value.items() if part is not None}
    try:
        text = json.dumps(present, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise _NoDocumentError(Reason.WRONG_TYPE, f"{path}: is no JSON: {error}") from error
    _check_encodable(text, path)
    return present


def _check_encodable(text: str, path: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        found = f"U+{ord(text[error.start]):04X} at character {error.start}"
        raise _NoDocumentError(Reason.LONE_SURROGATE, f"{path}: {found}") from error


def _name(value: Any) -> str:
    return "nothing" if value is None else type(value).__name__


def _list(fields: Mapping[str, Any]) -> str:
    names = ", ".join(repr(name)[:40] for name in list(fields)[:8])
    return names or "no columns"
