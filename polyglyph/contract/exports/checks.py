"""What must hold of stats that were read from a file, whatever its format."""

import re
from collections.abc import Sequence
from datetime import datetime

import numpy as np

from polyglyph.contract.errors import InvalidStatsError
from polyglyph.contract.exports.conservation import conservation_of
from polyglyph.contract.plan import PHASES
from polyglyph.contract.routing import TAG_PATTERN
from polyglyph.contract.stats import StatsHeader
from polyglyph.contract.sums import COLUMNS, SUMMED, Column, GroupKey, GroupSums

_FINGERPRINT = r"^sha256:[0-9a-f]{64}$"
_SCRIPT = r"^[A-Z][a-z]{3}$"
_PATTERNS: dict[Column, re.Pattern[str]] = {
    "request_script": re.compile(_SCRIPT),
    "script": re.compile(_SCRIPT),
    "phase": re.compile("|".join(PHASES)),
    "plan": re.compile(rf"$|{_FINGERPRINT}"),
    "tag": re.compile(TAG_PATTERN),
}


def check_stats(header: StatsHeader, groups: Sequence[GroupSums]) -> None:
    """Refuse stats that a server cannot have counted.

    Raises:
        InvalidStatsError: Says which group, what was expected and what came.
    """
    check_header(header)
    seen: set[GroupKey] = set()
    for group in groups:
        if group.key in seen:
            raise InvalidStatsError(f"{describe(group.key)} is there twice")
        seen.add(group.key)
        _check_key(group.key, header)
        _check_sums(group, header)


def check_header(header: StatsHeader) -> None:
    """Refuse a header with columns or times that are none.

    Raises:
        InvalidStatsError: Names the field.
    """
    if not re.fullmatch(_FINGERPRINT, header.model_fingerprint):
        raise InvalidStatsError(
            f"header.model_fingerprint: expected 'sha256:' and 64 hex digits, got {header.model_fingerprint!r:.90}"
        )
    if header.by != tuple(column for column in COLUMNS if column in header.by):
        raise InvalidStatsError(
            f"header.by: expected columns out of {', '.join(COLUMNS)}, in that order, got {header.by!r:.90}"
        )
    for name, text in (("since", header.since), ("until", header.until)):
        parse_time(text, field=f"header.{name}")


def parse_time(text: str, *, field: str) -> datetime:
    """Read a time of a header.

    Raises:
        InvalidStatsError: It is no ISO 8601 time with a time zone.
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise InvalidStatsError(f"{field}: expected an ISO 8601 time with its zone, got {text!r:.60}")
    return time


def describe(key: GroupKey) -> str:
    """Name a group in a text."""
    return "the group " + ", ".join(f"{column}={value!r:.80}" for column, value in zip(COLUMNS, key, strict=True))


def _check_key(key: GroupKey, header: StatsHeader) -> None:
    for column, value in zip(COLUMNS, key, strict=True):
        if (value == SUMMED) == (column in header.by):
            raise InvalidStatsError(
                f"{describe(key)}: the header says the columns kept apart are {', '.join(header.by) or 'none'}"
            )
        if value != SUMMED and not _PATTERNS[column].fullmatch(value):
            raise InvalidStatsError(f"{describe(key)}: no such {column} can be")


def _check_sums(group: GroupSums, header: StatsHeader) -> None:
    name = describe(group.key)
    if min(group.tokens, group.cached_tokens) < 0 or (group.selected_LE < 0).any():
        raise InvalidStatsError(f"{name}: expected counts of 0 or more, got negative ones")
    if not np.isfinite(group.weight_sum_LE).all():
        raise InvalidStatsError(f"{name}: expected finite sums of weights, got one that is not")
    conservation = conservation_of(header, [group])
    if not conservation.holds:
        raise InvalidStatsError(f"{name}: damaged, {conservation}")
