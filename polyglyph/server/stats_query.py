"""The parameters of `GET /v1/routing/stats`: format, columns to keep apart, filters and a time."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import get_args

from polyglyph.contract.errors import RequestError
from polyglyph.contract.exports.formats import FORMATS, Format
from polyglyph.contract.plan import PHASES
from polyglyph.contract.routing import TAG_PATTERN
from polyglyph.contract.sums import COLUMNS, Column, StatsQuery, overflow_key
from polyglyph.routing.scripts import is_script_of_text

PARAMETERS = ("format", "by", *COLUMNS, "since")
_FINGERPRINT = re.compile(r"sha256:[0-9a-f]{64}")
_SCRIPT = re.compile(r"[A-Z][a-z]{3}")
_UNIX_TIME = re.compile(r"\d{1,12}(\.\d{1,9})?")
_OVERFLOW_SCRIPT = overflow_key(PHASES[0]).script


@dataclass(frozen=True, kw_only=True)
class ExportRequest:
    """What a caller wants.

    Attributes:
        format: How the sums are written.
        query: Which sums.
        filters: The filters as given, a plan by its fingerprint; for the manifest.
    """

    format: Format
    query: StatsQuery
    filters: dict[str, str]


def read_export_request(
    parameters: Sequence[tuple[str, str]], *, fingerprint_of: Callable[[str], str], now: datetime
) -> ExportRequest:
    """Read the parameters of a URL.

    Args:
        parameters: Names and values as they came.
        fingerprint_of: Gives the fingerprint of a plan's name; may raise `UnknownPlanError`.
        now: What `since` must not be after.

    Raises:
        RequestError: `param` names the parameter; the text says what was expected and what came.
    """
    given = _once(parameters)
    kind, by, since = given.pop("format", "json"), given.pop("by", None), given.get("since")
    for column in ("request_script", "script"):
        _check_script(given.get(column), param=column)
    _check_phase(given.get("phase"))
    _check_tag(given.get("tag"))
    if given.get("plan") and not _FINGERPRINT.fullmatch(given["plan"]):
        given["plan"] = fingerprint_of(given["plan"])
    query = StatsQuery(
        by=_read_by(by),
        request_script=given.get("request_script"),
        script=given.get("script"),
        phase=given.get("phase"),
        plan=given.get("plan"),
        tag=given.get("tag"),
        since=None if since is None else _read_since(since, now=now),
    )
    return ExportRequest(format=_read_format(kind), query=query, filters=given)


def _once(parameters: Sequence[tuple[str, str]]) -> dict[str, str]:
    given: dict[str, str] = {}
    for name, value in parameters:
        if name not in PARAMETERS:
            raise RequestError(f"{name:.60}: there is no such parameter; there are {', '.join(PARAMETERS)}", param=name)
        if name in given:
            raise RequestError(f"{name}: expected once, came with {given[name]!r:.60} and {value!r:.60}", param=name)
        given[name] = value
    return given


def _read_format(text: str) -> Format:
    for name in FORMATS:
        if text == name:
            return name
    raise RequestError(f"format: expected {', '.join(FORMATS)}, got {text!r:.60}", param="format")


def _read_by(text: str | None) -> tuple[Column, ...]:
    """Read columns, in the order of tables; an empty text sums everything into one group."""
    if text is None:
        return COLUMNS
    names = text.split(",") if text else []
    for name in names:
        if name not in get_args(Column) or names.count(name) > 1:
            raise RequestError(
                f"by: expected columns out of {', '.join(COLUMNS)}, each once, got {text!r:.90}", param="by"
            )
    return tuple(column for column in COLUMNS if column in names)


def _read_since(text: str, *, now: datetime) -> datetime:
    since = _unix_time(text) if _UNIX_TIME.fullmatch(text) else _iso_time(text)
    if since is None:
        hint = "; a '+' in a URL is a space, write %2B or Z" if " " in text else ""
        raise RequestError(
            f"since: expected a time as 2026-01-31T12:00:00Z or seconds since 1970, got {text!r:.60}{hint}",
            param="since",
        )
    if since > now:
        raise RequestError(
            f"since: {since.isoformat()} is in the future, it is {now.isoformat()} here; "
            "sums are of the past: check the time and its zone",
            param="since",
        )
    return since


def _unix_time(text: str) -> datetime | None:
    seconds = float(text)
    try:
        return datetime.fromtimestamp(seconds, UTC) if math.isfinite(seconds) else None
    except (OverflowError, ValueError, OSError):
        return None


def _iso_time(text: str) -> datetime | None:
    """Read ISO 8601; a time without a zone is UTC."""
    try:
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (OverflowError, ValueError):
        return None


def _check_script(code: str | None, *, param: str) -> None:
    if code is None or code == _OVERFLOW_SCRIPT:
        return
    # ICU takes other spellings too, which no label has.
    if not (_SCRIPT.fullmatch(code) and is_script_of_text(code)):
        raise RequestError(f"{param}: expected a script's code like 'Cyrl' (ISO 15924), got {code!r:.60}", param=param)


def _check_phase(phase: str | None) -> None:
    if phase is not None and phase not in PHASES:
        raise RequestError(f"phase: expected {', '.join(PHASES)}, got {phase!r:.60}", param="phase")


def _check_tag(tag: str | None) -> None:
    if tag is not None and not re.fullmatch(TAG_PATTERN, tag):
        raise RequestError(
            f"tag: expected at most 64 letters, digits, '.', '_', ':' or '-', got {tag!r:.90}", param="tag"
        )
