"""Which sums are wanted, as Python values and as the parameters of `GET /v1/routing/stats`."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TypedDict


class StatsFilters(TypedDict, total=False):
    """Filters, and the columns to keep apart.

    Keys:
        by: Columns to keep apart, out of request_script, script, phase, plan and tag; all unless named.
        request_script: Only requests whose text is in this script (ISO 15924).
        script: Only tokens of this script.
        phase: `prompt`, `reasoning` or `answer`.
        plan: A plan's name or fingerprint; empty for unsteered requests.
        tag: The requests' tag; empty for none.
        since: Only what was counted from this time on: a datetime, ISO 8601 text, or seconds since 1970.
    """

    by: str | Sequence[str]
    request_script: str
    script: str
    phase: str
    plan: str
    tag: str
    since: datetime | str | float


def parameters_of(filters: StatsFilters) -> dict[str, str]:
    """Give filters as query parameters; the server checks them."""
    return {name: _text_of(value) for name, value in filters.items()}


def _text_of(value: object) -> str:
    if isinstance(value, datetime):
        # A time without a zone is this machine's own, as everywhere in Python.
        return value.astimezone(UTC).isoformat()
    if isinstance(value, str) or not isinstance(value, Sequence):
        return str(value)
    return ",".join(value)
